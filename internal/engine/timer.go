package engine

import (
	"slices"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// Timer calls a function on a loop, once. A connection's is called one at a time with its
// callbacks, and ends with the connection, which it doesn't keep open. A Mux's is called
// like what's posted there, and ends with the loops.
type Timer struct {
	owner timerOwner
	f     func(*Conn)

	// The loop's own.
	timer reactor.Timer

	// Guarded by the owner's lock.
	state  timerState
	queued bool // for the loop to look at
	at     time.Duration
}

// timerOwner is a Conn, or a Mux's timers.
type timerOwner interface {
	resetTimer(t *Timer, d time.Duration) (was bool)
	stopTimer(t *Timer) (was bool)
	// timerRang and timerPanicked are called on the loop.
	timerRang(t *Timer)
	timerPanicked(value any, stack []byte)
}

type timerState uint8

const (
	timerIdle timerState = iota
	timerSet             // goes off at at
	timerDue             // has gone off; f is posted
)

// AfterFunc has f called after d. After the connection's end it's never called.
func (c *Conn) AfterFunc(d time.Duration, f func(*Conn)) *Timer {
	return newTimer(c, f, d)
}

func newTimer(o timerOwner, f func(*Conn), d time.Duration) *Timer {
	t := &Timer{owner: o, f: f}
	t.timer.Target = t
	t.Reset(d)
	return t
}

// Reset has the function called after d from now, and reports whether it was to be called
// before. Any goroutine may call it.
func (t *Timer) Reset(d time.Duration) (was bool) { return t.owner.resetTimer(t, d) }

// Stop keeps the function from being called, and reports whether it was to be called. On
// the timer's loop that's final; elsewhere it may be running when Stop is false. Any
// goroutine may call it.
func (t *Timer) Stop() (was bool) { return t.owner.stopTimer(t) }

// OnTimer implements reactor.TimerTarget.
func (t *Timer) OnTimer(*reactor.Timer) { t.owner.timerRang(t) }

// OnPanic implements reactor.TimerTarget.
func (t *Timer) OnPanic(value any, stack []byte) { t.owner.timerPanicked(value, stack) }

// The rest is a connection's part of it; a Mux's is in muxtimer.go.

func (c *Conn) resetTimer(t *Timer, d time.Duration) (was bool) {
	c.mu.Lock()
	was = t.state != timerIdle
	if c.state < Closed {
		t.state, t.at = timerSet, c.shard.r.Now()+min(max(d, 0), forever)
		c.queueTimerLocked(t)
	}
	c.finish()
	return was
}

func (c *Conn) stopTimer(t *Timer) (was bool) {
	c.mu.Lock()
	was = t.state != timerIdle
	if was {
		t.state = timerIdle
		c.queueTimerLocked(t)
	}
	c.finish()
	return was
}

// queueTimerLocked has the loop look at it: the wheel is its own.
func (c *Conn) queueTimerLocked(t *Timer) {
	if !t.queued && c.state < Closed {
		t.queued = true
		x := c.extLocked()
		x.timers = append(x.timers, t)
	}
}

// setTimersLocked files what was set or stopped.
func (c *Conn) setTimersLocked() {
	x := c.ext
	for _, t := range x.timers {
		t.queued = false
		i := slices.Index(x.armed, t)
		if t.state == timerSet {
			if i < 0 {
				x.armed = append(x.armed, t)
			}
			c.shard.r.Arm(&t.timer, t.at-c.shard.r.Now())
		} else if i >= 0 {
			x.armed = slices.Delete(x.armed, i, i+1)
			c.shard.r.Disarm(&t.timer)
		}
	}
	x.timers = nil
}

// endTimersLocked ends all of them, with the connection.
func (c *Conn) endTimersLocked() {
	x := c.ext
	for _, t := range x.armed {
		c.shard.r.Disarm(&t.timer)
		t.state = timerIdle
	}
	for _, t := range x.timers {
		t.state, t.queued = timerIdle, false
	}
	x.armed, x.timers = nil, nil
}

// timerRang posts the function, so that it takes its turn with the callbacks.
func (c *Conn) timerRang(t *Timer) {
	c.mu.Lock()
	if c.state >= Closed || t.state != timerSet {
		c.unlock()
		return
	}
	if c.shard.r.Now() < t.at { // it was moved meanwhile, or time was, when the loop had slept
		c.queueTimerLocked(t)
		c.finish()
		return
	}
	x := c.ext
	x.armed = slices.DeleteFunc(x.armed, func(o *Timer) bool { return o == t })
	t.state = timerDue
	x.posts = append(x.posts, t.run)
	c.dispatchLocked()
}

func (t *Timer) run(c *Conn) {
	c.mu.Lock()
	due := t.state == timerDue
	if due {
		t.state = timerIdle
	}
	c.unlock()
	if due {
		t.f(c)
	}
}

func (c *Conn) timerPanicked(value any, stack []byte) { c.OnPanic(value, stack) }
