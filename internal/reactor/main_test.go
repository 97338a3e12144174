package reactor_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case v := <-c:
		return v
	case <-timeout.C:
		t.Fatalf("%s: nothing in %v", what, patience)
		panic("unreachable")
	}
}

// must fails the test, and goes on: it's used on loops and other goroutines too, which
// may not end a test.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// start makes and starts a group, which is stopped at the end of the test.
func start(t testing.TB, c reactor.Config) *reactor.Group {
	t.Helper()
	if c.OnFailure == nil {
		c.OnFailure = func(err error) { t.Errorf("a loop failed: %v", err) }
	}
	g, err := reactor.NewGroup(c)
	must(t, err)
	must(t, g.Start())
	t.Cleanup(func() { must(t, g.Stop()) })
	return g
}

// onLoop runs f on a loop and returns when it has run.
func onLoop(t testing.TB, r *reactor.Reactor, f func()) {
	t.Helper()
	done := make(chan struct{})
	must(t, r.PostFunc(func() {
		defer close(done)
		f()
	}))
	receive(t, done, "a posted function")
}

// pair returns two connected, non-blocking sockets.
func pair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	for _, fd := range fds {
		must(t, unix.SetNonblock(fd, true))
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
	return fds[0], fds[1]
}

// handler is a reactor.Handler, TimerTarget and Task made of functions.
type handler struct {
	reactor.Link
	event func(reactor.Events)
	timer func(*reactor.Timer)
	task  func()
	panic func(value any, stack []byte)
	stop  func()
}

func (h *handler) OnEvent(ev reactor.Events)   { h.event(ev) }
func (h *handler) OnTimer(tm *reactor.Timer)   { h.timer(tm) }
func (h *handler) RunTask()                    { h.task() }
func (h *handler) TaskLink() *reactor.Link     { return &h.Link }
func (h *handler) OnPanic(v any, stack []byte) { h.panic(v, stack) }

func (h *handler) OnStop() {
	if h.stop != nil {
		h.stop()
	}
}
