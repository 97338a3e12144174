package sim

import (
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// Clock is a reactor.Clock whose alarms the world lets go off.
type Clock struct {
	w      *World
	alarms []*alarm
}

type alarm struct {
	c   *Clock
	f   func()
	at  time.Duration
	set bool
}

// Now implements reactor.Clock.
func (c *Clock) Now() time.Duration { return c.w.Now() + time.Hour }

// NewAlarm implements reactor.Clock.
func (c *Clock) NewAlarm(f func()) reactor.Alarm {
	c.w.enter()
	a := &alarm{c: c, f: f}
	c.alarms = append(c.alarms, a)
	return a
}

// Set implements reactor.Alarm.
func (a *alarm) Set(after time.Duration) {
	a.c.w.enter()
	a.at, a.set = a.c.w.Now()+max(after, 0), true
	a.c.w.call("alarm", "in %v", after)
}

// Stop implements reactor.Alarm.
func (a *alarm) Stop() {
	a.c.w.enter()
	a.set = false
}

// next is the alarm that goes off first.
func (c *Clock) next() (first *alarm) {
	for _, a := range c.alarms {
		if a.set && (first == nil || a.at < first.at) {
			first = a
		}
	}
	return first
}

// ring has it go off, on a goroutine of its own.
func (a *alarm) ring() {
	a.set = false
	a.c.w.spawn("alarm", a.f)
}
