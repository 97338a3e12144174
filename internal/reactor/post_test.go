package reactor_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
)

// DESIGN, Posts: in order, and one wake-up for all.
func TestPostsRunInOrder(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		var ran []int
		for i := range 100 {
			must(t, l.r.PostFunc(func() { ran = append(ran, i) }))
		}
		if n := l.g.Stats()[0].Posts; n != 100 {
			t.Errorf("%d posts wait, want 100", n)
		}
		if len(ran) != 0 {
			t.Error("a post ran inside Post")
		}
		if !l.turn() || l.wakes != 1 {
			t.Errorf("%d wake-ups for one batch", l.wakes)
		}
		if len(ran) != 100 || !slices.IsSorted(ran) {
			t.Errorf("ran %v", ran)
		}
		if n := l.g.Stats()[0].Posts; n != 0 {
			t.Errorf("%d posts wait, want 0", n)
		}
		if l.turn() {
			t.Error("woken without a post")
		}
	})
}

// DESIGN, Posts: a snapshot; what's posted while it runs waits for the next turn.
func TestPostsRunInSnapshots(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		ran := 0
		again := &handler{}
		again.task = func() {
			if ran++; ran < 10 {
				must(t, l.r.Post(again))
			}
		}
		must(t, l.r.Post(again))
		for turn := 1; turn <= 10; turn++ {
			if !l.turn() || ran != turn {
				t.Fatalf("ran %d times after turn %d", ran, turn)
			}
		}
		if l.turn() {
			t.Error("one turn too many")
		}
	})
}

// A task that ran among others is by itself when it's posted again.
func TestTaskIsPostedAgain(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		var log []string
		task := func(name string) *handler { return &handler{task: func() { log = append(log, name) }} }
		a, b, c := task("a"), task("b"), task("c")
		for _, batch := range [][]*handler{{a, b, c}, {a}, {c, a}, {b}} {
			for _, h := range batch {
				must(t, l.r.Post(h))
			}
			l.settle()
			log = append(log, "|")
		}
		if want := []string{"a", "b", "c", "|", "a", "|", "c", "a", "|", "b", "|"}; !slices.Equal(log, want) {
			t.Errorf("ran %q, want %q", log, want)
		}
	})
}

// peers, gnet's pkg/netpoll: a task that posts itself starves every descriptor there.
func TestTaskThatPostsItselfStarvesNobody(t *testing.T) {
	g := start(t, reactor.Config{Loops: 1})
	r := g.Reactors()[0]
	a, b := pair(t)
	received := make(chan string)
	buf := make([]byte, 10)
	onLoop(t, r, func() {
		h := &handler{event: func(reactor.Events) {
			if n, err := unix.Read(a, buf); err == nil && n > 0 {
				received <- string(buf[:n])
			}
		}}
		h.stop = func() { r.Deregister(a) }
		must(t, r.Register(a, h))
	})
	var ran, quit atomic.Int64
	again := &handler{}
	again.task = func() {
		ran.Add(1)
		if quit.Load() == 0 {
			_ = r.Post(again)
		}
	}
	must(t, r.Post(again))
	for i := range 50 {
		want := fmt.Sprint(i)
		_, err := unix.Write(b, []byte(want))
		must(t, err)
		if got := receive(t, received, "an event beside a task that posts itself"); got != want {
			t.Fatalf("received %q, want %q", got, want)
		}
	}
	quit.Store(1)
	if ran.Load() == 0 {
		t.Error("the task never ran")
	}
}

// reactor doc, Stopping: nothing that was accepted is forgotten, and a refused post
// never runs.
func TestPostAgainstStop(t *testing.T) {
	const posters = 8
	for round := range 30 {
		g, err := reactor.NewGroup(reactor.Config{Loops: 2, Slow: -1})
		must(t, err)
		must(t, g.Start())
		var running sync.WaitGroup
		var tasks [posters][]*fenced
		for i := range posters {
			r := g.Reactors()[i%2]
			running.Go(func() {
				for turn := make(chan struct{}, 1); ; <-turn {
					for n := range 20 {
						f := &fenced{}
						f.task = func() { f.ran.Add(1) }
						if n == 10 { // the next 20 may begin before the rest of these has run
							f.task = func() {
								f.ran.Add(1)
								turn <- struct{}{}
							}
						}
						tasks[i] = append(tasks[i], f)
						if err := r.Post(f); err != nil {
							f.refused = true
							if !errors.Is(err, reactor.ErrStopped) {
								t.Errorf("Post: %v", err)
							}
							return
						}
					}
				}
			})
		}
		for range round % 4 { // some rounds let the posters get going
			done := make(chan struct{})
			if g.Reactors()[0].PostFunc(func() { close(done) }) == nil {
				receive(t, done, "a post")
			}
		}
		must(t, g.Stop())
		running.Wait()
		for i := range tasks {
			for _, f := range tasks[i] {
				if n := f.ran.Load(); n > 1 || (n == 1) == f.refused {
					t.Fatalf("a task that was refused (%t) ran %d times", f.refused, n)
				}
			}
		}
	}
}

type fenced struct {
	handler
	ran     atomic.Int64
	refused bool
}

// What's posted by the last snapshot is refused: there is no further turn for it.
func TestPostInTheLastSnapshot(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		stopped := make(chan error, 1)
		go func() { stopped <- l.g.Stop() }()
		<-l.woken
		var log []string
		must(t, l.r.PostFunc(func() { // behind the request to stop, in its turn
			log = append(log, "turn")
			must(t, l.r.PostFunc(func() {
				log = append(log, "fence")
				if err := l.r.PostFunc(func() { log = append(log, "too late") }); !errors.Is(err, reactor.ErrStopped) {
					t.Errorf("Post in the last snapshot: %v", err)
				}
			}))
		}))
		l.ended = l.dispatch(reactor.WakeFD, 0)
		if !l.ended {
			t.Error("the loop goes on")
		}
		if want := []string{"turn", "fence"}; !slices.Equal(log, want) {
			t.Errorf("ran %q, want %q", log, want)
		}
	})
}

// A group that was never started accepts posts too.
func TestPostBeforeStart(t *testing.T) {
	t.Run("and Start", func(t *testing.T) {
		g, err := reactor.NewGroup(reactor.Config{Loops: 1})
		must(t, err)
		ran := make(chan struct{}, 1)
		must(t, g.Reactors()[0].PostFunc(func() { ran <- struct{}{} }))
		must(t, g.Start())
		receive(t, ran, "a post from before Start")
		must(t, g.Stop())
	})
	t.Run("and Stop", func(t *testing.T) {
		g, err := reactor.NewGroup(reactor.Config{Loops: 1})
		must(t, err)
		ran := 0
		err = g.Reactors()[0].PostFunc(func() { ran++ })
		must(t, g.Stop())
		if accepted := err == nil; (ran == 1) != accepted {
			t.Errorf("accepted: %t; it ran %d times", accepted, ran)
		}
		if err := g.Reactors()[0].PostFunc(func() {}); !errors.Is(err, reactor.ErrStopped) {
			t.Errorf("Post after Stop: %v", err)
		}
	})
}

// reactor.go: Call runs a task at once, on its own behalf.
func TestCall(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		var log []string
		inner := &handler{
			task:  func() { panic("inner") },
			panic: func(v any, _ []byte) { log = append(log, fmt.Sprint("panic of ", v)) },
		}
		outer := &handler{
			task: func() {
				l.r.Call(inner)
				log = append(log, "back")
				panic("outer")
			},
			panic: func(v any, _ []byte) { log = append(log, fmt.Sprint("panic of ", v)) },
		}
		must(t, l.r.Post(outer))
		l.settle()
		if want := []string{"panic of inner", "back", "panic of outer"}; !slices.Equal(log, want) {
			t.Errorf("%q, want %q", log, want)
		}
	})
}
