package engine

import (
	"fmt"
	"time"

	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/reactor"
)

// muxTimers are a Mux's timers, on the loop that Mux.Post posts to. Any goroutine sets
// and stops them, and the wheel is the loop's, so it's posted that the loop look.
type muxTimers struct {
	// Immutable.
	m *Mux
	r *reactor.Reactor

	// Guarded by mu.
	mu      lock.Mutex
	changed []*Timer // set or stopped, for the loop to look at
	posted  bool
	link    reactor.Link
}

// AfterFunc has f called after d, on the loop that Post posts to. Once the loops have
// ended it's never called.
func (m *Mux) AfterFunc(d time.Duration, f func()) *Timer {
	return newTimer(&m.timers, func(*Conn) { f() }, d)
}

func (x *muxTimers) resetTimer(t *Timer, d time.Duration) (was bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	was = t.state == timerSet
	t.state, t.at = timerSet, x.r.Now()+min(max(d, 0), forever)
	return x.queueLocked(t) && was
}

func (x *muxTimers) stopTimer(t *Timer) (was bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if t.state != timerSet {
		return false
	}
	t.state = timerIdle
	return x.queueLocked(t)
}

// queueLocked has the loop look at a timer. It returns false if the loop has ended: then
// no timer is set any more.
func (x *muxTimers) queueLocked(t *Timer) bool {
	if !x.posted && x.r.Post(x) != nil {
		t.state = timerIdle
		return false
	}
	x.posted = true
	if !t.queued {
		t.queued = true
		x.changed = append(x.changed, t)
	}
	return true
}

// RunTask implements reactor.Task: it files what was set or stopped.
func (x *muxTimers) RunTask() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.posted = false
	for _, t := range x.changed {
		t.queued = false
		if t.state == timerSet {
			x.r.Arm(&t.timer, t.at-x.r.Now())
		} else {
			x.r.Disarm(&t.timer)
		}
	}
	x.changed = nil
}

// TaskLink implements reactor.Task.
func (x *muxTimers) TaskLink() *reactor.Link { return &x.link }

// OnPanic implements reactor.Task; no user code runs in it.
func (x *muxTimers) OnPanic(value any, stack []byte) {
	panic(fmt.Sprintf("sluice: a bug in the timers: %v\n%s", value, stack))
}

func (x *muxTimers) timerRang(t *Timer) {
	x.mu.Lock()
	due := t.state == timerSet && x.r.Now() >= t.at
	switch {
	case due:
		t.state = timerIdle
	case t.state == timerSet: // it was moved meanwhile, or time was, when the loop had slept
		x.r.Arm(&t.timer, t.at-x.r.Now())
	}
	x.mu.Unlock()
	if due {
		t.f(nil)
	}
}

func (x *muxTimers) timerPanicked(value any, stack []byte) {
	x.m.panicked("a timer's function panicked", value, stack)
}
