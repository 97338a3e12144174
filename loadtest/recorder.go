package loadtest

import (
	"runtime"
	"sync"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// meter is the place of a metric in a shard.
type meter int

const (
	meterConnect meter = iota
	meterHandshakeFull
	meterHandshakeResumed
	meterFirstByte
	meterRoundTrip
	meterRoundTripUncorrected
	meterLag
	meters
)

var meterMetrics = [meters]result.Metric{
	result.Connect, result.HandshakeFull, result.HandshakeResumed, result.FirstByte,
	result.RoundTrip, result.RoundTripUncorrected, result.Lag,
}

// A recorder counts what happens, for all connections, in shards: a connection has one of
// them, and there are as many as goroutines can run at a time.
type recorder struct {
	shards []*shard

	mu       sync.Mutex // guards what follows
	errors   map[result.ErrorKind]uint64
	examples map[result.ErrorKind]result.Example
}

func newRecorder() *recorder {
	r := &recorder{errors: map[result.ErrorKind]uint64{}, examples: map[result.ErrorKind]result.Example{}}
	for range runtime.GOMAXPROCS(0) {
		r.shards = append(r.shards, new(shard))
	}
	return r
}

func (r *recorder) shard(n int) *shard { return r.shards[n%len(r.shards)] }

// fail counts an error, and keeps the first of its kind.
func (r *recorder) fail(kind result.ErrorKind, at time.Duration, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[kind]++
	if _, ok := r.examples[kind]; !ok {
		r.examples[kind] = result.Example{At: at, Text: text}
	}
}

// take empties the recorder into an interval.
func (r *recorder) take() result.Interval {
	i := result.Interval{Histograms: map[result.Metric]*result.Histogram{}}
	var open int64
	for _, s := range r.shards {
		open += s.moveTo(&i)
	}
	i.Open = uint64(max(open, 0))
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errors) > 0 {
		i.Errors = r.errors
		r.errors = map[result.ErrorKind]uint64{}
	}
	return i
}

// A shard counts for some connections.
type shard struct {
	mu     sync.Mutex
	open   int64
	counts result.Counts
	times  [meters]*result.Recorder
	_      [64]byte // the next one is another processor's
}

func (s *shard) recordLocked(m meter, d time.Duration) {
	if s.times[m] == nil {
		s.times[m] = result.NewRecorder()
	}
	s.times[m].Record(d)
}

func (s *shard) record(m meter, d time.Duration) {
	s.mu.Lock()
	s.recordLocked(m, d)
	s.mu.Unlock()
}

func (s *shard) planned(n uint64) {
	s.mu.Lock()
	s.counts.Planned += n
	s.mu.Unlock()
}

func (s *shard) sent(bytes int) {
	s.mu.Lock()
	s.counts.Sent++
	s.counts.BytesSent += uint64(bytes)
	s.mu.Unlock()
}

// answered counts a right reply: when its request was planned and sent, when its first byte
// came and when its last did.
func (s *shard) answered(r request, first, last time.Duration, bytes int) {
	s.mu.Lock()
	s.counts.Received++
	s.counts.BytesReceived += uint64(bytes)
	s.recordLocked(meterFirstByte, first-r.planned)
	s.recordLocked(meterRoundTrip, last-r.planned)
	s.recordLocked(meterRoundTripUncorrected, last-r.sent)
	s.mu.Unlock()
}

func (s *shard) opened() {
	s.mu.Lock()
	s.open++
	s.counts.Connected++
	s.mu.Unlock()
}

func (s *shard) closed() {
	s.mu.Lock()
	s.open--
	s.counts.Closed++
	s.mu.Unlock()
}

// moveTo adds what was counted to an interval and returns how many connections are open.
func (s *shard) moveTo(i *result.Interval) (open int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Add(s.counts)
	s.counts = result.Counts{}
	for m, times := range s.times {
		if times == nil {
			continue
		}
		h := i.Histograms[meterMetrics[m]]
		if h == nil {
			h = result.NewHistogram()
			i.Histograms[meterMetrics[m]] = h
		}
		times.MoveTo(h)
	}
	return s.open
}
