package engine

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// Counter numbers what is counted per listener and loop.
type Counter uint8

// The counters. Those of closures, one for each Reason, come last.
const (
	CountAccepted Counter = iota
	CountUnwanted         // refused when it was offered
	CountShed             // refused for want of descriptors
	CountAcceptErrors
	CountReceivedBytes // application bytes, as all bytes here
	CountSentBytes
	CountReads
	CountWrites
	CountPanics
	CountClosed0 // closed with Reason 0; the others follow

	counterCount = CountClosed0 + Counter(reasonCount)
)

// Counts are the counters' values.
type Counts [counterCount]uint64

// Closed is the number of connections that ended for a reason.
func (c *Counts) Closed(r Reason) uint64 { return c[CountClosed0+Counter(r)] }

// Shard is the part of an Env that belongs to one loop: its counters, which are plain
// numbers published once per dispatch, and what its dispatches use. Who owns
// what is said at the fields.
type Shard struct {
	// Immutable.
	env    *Env
	r      *reactor.Reactor
	kernel sys.Kernel
	cache  *buffers.Cache
	budget int // bytes per dispatch, in each direction

	open registry // has a lock of its own

	// The loop's own.
	turn    turn            // the dispatch in progress
	lent    *buffers.Buffer // with the consumer now; given back if it panics
	dirty   uint64
	counts  Counts
	untimed int // calls until one is timed; 0: this one is
	began   time.Duration
	vectors [sys.MaxVectors][]byte
	scratch []byte        // where discarded input goes
	reply   buffers.Chain // what a session's Open answers, during it

	_         [64]byte // published is read from elsewhere
	published [counterCount]atomic.Uint64
	gauges    gauges
}

var _ = [1]struct{}{}[counterCount/65] // the bits of dirty suffice

func (s *Shard) add(c Counter, n uint64) {
	s.counts[c] += n
	s.dirty |= 1 << c
}

func (s *Shard) publish() {
	for d := s.dirty; d != 0; d &= d - 1 {
		i := bits.TrailingZeros64(d)
		s.published[i].Store(s.counts[i])
	}
	s.dirty = 0
	s.cache.Publish()
}

// discard is memory for input that nobody wants.
func (s *Shard) discard() []byte {
	if s.scratch == nil {
		s.scratch = make([]byte, 64<<10)
	}
	return s.scratch
}

// handOut marks b as being with the consumer; takeBack ends that.
func (s *Shard) handOut(b *buffers.Buffer) { s.lent = b }

func (s *Shard) takeBack() {
	if b := s.lent; b != nil {
		s.lent = nil
		s.cache.Release(b)
	}
}
