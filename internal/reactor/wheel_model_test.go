package reactor_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

const (
	tick = 4 * time.Millisecond // the wheel's resolution
	span = tick << 24           // what the wheel's levels cover, 18 h 38 min
	gap  = time.Second          // later than that, the process is taken to have been stopped
)

// spans are the durations that a sequence chooses from: around the ticks, around what
// each level covers, and beyond the last one.
var spans = []time.Duration{
	-time.Second, 0, 1, time.Millisecond, tick - 1, tick, tick + 1, 30 * time.Millisecond,
	tick<<6 - tick, tick<<6 - 1, tick << 6, tick<<6 + 1, time.Second,
	tick<<12 - tick, tick << 12, tick<<12 + 1, time.Minute,
	tick<<18 - tick, tick << 18, tick<<18 + 1, 3 * time.Hour,
	span - tick, span, span + 1, 3*span + 5*time.Hour,
}

// model is what the wheel must do: a list of timers and when each is due.
type model struct {
	*loop
	ops    []byte
	timers [24]modelTimer
	onTime bool // the alarms go off when they should
	fired  int
}

type modelTimer struct {
	m     *model
	timer reactor.Timer
	armed bool
	due   time.Duration
}

// next is the next choice; in the end it's 3, with which a callback does nothing.
func (m *model) next() int {
	if len(m.ops) == 0 {
		return 3
	}
	b := m.ops[0]
	m.ops = m.ops[1:]
	return int(b)
}

func (m *model) duration() time.Duration {
	return spans[m.next()%len(spans)] + time.Duration(m.next())*tick/100
}

func (m *model) arm() {
	t := &m.timers[m.next()%len(m.timers)]
	d := m.duration()
	t.armed, t.due = true, m.clock.now+max(d, 0)
	m.r.Arm(&t.timer, d)
}

func (m *model) disarm() {
	t := &m.timers[m.next()%len(m.timers)]
	t.armed = false
	m.r.Disarm(&t.timer)
}

func (t *modelTimer) OnPanic(v any, _ []byte) { panic(v) }

func (t *modelTimer) OnTimer(timer *reactor.Timer) {
	m, now := t.m, t.m.clock.now
	m.fired++
	switch {
	case timer != &t.timer:
		m.t.Error("called for another timer")
	case !t.armed:
		m.t.Error("went off without being armed")
	case timer.Armed():
		m.t.Error("armed while it goes off")
	case now < t.due:
		m.t.Errorf("%v early", t.due-now)
	case m.onTime && now > t.due+tick:
		m.t.Errorf("%v late, with an alarm on time", now-t.due)
	}
	t.armed = false
	switch m.next() % 4 { // and what a callback may do
	case 0:
		m.arm()
	case 1:
		m.disarm()
	}
}

// check compares the wheel with the model, at a moment when it has run.
func (m *model) check() {
	m.t.Helper()
	armed := 0
	for i := range m.timers {
		t := &m.timers[i]
		if t.armed != t.timer.Armed() {
			m.t.Fatalf("timer %d is armed: %t, want %t", i, t.timer.Armed(), t.armed)
		}
		if !t.armed {
			continue
		}
		armed++
		if m.clock.now > t.due+tick {
			m.t.Fatalf("timer %d is %v late", i, m.clock.now-t.due)
		}
	}
	if n := m.r.Timers(); n != armed {
		m.t.Fatalf("Timers says %d, want %d", n, armed)
	}
	if a := m.clock.first(); armed > 0 && a == nil {
		m.t.Fatalf("no alarm is set, and %d timers are armed", armed)
	}
}

func runModel(t *testing.T, ops []byte) {
	drive(t, reactor.Config{}, func(l *loop) {
		m := &model{loop: l, ops: ops}
		for i := range m.timers {
			m.timers[i].m = m
			m.timers[i].timer.Target = &m.timers[i]
		}
		for busy := 0; len(m.ops) > 0 && !t.Failed(); {
			m.onTime = false
			switch m.next() % 8 {
			case 0, 1, 2:
				m.arm()
			case 3:
				m.disarm()
			case 4, 5:
				l.late(0)
				m.onTime = true
				l.advance(max(m.duration(), 0))
				m.check()
				busy = 0
			case 6:
				l.late(time.Duration(m.next()) * gap / 512)
				m.check()
				busy = 0
			case 7: // time goes by while the loop does something else
				l.clock.now += time.Duration(m.next()) * tick / 50
				if busy++; busy == 20 { // and never as long as the gap
					l.late(0)
					busy = 0
				}
			}
		}
		l.late(0)
		m.onTime = true
		l.advance(10 * span) // whatever is left
		m.check()
		if n := l.r.Timers(); n != 0 {
			t.Errorf("%d timers never went off", n)
		}
		if l.clock.first() != nil {
			t.Error("an alarm is set, and no timer is armed")
		}
	})
}

// DESIGN, Time: the wheel never goes off early, never loses a timer, and is at most
// one tick late when it's run on time.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		ops := make([]byte, 600)
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		runModel(t, ops)
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func FuzzWheel(f *testing.F) {
	f.Add([]byte{0, 1, 10, 0, 4, 11, 0})
	f.Add([]byte{0, 1, 24, 0, 0, 2, 20, 9, 6, 255, 3, 1, 4, 24, 0})
	f.Add([]byte{0, 1, 22, 200, 7, 255, 0, 2, 8, 3, 6, 90, 5, 23, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		runModel(t, ops[:min(len(ops), 4096)])
	})
}
