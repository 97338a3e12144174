package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/metrics"
	"github.com/sluice-net/sluice/server"
)

// probing is a Handler whose probes wait for so long.
func probing(t *testing.T, within time.Duration, servers ...*server.Server) http.Handler {
	t.Helper()
	return metrics.Handler(metrics.Options{Collector: collectorFor(t, servers...), HealthTimeout: within, Logger: failing(t)})
}

// mustBeStuck holds that a probe names a loop as not answering. On a busy machine others
// may be late as well.
func mustBeStuck(t *testing.T, h http.Handler, within time.Duration, loop int) {
	t.Helper()
	status, body := ask(t, h, "/healthz")
	loops, found := strings.CutPrefix(body, fmt.Sprintf("no answer within %v from event loop ", within))
	loops, fix, _ := strings.Cut(loops, ": ")
	if status != http.StatusServiceUnavailable || !found || !strings.Contains(", "+loops+",", fmt.Sprintf(", %d,", loop)) || !strings.Contains(fix, "move what blocks to a goroutine") {
		t.Errorf("loop %d is stuck: %d %s", loop, status, body)
	}
}

// TestEachLoopIsAsked holds that any loop which is stuck shows, by the number that it has
// in the figures, and that it's over when it's over.
func TestEachLoopIsAsked(t *testing.T) {
	first, second := newMux(t, 2), newMux(t, 3)
	a, b := newServer(t, "tcp", newEcho(), on(first), named("a")), newServer(t, "tcp", newEcho(), on(second), named("b"))
	start(t, a)
	start(t, b)
	patient := probing(t, patience, a, b)
	const within = 10 * time.Millisecond
	hasty := probing(t, within, a, b)
	for number := range 5 {
		mux, loop := first, number
		if number >= 2 {
			mux, loop = second, number-2
		}
		release := hold(t, mux, loop)
		mustBeStuck(t, hasty, within, number)
		release()
		mustBeHealthy(t, patient)
	}
}

// blocker has a callback that waits.
type blocker struct {
	server.BaseCallback
	entered, leave chan struct{}
}

func (b *blocker) OnConnectionEstablished(*conn.Stream, conn.Addr) {
	close(b.entered)
	<-b.leave
}

// TestBlockedCallback holds that a callback which blocks is seen by /healthz alone: the
// server still counts as ready, for the other loops serve, and a scrape doesn't wait.
func TestBlockedCallback(t *testing.T) {
	cb := &blocker{entered: make(chan struct{}), leave: make(chan struct{})}
	s := newServer(t, "tcp", cb, on(newMux(t, 1)))
	start(t, s)
	const within = 10 * time.Millisecond
	h := probing(t, within, s)
	dial(t, s)
	receive(t, cb.entered)
	mustBeStuck(t, h, within, 0)
	if status, _ := ask(t, h, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
	scrape(t, h).must(t, figures{"sluice_ready": 1})
	close(cb.leave)
	mustBeHealthy(t, probing(t, patience, s))
}

// TestProbesShareAQuestion holds that a loop which is stuck for long isn't left with a
// post for each probe.
func TestProbesShareAQuestion(t *testing.T) {
	mux := newMux(t, 1)
	s := newServer(t, "tcp", newEcho(), on(mux))
	start(t, s)
	h := probing(t, time.Millisecond, s)
	settle(t, mux)
	release := hold(t, mux, 0)
	before := s.Stats().Reactors[0].Posts
	for range 10 {
		mustBeStuck(t, h, time.Millisecond, 0)
	}
	if posts := s.Stats().Reactors[0].Posts - before; posts != 1 {
		t.Errorf("%d posts wait", posts)
	}
	release()
	settle(t, mux)
	mustBeHealthy(t, metrics.Handler(metrics.Options{Collector: collectorFor(t, s), HealthTimeout: patience}))
}

// TestProbeGivenUp holds that a client which leaves isn't waited for.
func TestProbeGivenUp(t *testing.T) {
	mux := newMux(t, 1)
	s := newServer(t, "tcp", newEcho(), on(mux))
	start(t, s)
	h := probing(t, time.Hour, s)
	release := hold(t, mux, 0)
	defer release()
	gone, leave := context.WithCancel(t.Context())
	leave()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "given up") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestLoopsThatHaveEnded holds that loops which end below a running server are an
// illness, and that those of a server which has ended aren't.
func TestLoopsThatHaveEnded(t *testing.T) {
	mux, err := conn.NewMux(conn.MuxConfig{Loops: 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "tcp", newEcho(), on(mux))
	own := newServer(t, "tcp", newEcho(), named("own"))
	h := probing(t, patience, s, own)
	mustBeHealthy(t, h) // not started
	start(t, s)
	start(t, own)
	mustBeHealthy(t, h)
	stop(own)
	mustBeHealthy(t, h)
	if err := mux.Terminate(); err != nil {
		t.Fatal(err)
	}
	if status, body := ask(t, h, "/healthz"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "event loop 0 has ended: ") {
		t.Errorf("%d %s", status, body)
	}
}

// breaking is a poller that fails when it's told to.
type breaking struct {
	reactor.Poller
	broken <-chan struct{}
}

func (b breaking) Wait(func(fd int, ev reactor.Events) bool) error {
	<-b.broken
	return errors.New("broken")
}

// TestFailedLoop holds that a loop which has failed ends readiness and health, also once
// its server has been shut down for it.
func TestFailedLoop(t *testing.T) {
	broken, loops := make(chan struct{}), 0
	mux, err := engine.NewMux(engine.MuxConfig{
		Loops:  2,
		Logger: slog.New(slog.DiscardHandler),
		Reactor: reactor.Config{NewPoller: func() (reactor.Poller, error) {
			p, err := reactor.NewPoller()
			if loops++; loops == 2 {
				p = breaking{p, broken}
			}
			return p, err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mux.Terminate(); err != nil {
			t.Error(err)
		}
	})
	s := newServer(t, "tcp", newEcho(), on((*conn.Mux)(mux)))
	start(t, s)
	h := probing(t, patience, s)
	scrape(t, h).must(t, figures{"sluice_ready": 1})
	close(broken)
	receive(t, mux.Failed())
	for mux.Group.Reactors()[1].PostFunc(func() {}) == nil {
		runtime.Gosched() // it's about to take no more posts
	}
	must := func(path, want string) {
		t.Helper()
		if status, body := ask(t, h, path); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	must("/readyz", "failed: server default has lost an event loop; ")
	must("/healthz", "event loop 1 has ended: ")
	stop(s)
	must("/readyz", "stopped: ")
	must("/healthz", "event loop 1 has ended: ")
	scrape(t, h).must(t, figures{"sluice_ready": 0})
}
