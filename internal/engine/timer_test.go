package engine_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// stream.go: AfterFunc: several timers, in the order of their times, on the loop.
func TestAfterFunc(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		var log []string
		var late *engine.Timer
		off(func() {
			late = c.AfterFunc(3*time.Second, func(*engine.Conn) { log = append(log, "late") })
			c.AfterFunc(time.Second, func(*engine.Conn) { log = append(log, "early") })
			c.AfterFunc(0, func(*engine.Conn) { log = append(log, "at once") })
		})
		if len(log) != 0 {
			t.Error("a timer went off in its caller")
		}
		k.settle()
		k.advance(2 * time.Second)
		if !late.Reset(2 * time.Second) {
			t.Error("it wasn't to go off")
		}
		k.settle()
		k.advance(1500 * time.Millisecond)
		if got := brief(log); got != "at once, early" {
			t.Errorf("went off: %s", got)
		}
		k.advance(time.Second)
		if got := brief(log); got != "at once, early, late" || late.Stop() {
			t.Errorf("went off: %s", got)
		}
	})
}

// Stop keeps it from going off; inside a callback that's final, also if it's due already.
func TestTimerStop(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		rang := 0
		ring := func(*engine.Conn) { rang++ }
		a, b := c.AfterFunc(time.Second, ring), c.AfterFunc(time.Second, ring)
		k.settle()
		if !a.Stop() || a.Stop() {
			t.Error("Stop doesn't know whether it was set")
		}
		c.AfterFunc(time.Second, func(*engine.Conn) { b.Stop() })
		d := c.AfterFunc(time.Second, ring)
		c.AfterFunc(500*time.Millisecond, func(c *engine.Conn) {
			k.clock.now += time.Minute // everything is due now
			_ = c.Post(func(*engine.Conn) { d.Stop() })
		})
		k.settle()
		k.advance(10 * time.Minute)
		if rang > 1 {
			t.Errorf("%d timers went off that were stopped", rang)
		}
	})
}

// A timer doesn't keep a connection open, and ends with it.
func TestTimersEndWithTheConnection(t *testing.T) {
	ends := map[string]func(k *kit, s *socket, c *engine.Conn){
		"unreferenced": func(_ *kit, _ *socket, c *engine.Conn) { c.Release() },
		"aborted":      func(_ *kit, _ *socket, c *engine.Conn) { c.Abort(nil) },
		"reset": func(k *kit, s *socket, _ *engine.Conn) {
			s.soError = unix.ECONNRESET
			k.event(s, reactor.Err)
		},
	}
	for name, end := range ends {
		drive(t, setup{}, func(k *kit) {
			s, c := k.connect()
			s.fin = true
			rang := 0
			ring := func(*engine.Conn) { rang++ }
			before := c.AfterFunc(time.Hour, ring)
			k.settle()
			c.AfterFunc(time.Hour, ring) // not filed yet
			end(k, s, c)
			k.settle()
			k.fire(s, reactor.In|reactor.RdHup)
			if c.State() < engine.Closed {
				t.Fatalf("%s: the connection is %v", name, c.State())
			}
			if n := k.r.Timers(); n != 0 {
				t.Errorf("%s: %d timers are left", name, n)
			}
			if before.Reset(time.Second) || before.Stop() {
				t.Errorf("%s: a timer is set after the end", name)
			}
			c.AfterFunc(0, ring)
			k.settle()
			k.advance(2 * time.Hour)
			if rang != 0 {
				t.Errorf("%s: %d timers went off after the end", name, rang)
			}
		})
	}
}

// A panic in a timer's function is a callback's.
func TestTimerThatPanics(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		c.AfterFunc(time.Second, func(*engine.Conn) { panic("in a timer") })
		k.settle()
		k.advance(2 * time.Second)
		if reason, _ := c.Cause(); reason != engine.ReasonPanic {
			t.Errorf("%v for %v", c.State(), reason)
		}
	})
}

// A timer that's set while the loop has slept through more than a second goes off all the
// same.
func TestTimerSetInAStall(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		rang := 0
		c.AfterFunc(10*time.Millisecond, func(c *engine.Conn) {
			k.clock.now += 5 * time.Second
			c.AfterFunc(time.Second, func(*engine.Conn) { rang++ })
		})
		k.settle()
		k.advance(20 * time.Second)
		if rang != 1 {
			t.Errorf("it went off %d times", rang)
		}
	})
}
