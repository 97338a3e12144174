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
