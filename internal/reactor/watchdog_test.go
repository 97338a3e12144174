package reactor_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// dogClock is a clock for the watchdog alone, whose alarm is the last that's made. The
// loops' goroutines are real.
type dogClock struct {
	mu   sync.Mutex
	now  time.Duration
	ring func()
	set  chan struct{} // the watchdog has looked, and waits again
}

func (c *dogClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *dogClock) NewAlarm(f func()) reactor.Alarm {
	c.ring = f
	return c
}

func (c *dogClock) Set(time.Duration) { c.set <- struct{}{} }
func (c *dogClock) Stop()             {}

// look has the watchdog look after a time, and returns when it has.
func (c *dogClock) look(t *testing.T, after time.Duration) {
	t.Helper()
	c.mu.Lock()
	c.now += after
	c.mu.Unlock()
	c.ring()
	receive(t, c.set, "the watchdog")
}

func keepsItsLoopWaiting(entered chan<- struct{}, quit <-chan struct{}) {
	entered <- struct{}{}
	<-quit
}

// passThrough has an idle loop run something, and returns when it's idle again: with a
// clock that runs ahead, a call that's about to return looks like one that doesn't.
func passThrough(t *testing.T, g *reactor.Group, loop int) {
	t.Helper()
	before := g.Stats()[loop].Events
	onLoop(t, g.Reactors()[loop], func() {})
	for g.Stats()[loop].Events == before {
		runtime.Gosched()
	}
}

// peers, rule 13; faults, User code: a callback that blocks is reported once, with its
// stack, and other loops go on.
func TestWatchdogReportsACallThatBlocks(t *testing.T) {
	const slow = 100 * time.Millisecond
	clock := &dogClock{set: make(chan struct{})}
	var reports []reactor.Slow
	g, err := reactor.NewGroup(reactor.Config{
		Loops: 2, Slow: slow, Clock: clock,
		OnSlow: func(s reactor.Slow) { reports = append(reports, s) },
	})
	must(t, err)
	must(t, g.Start())
	receive(t, clock.set, "the watchdog")
	r := g.Reactors()[1]
	for call := 1; call <= 2; call++ {
		entered, quit := make(chan struct{}), make(chan struct{})
		must(t, r.PostFunc(func() { keepsItsLoopWaiting(entered, quit) }))
		receive(t, entered, "the call")
		clock.look(t, slow/2)
		clock.look(t, slow/2)
		if len(reports) != call-1 {
			t.Fatalf("call %d: reported after half its time", call)
		}
		for range 10 {
			clock.look(t, slow/2)
			passThrough(t, g, 0) // works on
		}
		if len(reports) != call || g.SlowCalls() != uint64(call) {
			t.Fatalf("call %d: %d reports, %d counted", call, len(reports), g.SlowCalls())
		}
		s := reports[call-1]
		if s.Reactor != 1 || s.For < slow {
			t.Errorf("call %d: reported for loop %d after %v", call, s.Reactor, s.For)
		}
		if !strings.Contains(string(s.Stack), "keepsItsLoopWaiting") || strings.Contains(string(s.Stack), "\n\n") {
			t.Errorf("call %d: the stack isn't the loop's:\n%s", call, s.Stack)
		}
		close(quit)
		passThrough(t, g, 1)
	}
	// Neither idle loops nor busy ones with short calls are reported.
	for range 10 {
		clock.look(t, slow)
		passThrough(t, g, 1)
	}
	if len(reports) != 2 {
		t.Errorf("%d reports, want 2", len(reports))
	}
	must(t, g.Stop())
}

// operations, Metrics: a call that lasts is counted while it does, and in all for as long as
// it has; but not for what the process didn't run.
func TestBusyInALongCall(t *testing.T) {
	const slow = 100 * time.Millisecond
	clock := &dogClock{set: make(chan struct{})}
	g, err := reactor.NewGroup(reactor.Config{Loops: 2, Slow: slow, Clock: clock})
	must(t, err)
	must(t, g.Start())
	receive(t, clock.set, "the watchdog")
	busy := func(want time.Duration) {
		t.Helper()
		if st := g.Stats(); st[0].Busy != 0 || st[1].Busy != want {
			t.Errorf("busy for %v and %v, want 0 and %v", st[0].Busy, st[1].Busy, want)
		}
	}
	for range 10 {
		clock.look(t, slow/2)
	}
	busy(0)
	entered, quit := make(chan struct{}), make(chan struct{})
	must(t, g.Reactors()[1].PostFunc(func() { keepsItsLoopWaiting(entered, quit) }))
	receive(t, entered, "the call")
	for range 10 {
		clock.look(t, slow/2)
	}
	busy(9 * slow / 2)
	clock.look(t, time.Hour)
	busy(9*slow/2 + time.Second)
	before := g.Stats()[1].Events
	close(quit)
	for g.Stats()[1].Events == before {
		runtime.Gosched()
	}
	for range 10 {
		clock.look(t, slow/2)
	}
	must(t, g.Stop())
	busy(5*slow + time.Second)
}

// The real clock.
func TestWatchdog(t *testing.T) {
	reports := make(chan reactor.Slow, 1)
	g := start(t, reactor.Config{Loops: 1, Slow: 10 * time.Millisecond, OnSlow: func(s reactor.Slow) {
		select {
		case reports <- s:
		default:
		}
	}})
	entered, quit := make(chan struct{}, 1), make(chan struct{})
	must(t, g.Reactors()[0].PostFunc(func() { keepsItsLoopWaiting(entered, quit) }))
	s := receive(t, reports, "a report")
	close(quit)
	if s.For < 10*time.Millisecond || !strings.Contains(string(s.Stack), "keepsItsLoopWaiting") {
		t.Errorf("reported after %v:\n%s", s.For, s.Stack)
	}
	if n := g.SlowCalls(); n == 0 {
		t.Error("no slow call counted")
	}
}
