package reactor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// work makes dispatches of a length, with pauses between.
func (l *loop) work(n int, length, pause time.Duration) {
	l.t.Helper()
	for range n {
		must(l.t, l.r.PostFunc(func() { l.clock.now += length }))
		l.settle()
		l.clock.now += pause
	}
}

// operations, Metrics: each dispatch is timed where they're few, one in so many where
// they're many, and stands for the others: however they're mixed, how long they take and
// how busy the loop is comes out right.
func TestTurnsAreSampled(t *testing.T) {
	const us = time.Microsecond
	tests := []struct {
		name          string
		n             int
		length, pause time.Duration
		looks         int // at the clock, at most
	}{
		{"few", 1000, 3 * time.Millisecond, 40 * time.Millisecond, 2000},
		{"few and short", 1000, us, time.Second, 2000},
		{"many", 100 * reactor.SampleEvery, 5 * us, 10 * us, 202},
		{"without a pause", 100 * reactor.SampleEvery, 5 * us, 0, 202},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, reactor.Config{}, func(l *loop) {
				looked := l.clock.looked
				l.work(tt.n, tt.length, tt.pause)
				if n := l.clock.looked - looked; n > tt.looks {
					t.Errorf("%d looks at the clock for %d dispatches", n, tt.n)
				}
				st := l.g.Stats()[0]
				if d := st.Events - st.Turns.Count(); d > reactor.SampleEvery {
					t.Errorf("%d dispatches are estimated as %d", st.Events, st.Turns.Count())
				}
				want := time.Duration(tt.n) * tt.length
				for name, got := range map[string]time.Duration{"busy": st.Busy, "the turns": st.Turns.Sum} {
					if got > want || got < want*98/100 {
						t.Errorf("%s: %v, want %v", name, got, want)
					}
				}
				if i, _ := slices.BinarySearch(st.Turns.Bounds, tt.length); st.Turns.Counts[i] != st.Turns.Count() {
					t.Errorf("in the classes: %v", st.Turns.Counts)
				}
			})
		})
	}
}

// A loop is never busier than always, whichever dispatch is timed; and one that works in
// bursts is timed again when they're over.
func TestBusyInBursts(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		for range 50 {
			begun, busy := l.clock.now, l.g.Stats()[0].Busy
			l.work(10*reactor.SampleEvery, 2*time.Microsecond, 0)
			l.work(1, 30*time.Millisecond, 0)
			l.work(2*reactor.SampleEvery, 2*time.Microsecond, 0)
			if more, most := l.g.Stats()[0].Busy-busy, l.clock.now-begun; more > most {
				t.Errorf("busy for %v of %v", more, most)
			}
			l.work(20, 2*time.Millisecond, 2*time.Millisecond)
		}
		timed := l.clock.looked
		l.work(10, time.Millisecond, time.Millisecond)
		if n := l.clock.looked - timed; n != 20 {
			t.Errorf("%d looks at the clock for 10 dispatches, far from each other", n)
		}
	})
}

// A dispatch that panics is timed like any other, and the next sample comes in its turn.
func TestTurnsThatPanicAreSampled(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		for range 3 * reactor.SampleEvery {
			must(t, l.r.PostFunc(func() {
				l.clock.now += time.Millisecond
				panic("on purpose")
			}))
			l.settle()
		}
		if st := l.g.Stats()[0]; st.Turns.Count() != st.Events || st.Busy != time.Duration(st.Events)*time.Millisecond {
			t.Errorf("%d dispatches of %d are timed, as %v in all", st.Turns.Count(), st.Events, st.Busy)
		}
	})
}
