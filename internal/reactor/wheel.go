package reactor

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Timer calls OnTimer on the loop, once, no earlier than the time it was armed for.
// The zero value with Target set is ready for Arm. It's the loop's own.
type Timer struct {
	Target TimerTarget

	next, prev *Timer
	when       int64 // tick
	slot       *wheelSlot
}

// TimerTarget is whom a timer calls.
type TimerTarget interface {
	OnTimer(*Timer)
	OnPanic(value any, stack []byte)
}

// Armed reports whether the timer is waiting.
func (t *Timer) Armed() bool { return t.next != nil }

// The wheel: four levels of 64 slots. A slot of level n spans 64ⁿ ticks; its timers
// move to finer levels when its span begins. A timer beyond the last level waits in
// the farthest slot and is filed anew from there.
const (
	tick        = 4 * time.Millisecond
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 4
	wheelSpan   = 1 << (wheelBits * wheelLevels)

	// firesPerTurn bounds the timers that go off in one dispatch.
	firesPerTurn = 256
	// gap is how late an alarm may be before the time between is taken for one in
	// which the process didn't run (stopped, suspended, starved).
	gap = time.Second
	// forever is as long as a timer can be set for.
	forever = math.MaxInt64 / 2
)

type wheelSlot struct {
	ring  Timer // sentinel
	level uint8
	index uint8
}

type wheel struct {
	r       *Reactor
	levels  [wheelLevels][wheelSlots]wheelSlot
	used    [wheelLevels]uint64 // bit per slot: not empty
	now     int64               // tick up to which everything has gone off
	count   atomic.Int64        // of the timers that wait, for all to see
	due     wheelSlot           // taken out of the wheel, to go off in this turn or the next
	alarm   Alarm
	alarmAt time.Duration // when the alarm is set for; 0: it isn't
	turn    wheelTurn
}

func (w *wheel) init(r *Reactor) {
	w.r = r
	for l := range w.levels {
		for i := range w.levels[l] {
			s := &w.levels[l][i]
			s.level, s.index = uint8(l), uint8(i)
			s.ring.next, s.ring.prev = &s.ring, &s.ring
		}
	}
	w.due.ring.next, w.due.ring.prev = &w.due.ring, &w.due.ring
	w.turn.w = w
	w.alarm = r.group.config.Clock.NewAlarm(w.turn.post)
}

// wheelTurn is the task that the alarm posts.
type wheelTurn struct {
	Link
	w      *wheel
	posted atomic.Bool
}

func (t *wheelTurn) TaskLink() *Link { return &t.Link }

func (t *wheelTurn) post() {
	if t.posted.CompareAndSwap(false, true) && t.w.r.Post(t) != nil {
		t.posted.Store(false)
	}
}

func (t *wheelTurn) RunTask() {
	t.posted.Store(false)
	t.w.run()
}

// OnPanic hears of no user code: every timer runs on behalf of its own target.
func (t *wheelTurn) OnPanic(value any, _ []byte) { panic(value) }

// Arm sets t to go off after d (at once if d ≤ 0, but never from inside Arm), or moves
// it there. On the loop only.
func (r *Reactor) Arm(t *Timer, d time.Duration) {
	w := &r.wheel
	w.remove(t)
	w.skipGap()
	now := r.Now()
	if w.count.Load() == 0 {
		w.now = int64(now / tick) // nothing was waiting: no need to catch up
	}
	t.when = int64((now + min(d, forever) + tick - 1) / tick)
	w.count.Add(1)
	w.file(t)
	w.setAlarm()
}

// Disarm stops t if it's waiting. On the loop only.
func (r *Reactor) Disarm(t *Timer) { r.wheel.remove(t) }

// Timers is how many are waiting.
func (r *Reactor) Timers() int { return int(r.wheel.count.Load()) }

// file puts t into the slot of its time; the past counts as the next tick.
func (w *wheel) file(t *Timer) {
	when := max(t.when, w.now+1)
	when = min(when, w.now+wheelSpan-1)
	level := 0
	if delta := uint64(when - w.now); delta >= wheelSlots {
		level = (bits.Len64(delta) - 1) / wheelBits
	}
	s := &w.levels[level][(when>>(level*wheelBits))&(wheelSlots-1)]
	s.push(t)
	w.used[level] |= 1 << s.index
}

func (s *wheelSlot) push(t *Timer) {
	t.slot = s
	t.prev, t.next = s.ring.prev, &s.ring
	t.prev.next, s.ring.prev = t, t
}

func (w *wheel) remove(t *Timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	s := t.slot
	t.next, t.prev, t.slot = nil, nil, nil
	if s.ring.next == &s.ring && s != &w.due {
		w.used[s.level] &^= 1 << s.index
	}
	w.count.Add(-1)
}

// next is the first tick at which a slot must be looked at: timers of level 0 go off,
// those of higher levels are filed anew.
func (w *wheel) next() (at int64, ok bool) {
	for l, used := range w.used {
		if used == 0 {
			continue
		}
		position := w.now >> (l * wheelBits)
		// The distance from the slot after the current one; the current slot
		// itself holds what's a whole round away.
		ahead := bits.TrailingZeros64(bits.RotateLeft64(used, -int(position+1)&(wheelSlots-1))) + 1
		if t := (position + int64(ahead)) << (l * wheelBits); !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// run goes off with everything that's due.
func (w *wheel) run() {
	w.skipGap()
	w.alarmAt = 0
	w.advance(int64(w.r.Now() / tick))
	w.fire()
	w.setAlarm()
}

// skipGap leaves the time out in which the process didn't run.
func (w *wheel) skipGap() {
	if late := w.r.Now() - w.alarmAt; w.alarmAt != 0 && late > gap {
		w.r.skipped.Add(int64(late))
	}
}

func (w *wheel) advance(to int64) {
	for {
		at, ok := w.next()
		if !ok || at > to {
			w.now = max(w.now, to)
			return
		}
		w.now = at
		for l := wheelLevels - 1; l > 0; l-- {
			if at&(1<<(l*wheelBits)-1) == 0 {
				w.empty(&w.levels[l][(at>>(l*wheelBits))&(wheelSlots-1)])
			}
		}
		w.empty(&w.levels[0][at&(wheelSlots-1)])
	}
}

// empty moves a slot's timers to due or, if they're later than now, to where they
// belong now.
func (w *wheel) empty(s *wheelSlot) {
	if s.ring.next == &s.ring {
		return
	}
	t := s.ring.next
	s.ring.prev.next = nil
	s.ring.next, s.ring.prev = &s.ring, &s.ring
	w.used[s.level] &^= 1 << s.index
	for t != nil {
		following := t.next
		if t.when <= w.now {
			w.due.push(t)
		} else {
			w.file(t)
		}
		t = following
	}
}

func (w *wheel) fire() {
	for range firesPerTurn {
		t := w.due.ring.next
		if t == &w.due.ring {
			return
		}
		w.remove(t)
		w.r.fireTimer(t)
	}
	if w.due.ring.next != &w.due.ring {
		w.turn.post()
	}
}

// fireTimer calls a timer's target on its own behalf, within the wheel's turn.
func (r *Reactor) fireTimer(t *Timer) {
	outer := r.current
	r.callTimer(t)
	r.current = outer
}

func (r *Reactor) callTimer(t *Timer) {
	defer r.enter(t.Target).leave()
	t.Target.OnTimer(t)
	r.current = nil
}

func (w *wheel) setAlarm() {
	at, ok := w.next()
	if !ok {
		return // an alarm that's still set finds nothing to do
	}
	// The wheel lags behind while nothing is due, and a slot of a higher level may
	// have begun meanwhile: that's now, not a time we have missed.
	due := max(time.Duration(at)*tick, w.r.Now())
	if w.alarmAt != 0 && w.alarmAt <= due {
		return
	}
	w.alarmAt = due
	w.alarm.Set(due - w.r.Now())
}

func (w *wheel) stop() { w.alarm.Stop() }
