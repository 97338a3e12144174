package reactor_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/internal/reactor"
)

// ways are the ways onto a loop; each brings f there, on behalf of h.
var ways = []struct {
	name string
	call func(l *loop, h *handler, f func())
}{
	{"event", func(l *loop, h *handler, f func()) {
		h.event = func(reactor.Events) { f() }
		must(l.t, l.r.Register(3, h))
		l.dispatch(3, reactor.In)
		l.r.Deregister(3)
	}},
	{"task", func(l *loop, h *handler, f func()) {
		h.task = f
		must(l.t, l.r.Post(h))
		l.settle()
	}},
	{"timer", func(l *loop, h *handler, f func()) {
		h.timer = func(*reactor.Timer) { f() }
		l.r.Arm(&reactor.Timer{Target: h}, 0)
		l.advance(2 * tick)
	}},
	{"call", func(l *loop, h *handler, f func()) {
		h.task = f
		must(l.t, l.r.PostFunc(func() { l.r.Call(h) }))
		l.settle()
	}},
	{"func", func(l *loop, _ *handler, f func()) {
		must(l.t, l.r.PostFunc(f))
		l.settle()
	}},
}

func blewUp() { panic("it blew up") }

// reactor doc, Panics: one is given to whom it concerns, and the loop goes on.
func TestPanicConcernsOnlyWhoCausedIt(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			var got []string
			onPanic := func(v any, stack []byte) {
				got = append(got, fmt.Sprint(v))
				if !strings.Contains(string(stack), "blewUp") {
					t.Errorf("the stack doesn't name the function:\n%s", stack)
				}
			}
			drive(t, reactor.Config{OnPanic: onPanic}, func(l *loop) {
				h := &handler{panic: onPanic}
				for i := range 3 {
					way.call(l, h, blewUp)
					ran := false
					way.call(l, h, func() { ran = true })
					if !ran {
						t.Fatalf("nothing runs after panic %d", i)
					}
				}
				if want := slices.Repeat([]string{"it blew up"}, 3); !slices.Equal(got, want) {
					t.Errorf("heard of %q, want %q", got, want)
				}
				if n := l.g.Panics(); n != 3 {
					t.Errorf("%d panics counted, want 3", n)
				}
			})
		})
	}
}

// Those that are due in the same turn aren't concerned.
func TestPanicAmongMany(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		var log []string
		add := func(i int) *handler {
			say := func(what string) { log = append(log, fmt.Sprint(what, i)) }
			h := &handler{panic: func(any, []byte) { say("panic") }}
			h.task = func() {
				if i == 1 {
					panic(i)
				}
				say("ran")
			}
			h.timer = func(*reactor.Timer) { h.task() }
			return h
		}
		for i := range 3 {
			must(t, l.r.Post(add(i)))
		}
		l.settle()
		for i := range 3 {
			l.r.Arm(&reactor.Timer{Target: add(i)}, 0)
		}
		l.advance(2 * tick)
		if want := []string{"ran0", "panic1", "ran2", "ran0", "panic1", "ran2"}; !slices.Equal(log, want) {
			t.Errorf("%q, want %q", log, want)
		}
	})
}

// A panic in OnStop is isolated as well: the others still hear of the end.
func TestPanicInOnStop(t *testing.T) {
	var log []string
	drive(t, reactor.Config{}, func(l *loop) {
		for fd := range 3 {
			must(t, l.r.Register(fd+10, &handler{
				stop: func() {
					l.r.Deregister(fd + 10)
					if fd == 1 {
						panic(fd)
					}
					log = append(log, fmt.Sprint("stopped ", fd))
				},
				panic: func(v any, _ []byte) { log = append(log, fmt.Sprint("panic ", v)) },
			}))
		}
	})
	if want := []string{"stopped 0", "panic 1", "stopped 2"}; !slices.Equal(log, want) {
		t.Errorf("%q, want %q", log, want)
	}
}

// DESIGN, One lock: Goexit in a callback is fatal, loudly.
func TestGoexitIsFatal(t *testing.T) {
	const variable = "SLUICE_TEST_GOEXIT"
	if name := os.Getenv(variable); name != "" {
		for _, way := range ways {
			if way.name == name {
				drive(t, reactor.Config{}, func(l *loop) {
					way.call(l, &handler{panic: func(any, []byte) { fmt.Fprintln(os.Stderr, "taken for a panic") }}, runtime.Goexit)
				})
			}
		}
		return
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGoexitIsFatal$")
			child.Env = append(os.Environ(), variable+"="+way.name)
			out, err := child.CombinedOutput()
			if err == nil {
				t.Errorf("the process lived on:\n%s", out)
			}
			for _, part := range []string{"panic: sluice: runtime.Goexit called in a callback", "runtime.Goexit("} {
				if !strings.Contains(string(out), part) {
					t.Errorf("%q isn't in the output:\n%s", part, out)
				}
			}
			if strings.Contains(string(out), "taken for a panic") {
				t.Error("OnPanic was called")
			}
		})
	}
}
