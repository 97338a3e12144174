package reactor_test

import (
	"math"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// timer is a timer that tells when it went off.
type timer struct {
	reactor.Timer
	l     *loop
	fired []time.Duration // since the test's clock began
	then  func()
}

func (l *loop) timer() *timer {
	t := &timer{l: l}
	t.Target = t
	return t
}

func (t *timer) OnPanic(v any, _ []byte) { panic(v) }

func (t *timer) OnTimer(*reactor.Timer) {
	t.fired = append(t.fired, t.l.clock.now)
	if t.then != nil {
		t.then()
	}
}

func (t *timer) want(times ...time.Duration) {
	t.l.t.Helper()
	if len(t.fired) != len(times) {
		t.l.t.Fatalf("went off %d times (%v), want %d", len(t.fired), t.fired, len(times))
	}
	for i, at := range times {
		if got := t.fired[i]; got < at || got > at+tick {
			t.l.t.Errorf("went off at %v, want %v, or a tick later", got, at)
		}
	}
}

// wheel.go: firesPerTurn bounds the timers that go off in one dispatch.
func TestTimersDueAtOnceGoOffInTurns(t *testing.T) {
	const perTurn, turns = 256, 4
	drive(t, reactor.Config{}, func(l *loop) {
		fired := 0
		count := func(*reactor.Timer) { fired++ }
		all := make([]reactor.Timer, perTurn*turns)
		for i := range all {
			all[i].Target = &handler{timer: count}
			l.r.Arm(&all[i], time.Second)
		}
		events := 0
		must(t, l.r.Register(7, &handler{event: func(reactor.Events) { events++ }}))
		l.clock.now += time.Second + tick
		l.clock.ring()
		for i := range turns {
			if i == 2 { // what's due and waits for its turn can still be stopped
				l.r.Disarm(&all[len(all)-1])
			}
			if !l.turn() {
				t.Fatalf("turn %d: the loop isn't woken", i)
			}
			if want := perTurn*(i+1) - i/(turns-1); fired != want {
				t.Fatalf("%d timers after turn %d, want %d", fired, i, want)
			}
			l.dispatch(7, reactor.In)
		}
		l.settle()
		if fired != len(all)-1 || l.r.Timers() != 0 {
			t.Errorf("%d went off in all, %d are left", fired, l.r.Timers())
		}
		if events != turns {
			t.Errorf("%d events between, want %d", events, turns)
		}
	})
}

// DESIGN, Time: a gap above 1 s (a stopped process) is skipped, so that nobody is
// killed for our sleep. faults, Process: SIGSTOP for 30 s.
func TestGapIsSkipped(t *testing.T) {
	tests := []struct {
		name    string
		asleep  time.Duration // beyond the first timer's time
		skipped bool
	}{
		{"none", 0, false},
		{"up to a second", gap, false},
		{"above", gap + time.Millisecond, true},
		{"long", 30 * time.Second, true},
		{"longer than the wheel", 2 * span, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, reactor.Config{}, func(l *loop) {
				begin, loopBegin := l.clock.now, l.r.Now()
				first, second, last := l.timer(), l.timer(), l.timer()
				l.r.Arm(&first.Timer, 100*time.Millisecond)
				l.r.Arm(&second.Timer, 300*time.Millisecond)
				l.r.Arm(&last.Timer, 10*time.Second)
				l.late(100*time.Millisecond + tt.asleep)
				woke := l.clock.now
				first.want(woke)

				slept := time.Duration(0)
				if tt.skipped {
					slept = tt.asleep
				}
				if got := l.clock.now - begin - (l.r.Now() - loopBegin); got < slept-tick || got > slept+tick {
					t.Errorf("Now leaves out %v, want %v", got, slept)
				}
				l.advance(20 * time.Second)
				second.want(max(begin+slept+300*time.Millisecond, woke))
				last.want(begin + slept + 10*time.Second)
			})
		})
	}
}

// A timer that's armed after the sleep, before the wheel has noticed it, is as late as
// any other: its time doesn't include a sleep that's over.
func TestTimerArmedRightAfterAGap(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		before, after := l.timer(), l.timer()
		l.r.Arm(&before.Timer, 100*time.Millisecond)
		l.clock.now += time.Hour // asleep
		l.r.Arm(&after.Timer, 100*time.Millisecond)
		woke := l.clock.now
		l.late(0)
		before.want(woke)
		l.advance(time.Minute)
		after.want(woke + 100*time.Millisecond)
	})
}

// A far timer neither delays a near one that's armed later, nor makes the time
// between look like a gap.
func TestFarTimerThenNearOne(t *testing.T) {
	for _, idle := range []time.Duration{time.Second, time.Minute, 20 * time.Minute, 2 * time.Hour, 12 * time.Hour} {
		t.Run(idle.String(), func(t *testing.T) {
			drive(t, reactor.Config{}, func(l *loop) {
				begin, loopBegin := l.clock.now, l.r.Now()
				far, near := l.timer(), l.timer()
				l.r.Arm(&far.Timer, span+time.Hour)
				l.advance(idle + 17*time.Millisecond)
				armed := l.clock.now
				l.r.Arm(&near.Timer, 100*time.Millisecond)
				l.advance(time.Minute)
				near.want(armed + 100*time.Millisecond)
				if l.r.Now()-loopBegin != l.clock.now-begin {
					t.Errorf("Now leaves out %v, and nothing was ever late", l.clock.now-begin-(l.r.Now()-loopBegin))
				}
				l.advance(2 * span)
				far.want(begin + span + time.Hour)
			})
		})
	}
}

// reactor doc: the wheel sleeps until its next slot is due; a connection without a
// timer costs it nothing.
func TestAlarmIsSetOnlyWhileTimersAre(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		a := l.clock.alarms[0]
		if a.set {
			t.Fatal("an alarm is set before any timer")
		}
		tm := l.timer()
		l.r.Arm(&tm.Timer, time.Minute)
		if !a.set {
			t.Fatal("no alarm is set for a timer")
		}
		l.r.Disarm(&tm.Timer)
		l.advance(time.Hour) // the alarm may still go off, once
		if a.set || l.wakes > 1 {
			t.Errorf("an alarm is set: %t, after %d wake-ups; no timer is armed", a.set, l.wakes)
		}
		tm.want()
		l.r.Arm(&tm.Timer, time.Second)
		at := l.clock.now
		l.advance(time.Hour)
		tm.want(at + time.Second)
		if a.set {
			t.Error("an alarm is set after the last timer has gone off")
		}
	})
}

// A timer wakes the loop when it's due, and once more for each level on its way.
func TestTimerCostsFewWakeUps(t *testing.T) {
	for _, d := range []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour, 10 * time.Hour} {
		drive(t, reactor.Config{}, func(l *loop) {
			l.clock.now += 12345678 * time.Microsecond
			tm := l.timer()
			at := l.clock.now
			l.r.Arm(&tm.Timer, d)
			l.advance(2 * d)
			l.advance(tick)
			tm.want(at + d)
			if l.wakes > 4 {
				t.Errorf("%v: %d wake-ups", d, l.wakes)
			}
		})
	}
}

// Arm moves a timer that's armed, in both directions.
func TestArmMoves(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		tm := l.timer()
		begin := l.clock.now
		for _, d := range []time.Duration{time.Hour, time.Second, time.Minute} {
			l.r.Arm(&tm.Timer, d)
			if n := l.r.Timers(); n != 1 || !tm.Armed() {
				t.Fatalf("%d timers", n)
			}
		}
		l.advance(2 * time.Hour)
		tm.want(begin + time.Minute)
		l.r.Disarm(&tm.Timer) // no effect
		if n := l.r.Timers(); n != 0 {
			t.Errorf("%d timers", n)
		}
	})
}

// Arm: at once if d ≤ 0, but never from inside Arm, and each time in a turn of its own.
func TestTimerThatArmsItselfForNow(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Hour} {
		drive(t, reactor.Config{}, func(l *loop) {
			tm := l.timer()
			tm.then = func() { l.r.Arm(&tm.Timer, d) }
			tm.then()
			if len(tm.fired) != 0 {
				t.Fatal("went off inside Arm")
			}
			begin := l.clock.now
			l.advance(25 * tick)
			if n := len(tm.fired); n < 20 || n > 26 {
				t.Errorf("%v: went off %d times in 25 ticks", d, n)
			}
			if l.r.Now()-begin > 25*tick {
				t.Error("time ran ahead")
			}
			tm.then = nil
			l.advance(tick)
		})
	}
}

// For ever is a time-out too.
func TestArmForEver(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		tm := l.timer()
		l.r.Arm(&tm.Timer, math.MaxInt64)
		l.advance(3 * span)
		tm.want()
		l.r.Disarm(&tm.Timer)
	})
}

func TestSystemClock(t *testing.T) {
	g := start(t, reactor.Config{Loops: 1, Slow: -1})
	r := g.Reactors()[0]
	fired := make(chan time.Duration, 1)
	tm := &reactor.Timer{Target: &handler{timer: func(*reactor.Timer) { fired <- r.Now() }}}
	var armed time.Duration
	onLoop(t, r, func() {
		armed = r.Now()
		r.Arm(tm, 30*time.Millisecond)
	})
	if took := receive(t, fired, "a timer") - armed; took < 30*time.Millisecond {
		t.Errorf("went off after %v", took)
	}
}
