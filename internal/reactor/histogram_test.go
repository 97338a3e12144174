package reactor_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// An upper bound belongs to its class, as Prometheus has it.
func TestHistogram(t *testing.T) {
	bounds := []time.Duration{10, 20, 30}
	h := reactor.NewHistogram(bounds)
	for _, d := range []time.Duration{-5, 0, 10, 11, 20, 30, 31, math.MaxInt64 / 2} {
		h.Observe(d)
	}
	got := h.Durations()
	if want := []uint64{3, 2, 1, 2}; !slices.Equal(got.Counts, want) || !slices.Equal(got.Bounds, bounds) {
		t.Errorf("%v below %v, want %v", got.Counts, got.Bounds, want)
	}
	if want := time.Duration(102 + math.MaxInt64/2); got.Sum != want || got.Count() != 8 {
		t.Errorf("%d with the sum %v, want 8 with %v", got.Count(), got.Sum, want)
	}
	o := reactor.NewHistogram(bounds)
	o.Observe(15)
	var sum reactor.Durations
	sum = sum.Plus(got).Plus(o.Durations())
	if sum.Count() != 9 || sum.Counts[1] != 3 || sum.Sum != got.Sum+15 || got.Counts[1] != 2 {
		t.Errorf("the sum is %v, of %v", sum, got)
	}
}

// operations, Metrics: one dispatch in so many is timed, with two looks at the clock and
// none at the others.
func TestTurnsAreSampled(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		before := l.g.Stats()[0]
		const samples = 5
		for range samples * reactor.SampleEvery {
			must(t, l.r.PostFunc(func() { l.clock.now += 3 * time.Millisecond }))
			l.settle()
		}
		st := l.g.Stats()[0]
		if n := st.Turns.Count() - before.Turns.Count(); n != samples || st.Turns.Sum-before.Turns.Sum != samples*3*time.Millisecond {
			t.Errorf("%d of %d dispatches were timed, as %v in all", n, st.Events-before.Events, st.Turns.Sum)
		}
		if i, _ := slices.BinarySearch(st.Turns.Bounds, 5*time.Millisecond); st.Turns.Counts[i] != samples {
			t.Errorf("in the classes: %v", st.Turns.Counts)
		}
	})
}

// A dispatch that panics is timed like any other, and the next sample comes in its turn.
func TestTurnsThatPanicAreSampled(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		for range 3 * reactor.SampleEvery {
			must(t, l.r.PostFunc(func() { panic("on purpose") }))
			l.settle()
		}
		if n := l.g.Stats()[0].Turns.Count(); n != 3 {
			t.Errorf("%d samples", n)
		}
	})
}

// operations, Metrics: timers_active: those that wait, and not those that went off or were
// stopped.
func TestTimersAreCounted(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		timers := make([]reactor.Timer, 3)
		for i := range timers {
			timers[i].Target = silent{}
			l.r.Arm(&timers[i], time.Duration(i+1)*time.Second)
		}
		must := func(want int64) {
			t.Helper()
			if n := l.g.Stats()[0].Timers; n != want {
				t.Errorf("%d timers, want %d", n, want)
			}
		}
		must(3)
		l.r.Arm(&timers[2], time.Minute)
		must(3)
		l.advance(1500 * time.Millisecond)
		must(2)
		l.r.Disarm(&timers[2])
		l.r.Disarm(&timers[2])
		must(1)
		l.advance(time.Minute)
		must(0)
	})
}

type silent struct{}

func (silent) OnTimer(*reactor.Timer) {}
func (silent) OnPanic(any, []byte)    {}
