package engine

import (
	"slices"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// Timer calls a function on its connection's loop, once, one at a time with the
// connection's callbacks. It ends with the connection, which it doesn't keep open.
type Timer struct {
	c *Conn
	f func(*Conn)

	// The loop's own.
	timer reactor.Timer

	// Guarded by c.mu.
	state  timerState
	at     time.Duration
	queued bool // in ext.timers
}

type timerState uint8

const (
	timerIdle timerState = iota
	timerSet             // goes off at at
	timerDue             // has gone off; f is posted
)

// AfterFunc has f called after d. After the connection's end it's never called.
func (c *Conn) AfterFunc(d time.Duration, f func(*Conn)) *Timer {
	t := &Timer{c: c, f: f}
	t.timer.Target = t
	t.Reset(d)
	return t
}

// Reset has the function called after d from now, and reports whether it was to be called
// before. Any goroutine may call it.
func (t *Timer) Reset(d time.Duration) (was bool) {
	c := t.c
	c.mu.Lock()
	was = t.state != timerIdle
	if c.state < Closed {
		t.state, t.at = timerSet, c.shard.r.Now()+min(max(d, 0), forever)
		t.queueLocked()
	}
	c.finish()
	return was
}

// Stop keeps the function from being called, and reports whether it was to be called. On
// the connection's loop that's final; elsewhere it may be running when Stop is false. Any
// goroutine may call it.
func (t *Timer) Stop() (was bool) {
	c := t.c
	c.mu.Lock()
	was = t.state != timerIdle
	if was {
		t.state = timerIdle
		t.queueLocked()
	}
	c.finish()
	return was
}

// queueLocked has the loop look at it: the wheel is its own.
func (t *Timer) queueLocked() {
	if !t.queued && t.c.state < Closed {
		t.queued = true
		x := t.c.extLocked()
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

// OnTimer implements reactor.TimerTarget: the function is posted, so that it takes its
// turn with the callbacks.
func (t *Timer) OnTimer(*reactor.Timer) {
	c := t.c
	c.mu.Lock()
	if c.state >= Closed || t.state != timerSet {
		c.unlock()
		return
	}
	if c.shard.r.Now() < t.at { // it was moved meanwhile, or time was, when the loop had slept
		t.queueLocked()
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

// OnPanic implements reactor.TimerTarget.
func (t *Timer) OnPanic(value any, stack []byte) { t.c.OnPanic(value, stack) }
