package reactor_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
)

// peers, gnet's pkg/netpoll: events carry only the descriptor's number. One that's
// closed earlier in a batch hears nothing more; its number's next owner may.
func TestEventsOfADescriptorThatIsGone(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		var log []string
		named := func(name string, then func()) *handler {
			return &handler{event: func(ev reactor.Events) {
				log = append(log, fmt.Sprint(name, " ", ev))
				if then != nil {
					then()
				}
			}}
		}
		second := named("second", nil)
		must(t, l.r.Register(5, named("first", func() {
			l.r.Deregister(6)
			l.r.Deregister(7)
			must(t, l.r.Register(7, second))
		})))
		must(t, l.r.Register(6, named("gone", nil)))
		must(t, l.r.RegisterListener(7, named("replaced", nil)))
		for _, fd := range []int{5, 6, 7} { // one batch, fetched before the first was handled
			if l.dispatch(fd, reactor.In|reactor.Hup) {
				t.Fatal("the loop stops")
			}
		}
		l.dispatch(1<<20, reactor.In) // nobody's
		want := []string{fmt.Sprint("first ", reactor.In|reactor.Hup), fmt.Sprint("second ", reactor.In|reactor.Hup)}
		if !slices.Equal(log, want) {
			t.Errorf("%q, want %q", log, want)
		}
		if want := []int{5, 7}; !slices.Equal(l.added, want) {
			t.Errorf("registered: %v, want %v", l.added, want)
		}
		for _, fd := range slices.Clone(l.added) {
			l.r.Deregister(fd)
		}
		if len(l.added) != 0 {
			t.Errorf("still registered: %v", l.added)
		}
	})
}

// A registration that fails leaves no handler behind.
func TestRegisterThatFails(t *testing.T) {
	g := start(t, reactor.Config{Loops: 1})
	r := g.Reactors()[0]
	onLoop(t, r, func() {
		if err := r.Register(1<<20, &handler{}); !errors.Is(err, unix.EBADF) {
			t.Errorf("Register of no descriptor: %v", err)
		}
		r.Handlers(func(reactor.Handler) bool {
			t.Error("a handler is registered")
			return true
		})
		r.Deregister(1 << 20) // harmless
	})
}

func TestHandlersStopsWhenTold(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		for fd := range 10 {
			must(t, l.r.Register(fd*1000, &handler{}))
		}
		seen := 0
		l.r.Handlers(func(reactor.Handler) bool {
			seen++
			return seen < 4
		})
		if seen != 4 {
			t.Errorf("%d handlers, want 4", seen)
		}
	})
}

// DESIGN, Readiness: registered once, edge-triggered, with everything.
func TestEventsOfRealSockets(t *testing.T) {
	g := start(t, reactor.Config{Loops: 1})
	r := g.Reactors()[0]
	a, b := pair(t)
	events := make(chan reactor.Events, 100)
	onLoop(t, r, func() {
		h := &handler{event: func(ev reactor.Events) { events <- ev }}
		h.stop = func() { r.Deregister(a) }
		must(t, r.Register(a, h))
	})
	until := func(what string, want reactor.Events) {
		t.Helper()
		for {
			ev := receive(t, events, what)
			if ev&want == want {
				return
			}
		}
	}
	until("room at first", reactor.Out)
	_, err := unix.Write(b, []byte("x"))
	must(t, err)
	until("bytes", reactor.In)
	must(t, unix.Shutdown(b, unix.SHUT_WR))
	until("the peer's end", reactor.In|peerEnd)
	must(t, unix.Shutdown(b, unix.SHUT_RD))
	must(t, unix.Shutdown(a, unix.SHUT_WR))
	until("both ends", reactor.In|peerEnd)
}

func TestOnLoop(t *testing.T) {
	g := start(t, reactor.Config{Loops: 2})
	r0, r1 := g.Reactors()[0], g.Reactors()[1]
	if g.OnLoop() || r0.OnLoop() {
		t.Error("the test is taken for a loop")
	}
	onLoop(t, r1, func() {
		if !g.OnLoop() || !r1.OnLoop() || r0.OnLoop() {
			t.Errorf("on loop 1: group %t, 0 %t, 1 %t", g.OnLoop(), r0.OnLoop(), r1.OnLoop())
		}
	})
	if r0.Index() != 0 || r1.Index() != 1 || r1.Group() != g {
		t.Error("the loops don't know who they are")
	}
}
