package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// clock is a reactor.Clock that stands still until it's moved.
type clock struct {
	now    time.Duration
	alarms []*alarm
	rung   int
}

type alarm struct {
	c   *clock
	f   func()
	set bool
	at  time.Duration
}

func (c *clock) Now() time.Duration { return c.now }

func (c *clock) NewAlarm(f func()) reactor.Alarm {
	a := &alarm{c: c, f: f}
	c.alarms = append(c.alarms, a)
	return a
}

func (a *alarm) Set(after time.Duration) { a.set, a.at = true, a.c.now+after }
func (a *alarm) Stop()                   { a.set = false }

func (c *clock) first() (next *alarm) {
	for _, a := range c.alarms {
		if a.set && (next == nil || a.at < next.at) {
			next = a
		}
	}
	return next
}

// poller is a reactor.Poller whose Wait runs a test.
type poller struct {
	k        *kernel
	body     func()
	dispatch func(int, reactor.Events) bool
	woken    chan struct{} // holds a wake-up
	ended    bool
	refuse   error // what Add returns
}

func (p *poller) Add(fd int) error {
	if p.refuse == nil {
		p.k.log("register %d", fd)
	}
	return p.refuse
}

func (p *poller) AddListener(fd int) error { return p.Add(fd) }

func (p *poller) Delete(fd int) error {
	p.k.log("deregister %d", fd)
	return nil
}

func (p *poller) Wake() error {
	select {
	case p.woken <- struct{}{}:
	default:
	}
	return nil
}

func (p *poller) Close() error { return nil }

func (p *poller) Wait(dispatch func(int, reactor.Events) bool) error {
	p.dispatch = dispatch
	p.body()
	for !p.ended {
		<-p.woken
		p.ended = dispatch(reactor.WakeFD, 0)
	}
	return nil
}

// broken is a poller that fails at once.
type broken struct{ *poller }

func (broken) Wait(func(int, reactor.Events) bool) error { return errors.New("broken") }

// setup is what a test may want otherwise.
type setup struct {
	env       *engine.Env // nil: the zero value
	budget    int
	memory    bool // with Recv
	noPlace   bool // the acceptor is refused its first place
	deadLoop  bool // there's a second loop, which has failed
	placement reactor.Placement
	buffers   buffers.Config // of the allocator
}

// kit is a loop with a scripted kernel, a fake poller and a clock that stands still.
// The test is the loop: it runs inside the poller's Wait, so that nothing happens but
// what it does. Calls off the loop are made by off.
type kit struct {
	t        testing.TB
	kernel   *kernel
	poller   *poller
	clock    *clock
	mux      *engine.Mux
	r        *reactor.Reactor
	env      *engine.Env
	user     *recorder
	policy   *policy
	acceptor *engine.Acceptor
	listener int
	stopped  chan error
	spawned  []func() // and not started
}

// drive runs body as the loop of a listener. At the end the loop is stopped; nothing
// may be left then: no descriptor, no buffer.
func drive(t testing.TB, s setup, body func(k *kit)) {
	t.Helper()
	k := &kit{
		t: t, kernel: newKernel(t), clock: &clock{now: time.Hour},
		user: newRecorder(t), policy: &policy{places: math.MaxInt}, stopped: make(chan error, 1),
	}
	k.poller = &poller{k: k.kernel, woken: make(chan struct{}, 1)}
	if s.noPlace {
		k.policy.places = 0
	}
	loops, opened := 1, 0
	if s.deadLoop {
		loops = 2
	}
	mux, err := engine.NewMux(engine.MuxConfig{
		Loops: loops, Placement: s.placement, SlowCallback: -1, TurnBudget: s.budget, Logger: slog.New(slog.DiscardHandler),
		Reactor: reactor.Config{
			NewPoller: func() (reactor.Poller, error) {
				if opened++; opened == 2 {
					return broken{k.poller}, nil
				}
				return k.poller, nil
			},
			Kernel: k.kernel,
			Clock:  k.clock,
			Spawn:  func(f func()) { k.spawned = append(k.spawned, f) },
		},
	})
	must(t, err)
	k.mux, k.r = mux, mux.Group.Reactors()[0]
	k.env = s.env
	if k.env == nil {
		k.env = &engine.Env{}
	}
	k.env.Mux, k.env.Consumer, k.env.Allocator = mux, k.user, buffers.New(s.buffers)
	k.env.Origin = "test"
	if s.memory {
		k.env.Memory = k.user
	}
	k.env.InitShards()
	must(t, mux.Start())
	k.poller.body = func() {
		k.listener = k.kernel.newFD()
		a, err := engine.NewAcceptor(k.env, k.policy, k.r, k.listener, s.deadLoop)
		must(t, err)
		k.acceptor = a
		k.settle()
		body(k)
		k.stop()
	}
	loop := k.spawned
	k.spawned = nil
	for _, f := range slices.Backward(loop) { // the dead loop first
		f()
	}
	must(t, receive(t, k.stopped, "Terminate"))
	k.check()
}

// stop ends the loop, if it hasn't been.
func (k *kit) stop() {
	if k.poller.ended {
		return
	}
	k.askToStop()
	for !k.poller.ended {
		receive(k.t, k.poller.woken, "Terminate")
		k.poller.ended = k.poller.dispatch(reactor.WakeFD, 0)
	}
}

// askToStop has Terminate called elsewhere, and returns when it has posted its request.
func (k *kit) askToStop() {
	posts := func() int64 { return k.mux.Group.Stats()[0].Posts }
	before := posts()
	go func() { k.stopped <- k.mux.Terminate() }()
	for posts() == before {
		runtime.Gosched()
	}
}

func (k *kit) check() {
	k.t.Helper()
	if fds := k.kernel.leaked(); len(fds) > 0 {
		k.t.Errorf("descriptors %v were never closed", fds)
	}
	if s := k.env.Allocator.Stats(); s.Outstanding != 0 || s.Misuses != 0 {
		k.t.Errorf("%d buffers with %d bytes weren't given back, %d misuses", s.Outstanding, s.InUse, s.Misuses)
	}
	k.checkGauges()
	k.user.check()
}

// turn delivers a wake-up, if there is one.
func (k *kit) turn() bool {
	select {
	case <-k.poller.woken:
		k.poller.ended = k.poller.dispatch(reactor.WakeFD, 0)
		return true
	default:
		return false
	}
}

// settle delivers wake-ups until there are no more.
func (k *kit) settle() {
	k.t.Helper()
	for range 10_000 {
		if !k.turn() {
			return
		}
	}
	k.t.Fatal("the loop wakes itself for ever")
}

// event delivers an event, and nothing else.
func (k *kit) event(s *socket, ev reactor.Events) { k.poller.dispatch(s.fd, ev) }

// fire delivers an event, and what follows from it.
func (k *kit) fire(s *socket, ev reactor.Events) {
	k.t.Helper()
	k.event(s, ev)
	k.settle()
}

// accept brings sockets through the acceptor to their loop.
func (k *kit) accept(sockets ...*socket) {
	k.t.Helper()
	k.kernel.backlog = append(k.kernel.backlog, sockets...)
	k.poller.dispatch(k.listener, reactor.In)
	k.settle()
}

// connect makes a connection.
func (k *kit) connect() (*socket, *engine.Conn) {
	k.t.Helper()
	s := k.kernel.socket()
	k.accept(s)
	return s, k.conn(s)
}

// conn is the connection of a socket.
func (k *kit) conn(s *socket) *engine.Conn {
	k.t.Helper()
	c := k.user.byFD[s.fd]
	if c == nil {
		k.t.Fatalf("descriptor %d has no connection", s.fd)
	}
	return c
}

// deliver has the peer send p.
func (k *kit) deliver(s *socket, p string) {
	k.t.Helper()
	s.in = append(s.in, p...)
	k.fire(s, reactor.In)
}

// advance moves the clock on by d. Alarms go off on time, and the loop runs then.
func (k *kit) advance(d time.Duration) {
	k.t.Helper()
	end := k.clock.now + d
	for a := k.clock.first(); a != nil && a.at <= end; a = k.clock.first() {
		k.clock.now = max(k.clock.now, a.at)
		a.set = false
		k.clock.rung++
		a.f()
		k.settle()
	}
	k.clock.now = end
}

// buffer makes a buffer with content.
func (k *kit) buffer(p string) *buffers.Buffer { return k.env.Allocator.Copy([]byte(p)) }

// count is a counter's value.
func (k *kit) count(c engine.Counter) uint64 {
	all := k.env.Counts()
	return all[c]
}

// policy is an engine.AcceptPolicy with a number of places.
type policy struct {
	places   int
	placed   int
	ended    int
	unwanted int // so many are refused when they're offered
	owner    any
	failures []string
}

func (p *policy) Admit() bool {
	if p.places == 0 {
		return false
	}
	p.places--
	return true
}

func (p *policy) Offer(sys.Addr) (owner any, wanted bool) {
	if p.unwanted > 0 {
		p.unwanted--
		return nil, false
	}
	return p.owner, true
}

func (p *policy) Placed() { p.placed++ }
func (p *policy) Cancel() { p.places++ }
func (p *policy) Ended()  { p.ended++ }

func (p *policy) AcceptFailed(err error, fatal bool) {
	what := "transient"
	if fatal {
		what = "fatal"
	}
	p.failures = append(p.failures, fmt.Sprintf("%s: %v", what, err))
}

var _ sys.Kernel = (*kernel)(nil)
