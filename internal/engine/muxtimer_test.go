package engine_test

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/engine"
)

// IIoMux: timers: each goes off on time, on the loop, in the order of their times, and
// never in its caller.
func TestMuxAfterFunc(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		var log []string
		var late *engine.Timer
		rings := func(what string) func() {
			return func() {
				if !k.r.OnLoop() {
					t.Errorf("%s isn't on the loop", what)
				}
				log = append(log, what)
			}
		}
		off(func() {
			late = k.mux.AfterFunc(3*time.Second, rings("late"))
			k.mux.AfterFunc(time.Second, rings("early"))
		})
		k.mux.AfterFunc(-1, rings("at once"))
		k.settle()
		if len(log) != 0 {
			t.Errorf("before their times: %s", brief(log))
		}
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
		if late.Reset(time.Second) {
			t.Error("it was to go off although it had")
		}
		k.settle()
		k.advance(2 * time.Second)
		if got := brief(log); got != "at once, early, 2 × late" {
			t.Errorf("went off: %s", got)
		}
	})
}

// One that sets itself anew goes off again and again; Stop on the loop is final, also of
// one that's due already.
func TestMuxTimerStop(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		rang := 0
		var every, due *engine.Timer
		every = k.mux.AfterFunc(time.Second, func() {
			if rang++; rang < 5 {
				every.Reset(time.Second)
			}
		})
		k.settle()
		k.advance(time.Minute)
		if rang != 5 {
			t.Errorf("it went off %d times", rang)
		}
		k.mux.AfterFunc(time.Second, func() { due.Stop() })
		due = k.mux.AfterFunc(time.Second, func() { t.Error("it went off after Stop") })
		stopped := k.mux.AfterFunc(time.Second, func() { t.Error("it went off after Stop") })
		if !stopped.Stop() || stopped.Stop() {
			t.Error("Stop doesn't know whether it was set")
		}
		k.settle()
		k.advance(time.Minute)
		if n := k.r.Timers(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}

// A panic in a timer's function ends nothing, and is told like a post's.
func TestMuxTimerThatPanics(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		var told []string
		cancel := k.mux.OnError(func(message string, err error) { told = append(told, message+": "+err.Error()) })
		defer cancel()
		k.mux.AfterFunc(time.Second, func() { panic("on purpose") })
		rang := false
		k.mux.AfterFunc(time.Second, func() { rang = true })
		k.settle()
		k.advance(2 * time.Second)
		if len(told) != 1 || !strings.Contains(told[0], "timer") || !strings.Contains(told[0], "on purpose") {
			t.Errorf("told %q", told)
		}
		if n := k.mux.Group.Panics(); n != 1 || !rang || c.State() != engine.Open {
			t.Errorf("%d panics counted, the other went off: %t; the connection is %v", n, rang, c.State())
		}
	})
}

// One that's set while the loop has slept through more than a second goes off all the same.
func TestMuxTimerSetInAStall(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		rang := 0
		k.mux.AfterFunc(10*time.Millisecond, func() {
			k.clock.now += 5 * time.Second
			k.mux.AfterFunc(time.Second, func() { rang++ })
		})
		k.settle()
		k.advance(20 * time.Second)
		if rang != 1 {
			t.Errorf("it went off %d times", rang)
		}
	})
}

// Once Terminate has returned nothing goes off, and nothing is set: whoever sets timers
// meanwhile, from wherever.
func TestMuxTimersEndWithTheLoops(t *testing.T) {
	m, err := engine.NewMux(engine.MuxConfig{Loops: 2, SlowCallback: -1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	var over atomic.Bool
	began := make(chan struct{}, 1)
	ring := func() {
		if over.Load() {
			t.Error("a timer goes off after Terminate")
		}
		select {
		case began <- struct{}{}:
		default:
		}
	}
	before := m.AfterFunc(0, ring) // counts although the loops don't run yet
	must(t, m.Start())
	receive(t, began, "the timer")
	idle := m.AfterFunc(time.Hour, ring)
	quit := make(chan struct{})
	var setters sync.WaitGroup
	for range 3 {
		setters.Go(func() {
			tm := m.AfterFunc(0, ring)
			for {
				select {
				case <-quit:
					return
				default:
					tm.Reset(0)
					before.Stop()
					before.Reset(time.Millisecond)
				}
			}
		})
	}
	receive(t, began, "a timer")
	must(t, m.Terminate())
	over.Store(true)
	close(quit)
	setters.Wait()
	if idle.Stop() || before.Reset(0) || before.Stop() || m.AfterFunc(0, ring).Stop() {
		t.Error("a timer is set after Terminate")
	}
	// A Mux that was never started has none either.
	m, err = engine.NewMux(engine.MuxConfig{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	tm := m.AfterFunc(0, func() { t.Error("it went off without a loop") })
	must(t, m.Terminate())
	if tm.Stop() {
		t.Error("it was to go off")
	}
}
