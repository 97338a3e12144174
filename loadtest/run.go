package loadtest

import (
	"context"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// dialsAtATime bounds the connections that are being made, below every listen backlog.
const dialsAtATime = 128

// The pauses after a connection that came to nothing.
const (
	shortestPause = 10 * time.Millisecond
	longestPause  = time.Second
)

// Run makes the load and returns what came of it. It first looks whether there's
// somebody at each target; if not, or if the load can't be, the error says what to do.
//
// The end of ctx ends the run early: nothing more is sent, what is under way is waited for,
// and the result is what was measured until then. If it ends before the load has begun, there
// is no result, and the error is ctx's.
func Run(ctx context.Context, load Load) (*result.Result, error) {
	l, err := load.check()
	if err != nil {
		return nil, err
	}
	r := newRun(l)
	if err := r.dialer.checkDescriptors(); err != nil {
		return nil, err
	}
	if err := r.dialer.probe(ctx); err != nil {
		return nil, err
	}
	if !new(sleeper).sleep(ctx, time.Until(l.StartAt)) {
		return nil, ctx.Err()
	}
	if l.ConnectRate > 0 && !r.pass(ctx) {
		return nil, ctx.Err()
	}
	r.begin()
	r.measure(ctx)
	r.drain()
	return r.conclude(), nil
}

// A run is a load while it's on.
type run struct {
	// Fixed when it's made.
	load     Load
	dialer   *dialer
	recorder *recorder
	dialing  chan struct{} // has one for each connection that is being made
	hostiles *hostiles

	// Fixed by begin.
	began time.Time

	// soft ends when no more should be sent, and hard when nothing more is waited for.
	soft, hard context.Context
	stop, cut  context.CancelFunc

	stopping  atomic.Bool // the same as soft, at less expense
	stoppedAt atomic.Int64
	allowance atomic.Int64  // of messages; only if their number is limited
	absent    atomic.Int64  // slots that haven't tried to connect yet
	arrived   chan struct{} // closed when none is absent
	gate      chan struct{} // closed when messages may be sent
	opened    time.Duration // when that was; fixed by then
	numbers   atomic.Uint32 // of connections so far
	slots     sync.WaitGroup
	others    sync.WaitGroup // heartbeat, hostile clients

	// Of measure, drain and conclude, one after the other.
	result  *result.Result
	taken   time.Duration // until when intervals have been taken
	cpu     time.Duration // at that time
	waited  time.Duration // for a processor, of all threads, while it was measured
	stopped bool
}

func newRun(l Load) *run {
	r := &run{
		load:     l,
		dialer:   newDialer(l),
		recorder: newRecorder(),
		dialing:  make(chan struct{}, dialsAtATime),
		result: &result.Result{
			Version: result.Version,
			Command: os.Args,
			Load:    l.describe(),
		},
	}
	for _, t := range l.Targets {
		r.result.Targets = append(r.result.Targets, t.String())
	}
	if l.WarmUp == 0 {
		r.allow()
	} else {
		r.allowance.Store(math.MaxInt64)
	}
	r.absent.Store(int64(l.Connections))
	r.arrived, r.gate = make(chan struct{}), make(chan struct{})
	r.soft, r.stop = context.WithCancel(context.Background())
	r.hard, r.cut = context.WithCancel(context.Background())
	r.hostiles = newHostiles(r)
	return r
}

// now is the time since the load began.
func (r *run) now() time.Duration { return time.Since(r.began) }

func (r *run) begin() {
	r.began = time.Now()
	r.result.Started = r.began.Round(0)
	r.cpu = processTime()
	r.others.Go(r.heartbeat)
	r.hostiles.start()
	for n := range r.load.Connections {
		p := &slot{run: r, nth: n}
		r.slots.Go(p.live)
	}
}

// pass waits at the load's gate, if there is one. It reports whether it was opened.
func (r *run) pass(ctx context.Context) bool {
	return r.load.Gate == nil || new(sleeper).sleep(ctx, time.Until(r.load.Gate(ctx)))
}

// halt has nothing more sent.
func (r *run) halt() {
	if r.stopping.CompareAndSwap(false, true) {
		r.stoppedAt.Store(int64(r.now()))
		r.stop()
	}
}

// allow has the messages counted from now on, if their number is limited.
func (r *run) allow() { r.allowance.Store(int64(min(r.load.Messages, math.MaxInt64))) }

// maySend takes one message from the allowance, if there's a limit, and reports whether it
// may be sent.
func (r *run) maySend() bool {
	if r.stopping.Load() {
		return false
	}
	if r.load.Messages == 0 || r.allowance.Add(-1) >= 0 {
		return true
	}
	r.halt()
	return false
}

// A slot is the place of one connection: it's made again whenever it ends.
type slot struct {
	run   *run
	nth   int
	tried bool      // the first connection has been made, or has failed
	plan  *schedule // of an open loop, once it has begun
}

func (p *slot) live() {
	r := p.run
	var pace sleeper
	if rate := r.load.ConnectRate; rate > 0 && !pace.sleep(r.soft, time.Duration(float64(p.nth)/rate*float64(time.Second))) {
		return
	}
	pause := shortestPause
	for !r.stopping.Load() {
		if p.connection() {
			pause = shortestPause
			continue
		}
		p.arrive()
		if !pace.sleep(r.soft, pause) {
			break
		}
		pause = min(2*pause, longestPause)
	}
	if p.plan != nil {
		r.recorder.shard(p.nth).planned(p.plan.passed(time.Duration(r.stoppedAt.Load())))
	}
}

// arrive tells that the first connection has been tried.
func (p *slot) arrive() {
	if p.tried {
		return
	}
	p.tried = true
	if p.run.absent.Add(-1) == 0 {
		close(p.run.arrived)
	}
}

// begin waits until messages may be sent, which measure sees to, however the run goes.
// Connections that are made one by one, at a rate, have nothing to wait for.
func (p *slot) begin() {
	r := p.run
	p.arrive()
	from := r.now()
	if r.load.ConnectRate == 0 {
		<-r.gate
		from = r.opened
	}
	if r.load.Rate > 0 && p.plan == nil {
		p.plan = newSchedule(r.load, p.nth, from)
	}
}

// connection is the life of one. It reports whether it was good for anything.
func (p *slot) connection() bool {
	r, nth := p.run, p.nth
	select {
	case r.dialing <- struct{}{}:
	case <-r.soft.Done():
		return false
	}
	number := uint64(r.load.Seed)<<32 | uint64(r.numbers.Add(1)-1)
	// Not here: dialing takes a deep stack, and this goroutine would keep it.
	made := make(chan *dialed)
	go func() { made <- r.dial(nth, number) }()
	c := <-made
	<-r.dialing
	if c == nil {
		return false
	}
	defer c.Close()
	shard := r.recorder.shard(nth)
	shard.record(meterConnect, c.connect)
	switch {
	case c.handshake > 0 && c.resumed:
		shard.record(meterHandshakeResumed, c.handshake)
	case c.handshake > 0:
		shard.record(meterHandshakeFull, c.handshake)
	}
	shard.opened()
	defer shard.closed()
	release := context.AfterFunc(r.hard, func() { c.Close() })
	defer release()

	p.begin()
	s := &session{
		run: r, shard: shard, conn: c.Conn, number: number, schedule: p.plan,
		pending: make(chan request, r.load.InFlight),
	}
	if r.load.Lifetime > 0 {
		s.ends = r.now() + r.load.Lifetime
	}
	cause := s.live()
	s.end(cause)
	return cause == nil || s.received > 0
}

// dial makes a connection. It returns nil if that has failed, which is counted.
func (r *run) dial(nth int, number uint64) *dialed {
	c, kind, err := r.dialer.dial(r.soft, nth, r.resumes(number))
	if err != nil {
		if r.soft.Err() == nil {
			r.recorder.fail(kind, r.now(), r.dialer.target(nth).String()+": "+plain(err).Error())
		}
		return nil
	}
	return &c
}

// resumes says whether a connection should resume a session.
func (r *run) resumes(number uint64) bool {
	return r.load.Resume > 0 && float64(mix(number)>>11)/(1<<53) < r.load.Resume
}

// measure takes the intervals until the run should end.
func (r *run) measure(ctx context.Context) {
	interrupted := func() bool {
		if ctx.Err() != nil {
			r.stopped = true
			r.halt()
		}
		return r.stopped
	}
	until := func(at time.Duration, early <-chan struct{}) {
		t := time.NewTimer(at - r.now())
		defer t.Stop()
		select {
		case <-t.C:
		case <-early:
		case <-ctx.Done():
		case <-r.soft.Done():
		}
	}
	if r.load.ConnectRate == 0 {
		for waiting := true; waiting && !interrupted(); {
			until(r.taken+r.load.Interval, r.arrived)
			waiting = r.absent.Load() > 0
			r.take(result.Connecting)
		}
		// Beside others, whose intervals should be the same pieces of time.
		switch {
		case interrupted():
		case r.load.Gate != nil:
			r.pass(ctx)
			r.take(result.Connecting)
			interrupted() // or else messages would be sent
		case !r.load.StartAt.IsZero():
			until(r.now().Truncate(r.load.Interval)+r.load.Interval, nil)
			r.take(result.Connecting)
		}
	}
	start := r.taken
	r.opened = start // so that as much is planned as is measured
	close(r.gate)
	for _, p := range []struct {
		phase  result.Phase
		length time.Duration
	}{{result.Warmup, r.load.WarmUp}, {result.Measure, r.load.Duration}} {
		unlimited := p.phase == result.Measure && p.length == 0
		end := start + p.length
		if p.phase == result.Measure && r.load.WarmUp > 0 {
			r.allow()
		}
		waited := runqueueTime()
		for at := start; (unlimited || at < end) && !interrupted(); {
			at += r.load.Interval
			if !unlimited {
				at = min(at, end)
			}
			until(at, nil)
			r.take(p.phase)
			if r.stopping.Load() {
				break // only here: what was sent before this began has to be measured
			}
		}
		r.waited = max(runqueueTime()-waited, 0) // of the last phase
		start = end
	}
	r.halt()
}

// drain waits for what is under way, and no longer than for any reply, whose deadline may be
// late by half.
func (r *run) drain() {
	limit := time.AfterFunc(2*r.load.Timeout+lastWait, r.cut)
	r.slots.Wait()
	limit.Stop()
	r.take(result.Drain)
	r.cut()
	r.others.Wait()
}

// take ends an interval.
func (r *run) take(phase result.Phase) {
	i := r.recorder.take()
	now, cpu := r.now(), processTime()
	i.Phase, i.Start, i.Length, i.ClientCPU = phase, r.taken, now-r.taken, cpu-r.cpu
	i.Hostile = r.hostiles.open()
	r.taken, r.cpu = now, cpu
	r.result.Intervals = append(r.result.Intervals, i.Compress())
	if r.load.OnInterval != nil {
		r.load.OnInterval(i)
	}
}

// conclude completes the result.
func (r *run) conclude() *result.Result {
	r.result.Ended = r.result.Started.Add(r.now())
	r.result.Examples = r.recorder.examples
	r.result.Stopped = r.stopped
	host, _ := os.Hostname()
	client := result.Client{
		Host:            host,
		OS:              runtime.GOOS,
		Arch:            runtime.GOARCH,
		Go:              runtime.Version(),
		Processors:      runtime.GOMAXPROCS(0),
		DescriptorLimit: descriptorLimit(),
	}
	client.Saturated = diagnose(r.load, r.result.Total(), r.waited, client)
	r.result.Clients = []result.Client{client}
	return r.result
}
