package reactor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// clock is a reactor.Clock that stands still until it's moved.
type clock struct {
	now    time.Duration
	alarms []*alarm
	looked int
}

type alarm struct {
	c    *clock
	f    func()
	set  bool
	at   time.Duration
	sets int
}

func (c *clock) Now() time.Duration {
	c.looked++
	return c.now
}

func (c *clock) NewAlarm(f func()) reactor.Alarm {
	a := &alarm{c: c, f: f}
	c.alarms = append(c.alarms, a)
	return a
}

func (a *alarm) Set(after time.Duration) {
	a.set, a.at = true, a.c.now+after
	a.sets++
}

func (a *alarm) Stop() { a.set = false }

// first is the alarm that goes off next; nil if none is set.
func (c *clock) first() (next *alarm) {
	for _, a := range c.alarms {
		if a.set && (next == nil || a.at < next.at) {
			next = a
		}
	}
	return next
}

// ring has the alarms go off that are due.
func (c *clock) ring() {
	for a := c.first(); a != nil && a.at <= c.now; a = c.first() {
		a.set = false
		a.f()
	}
}

// poller is a reactor.Poller whose Wait runs a test.
type poller struct {
	body     func()
	dispatch func(int, reactor.Events) bool
	woken    chan struct{} // holds a wake-up
	ended    bool          // dispatch said so
	added    []int
	wakes    int
	err      error // of Wait, instead of running to the end
	closes   int
}

func newPoller() *poller { return &poller{woken: make(chan struct{}, 1)} }

func (p *poller) Add(fd int) error {
	p.added = append(p.added, fd)
	return nil
}

func (p *poller) AddListener(fd int) error { return p.Add(fd) }

func (p *poller) Delete(fd int) error {
	p.added = slices.DeleteFunc(p.added, func(other int) bool { return other == fd })
	return nil
}

func (p *poller) Wake() error {
	p.wakes++
	select {
	case p.woken <- struct{}{}:
	default:
	}
	return nil
}

func (p *poller) Close() error {
	p.closes++
	return nil
}

func (p *poller) Wait(dispatch func(int, reactor.Events) bool) error {
	p.dispatch = dispatch
	p.body()
	for !p.ended && p.err == nil {
		<-p.woken
		p.ended = dispatch(reactor.WakeFD, 0)
	}
	return p.err
}

// turn delivers a wake-up, if there is one.
func (p *poller) turn() bool {
	select {
	case <-p.woken:
		p.ended = p.dispatch(reactor.WakeFD, 0)
		return true
	default:
		return false
	}
}

// loop is a single loop with a fake poller and clock, which the test itself is: it runs
// inside the poller's Wait, so that nothing happens but what it does.
type loop struct {
	*poller
	t     testing.TB
	clock *clock
	g     *reactor.Group
	r     *reactor.Reactor
}

// drive runs body as a loop.
func drive(t testing.TB, c reactor.Config, body func(l *loop)) {
	t.Helper()
	l := &loop{poller: newPoller(), t: t, clock: &clock{now: time.Hour}}
	var spawned []func()
	c.Loops = 1
	c.Slow = -1
	c.NewPoller = func() (reactor.Poller, error) { return l.poller, nil }
	c.Clock = l.clock
	c.Spawn = func(f func()) { spawned = append(spawned, f) }
	g, err := reactor.NewGroup(c)
	must(t, err)
	must(t, g.Start())
	l.g, l.r = g, g.Reactors()[0]
	stopped := make(chan error, 1)
	l.body = func() {
		body(l)
		go func() { stopped <- g.Stop() }()
	}
	for _, f := range spawned {
		f()
	}
	must(t, receive(t, stopped, "Stop"))
}

// settle delivers wake-ups until there are no more.
func (l *loop) settle() {
	l.t.Helper()
	for range 10_000 {
		if !l.turn() {
			return
		}
	}
	l.t.Fatal("the loop wakes itself for ever")
}

// advance moves the clock on by d. Alarms go off on time, and the loop runs then.
func (l *loop) advance(d time.Duration) {
	l.t.Helper()
	end := l.clock.now + d
	for a := l.clock.first(); a != nil && a.at <= end; a = l.clock.first() {
		l.clock.now = max(l.clock.now, a.at)
		l.clock.ring()
		l.settle()
	}
	l.clock.now = end
}

// late moves the clock on by d while the loop is busy or stopped; then alarms go off
// and it runs.
func (l *loop) late(d time.Duration) {
	l.t.Helper()
	l.clock.now += d
	l.clock.ring()
	l.settle()
}
