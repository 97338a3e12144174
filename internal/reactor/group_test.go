package reactor_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

func TestPlacement(t *testing.T) {
	const loops = 3
	tests := []struct {
		name      string
		placement reactor.Placement
		load      [loops]int64 // at first
		want      []int        // the loops that the next connections go to
	}{
		{"round robin", reactor.RoundRobin, [loops]int64{9, 0, 0}, []int{0, 1, 2, 0, 1, 2, 0}},
		{"least connections, all alike", reactor.LeastConnections, [loops]int64{}, []int{0, 1, 2, 0, 1, 2, 0}},
		{"least connections, uneven", reactor.LeastConnections, [loops]int64{3, 1, 2}, []int{1, 1, 2, 0, 1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, reactor.Config{Loops: loops, Placement: tt.placement})
			for i, n := range tt.load {
				g.Reactors()[i].AddLoad(n)
			}
			var got []int
			for range tt.want {
				got = append(got, g.Place().Index())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("placed on %v, want %v", got, tt.want)
			}
			total := int64(0)
			for i, s := range g.Stats() {
				total += s.Connections - tt.load[i]
			}
			if total != int64(len(tt.want)) {
				t.Errorf("%d connections counted, want %d", total, len(tt.want))
			}
		})
	}
}

func TestStartStopWait(t *testing.T) {
	g, err := reactor.NewGroup(reactor.Config{})
	must(t, err)
	if n := len(g.Reactors()); n != runtime.GOMAXPROCS(0) {
		t.Errorf("%d loops, want GOMAXPROCS, %d", n, runtime.GOMAXPROCS(0))
	}
	must(t, g.Start())
	if err := g.Start(); !errors.Is(err, reactor.ErrState) {
		t.Errorf("a second Start: %v, want ErrState", err)
	}
	waited := make(chan struct{})
	go func() {
		g.Wait()
		close(waited)
	}()
	must(t, g.Stop())
	receive(t, waited, "Wait")
	must(t, g.Stop())
	if err := g.Start(); !errors.Is(err, reactor.ErrState) {
		t.Errorf("Start after Stop: %v, want ErrState", err)
	}
	if err := g.Reactors()[0].PostFunc(func() {}); !errors.Is(err, reactor.ErrStopped) {
		t.Errorf("Post after Stop: %v, want ErrStopped", err)
	}
}

func TestStopByMany(t *testing.T) {
	g, err := reactor.NewGroup(reactor.Config{Loops: 2})
	must(t, err)
	must(t, g.Start())
	var stoppers sync.WaitGroup
	for range 8 {
		stoppers.Go(func() {
			if err := g.Stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if err := g.Reactors()[1].PostFunc(func() {}); !errors.Is(err, reactor.ErrStopped) {
				t.Errorf("Post after a Stop: %v", err)
			}
		})
	}
	stoppers.Wait()
}

func TestStopWithoutStart(t *testing.T) {
	g, err := reactor.NewGroup(reactor.Config{Loops: 2})
	must(t, err)
	must(t, g.Stop())
	must(t, g.Stop())
	if err := g.Start(); !errors.Is(err, reactor.ErrState) {
		t.Errorf("Start after Stop: %v, want ErrState", err)
	}
}

func TestNegativeLoops(t *testing.T) {
	if _, err := reactor.NewGroup(reactor.Config{Loops: -1}); err == nil || !strings.Contains(err.Error(), "-1 loops") {
		t.Errorf("%v; want an error that names the number", err)
	}
}

// Handler: OnStop is called, on the loop, for every descriptor that's registered still.
func TestStopTellsHandlers(t *testing.T) {
	g, err := reactor.NewGroup(reactor.Config{Loops: 1})
	must(t, err)
	must(t, g.Start())
	r := g.Reactors()[0]
	stopped := 0
	onLoop(t, r, func() {
		for range 5 {
			a, _ := pair(t)
			must(t, r.Register(a, &handler{
				event: func(reactor.Events) {},
				stop: func() {
					stopped++
					r.Deregister(a)
					if !r.OnLoop() {
						t.Error("OnStop isn't on the loop")
					}
					if err := r.PostFunc(func() {}); !errors.Is(err, reactor.ErrStopped) {
						t.Errorf("Post in OnStop: %v, want ErrStopped", err)
					}
				},
			}))
		}
	})
	must(t, g.Stop())
	if stopped != 5 {
		t.Errorf("%d handlers were told, want 5", stopped)
	}
}

// NewGroup opens all pollers or none.
func TestPollerThatCannotBeOpened(t *testing.T) {
	broken := errors.New("no more pollers")
	var opened []*poller
	_, err := reactor.NewGroup(reactor.Config{Loops: 4, NewPoller: func() (reactor.Poller, error) {
		if len(opened) == 2 {
			return nil, broken
		}
		p := newPoller()
		opened = append(opened, p)
		return p, nil
	}})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "reactor 2") {
		t.Errorf("%v; want one of reactor 2 that wraps the poller's", err)
	}
	for i, p := range opened {
		if p.closes != 1 {
			t.Errorf("poller %d was closed %d times", i, p.closes)
		}
	}
}

// Config: OnFailure hears of a poller that failed; what was posted runs, and whoever is
// registered is told to go.
func TestPollerThatFails(t *testing.T) {
	broken := errors.New("the poller is broken")
	var heard []error
	stopped, ran := false, false
	drive(t, reactor.Config{OnFailure: func(err error) { heard = append(heard, err) }}, func(l *loop) {
		must(t, l.r.Register(3, &handler{stop: func() {
			stopped = true
			l.r.Deregister(3)
		}}))
		must(t, l.r.PostFunc(func() { ran = true }))
		l.err = broken
	})
	if !stopped || !ran {
		t.Errorf("the handler was stopped: %t; the task ran: %t", stopped, ran)
	}
	if len(heard) != 1 || !errors.Is(heard[0], broken) || !strings.Contains(heard[0].Error(), "reactor 0") {
		t.Errorf("heard of %q, want the poller's error once", heard)
	}
}

// A wake-up that fails is no reason to be silent, and the next post tries again.
func TestWakeThatFails(t *testing.T) {
	broken := errors.New("no wake-up")
	heard := make(chan error, 1)
	g, err := reactor.NewGroup(reactor.Config{
		Loops:     1,
		NewPoller: func() (reactor.Poller, error) { return sleeper{newPoller(), broken}, nil },
		OnFailure: func(err error) { heard <- err },
	})
	must(t, err)
	for range 2 {
		_ = g.Reactors()[0].PostFunc(func() {})
		if err := receive(t, heard, "the failure"); !errors.Is(err, broken) {
			t.Errorf("heard of %v, want the poller's error", err)
		}
	}
	must(t, g.Stop())
}

// sleeper is a poller that can't be woken.
type sleeper struct {
	*poller
	err error
}

func (s sleeper) Wake() error { return s.err }

func TestIDsAndSeams(t *testing.T) {
	g := start(t, reactor.Config{Loops: 1})
	if a, b := g.NextID(), g.NextID(); a != 1 || b != 2 {
		t.Errorf("IDs %d, %d", a, b)
	}
	if _, is := g.Reactors()[0].Kernel().(*sys.OS); !is {
		t.Error("the default kernel isn't the system")
	}
	done := make(chan struct{})
	g.Spawn(func() { close(done) })
	receive(t, done, "a spawned function")
}

// Events are counted per dispatch, of whatever kind.
func TestStatsCountDispatches(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		must(t, l.r.Register(3, &handler{event: func(reactor.Events) {}}))
		for range 5 {
			l.dispatch(3, reactor.In)
		}
		for range 3 {
			must(t, l.r.PostFunc(func() {}))
		}
		l.settle()
		if n := l.g.Stats()[0].Events; n != 8 {
			t.Errorf("%d dispatches, want 8", n)
		}
	})
}
