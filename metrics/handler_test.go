package metrics_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/metrics"
	"github.com/sluice-net/sluice/server"
)

// busy is a server that has seen some traffic on each kind of socket.
func busy(t *testing.T) *server.Server {
	t.Helper()
	mux := newMux(t, 2)
	s := newServer(t, "tcp", newEcho(), on(mux), func(c *server.Config) {
		c.Listeners = append(c.Listeners,
			server.Listener{Network: "unix", Address: socketPath(t)},
			server.Listener{Network: "tls", Address: "127.0.0.1:0", TLS: selfSigned(t, time.Hour)})
	})
	start(t, s)
	mustExchange(t, dial(t, s), 10)
	settle(t, mux)
	return s
}

// TestLint holds the figures to the conventions, by the library's own linter and with the
// registry that checks each against its description.
func TestLint(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectorFor(t, busy(t)))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestPromtool has Prometheus's own tool read a scrape, go_* and process_* included.
func TestPromtool(t *testing.T) {
	promtool := testenv.Tool(t, "promtool")
	h := metrics.Handler(metrics.Options{Collector: collectorFor(t, busy(t)), Logger: failing(t)})
	status, body := ask(t, h, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "sluice_build_info"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("%s isn't there", name)
		}
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(body)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestReadiness follows /readyz and its figures through a server's life.
func TestReadiness(t *testing.T) {
	mux, cb := newMux(t, 1), newEcho()
	first, second := newServer(t, "tcp", cb, on(mux), named("first")), newServer(t, "tcp", newEcho(), on(mux), named("second"))
	h := handlerFor(t, first, second)
	must := func(wantStatus int, wantBody string, ready, draining float64) {
		t.Helper()
		if status, body := ask(t, h, "/readyz"); status != wantStatus || body != wantBody+"\n" {
			t.Errorf("%d %q, want %d %q", status, body, wantStatus, wantBody)
		}
		scrape(t, h).must(t, figures{"sluice_ready": ready, "sluice_draining": draining})
	}
	must(http.StatusServiceUnavailable, "new: server first hasn't been started; wait\nnew: server second hasn't been started; wait", 0, 0)
	start(t, first)
	must(http.StatusServiceUnavailable, "new: server second hasn't been started; wait", 0, 0)
	start(t, second)
	must(http.StatusOK, "ready", 1, 0)

	c := dial(t, first)
	mustExchange(t, c, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	drained := make(chan error, 1)
	cb.draining = func() {
		must(http.StatusServiceUnavailable, "draining: server first takes no new connections; use another instance", 0, 1)
		mustBeHealthy(t, h)
	}
	go func() { drained <- first.Shutdown(ctx) }()
	receive(t, cb.drains)
	c.Close()
	if err := receive(t, drained); err != nil {
		t.Fatal(err)
	}
	must(http.StatusServiceUnavailable, "stopped: server first has ended; use another instance", 0, 0)
	mustBeHealthy(t, h)
}

func mustBeHealthy(t *testing.T, h http.Handler) {
	t.Helper()
	if status, body := ask(t, h, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %s", status, body)
	}
}

// TestNoServers holds that a program which has forgotten to add its server isn't routed
// to.
func TestNoServers(t *testing.T) {
	h := metrics.Handler(metrics.Options{})
	if status, body := ask(t, h, "/readyz"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "no server: ") {
		t.Errorf("%d %s", status, body)
	}
	mustBeHealthy(t, h)
	scrape(t, h).must(t, figures{"sluice_ready": 0, "sluice_buffers_gets_total": 0})
}

// TestMethods holds that nothing but GET and HEAD is answered, and nothing is kept by
// caches.
func TestMethods(t *testing.T) {
	s := newServer(t, "tcp", newEcho())
	start(t, s)
	h := handlerFor(t, s)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		for method, want := range map[string]int{
			http.MethodGet: http.StatusOK, http.MethodHead: http.StatusOK,
			http.MethodPost: http.StatusMethodNotAllowed, http.MethodDelete: http.StatusMethodNotAllowed,
		} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
			if w.Code != want {
				t.Errorf("%s %s: %d, want %d", method, path, w.Code, want)
			}
			if path != "/metrics" && w.Code == http.StatusOK && w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: Cache-Control: %s", method, path, w.Header().Get("Cache-Control"))
			}
		}
	}
}

// TestScrapesUnderTraffic runs scrapes, probes, servers that come and go, and traffic at
// the same time; no scrape shows a counter that falls or a negative figure.
func TestScrapesUnderTraffic(t *testing.T) {
	mux := newMux(t, 2)
	s := newServer(t, "tcp", newEcho(), on(mux))
	start(t, s)
	watched := collectorFor(t, s)
	h := metrics.Handler(metrics.Options{Collector: watched, OmitRuntime: true, HealthTimeout: patience, Logger: failing(t)})

	over := make(chan struct{})
	var askers, clients sync.WaitGroup
	for range 3 {
		askers.Go(func() {
			last := figures{}
			for running(over) {
				now := scrape(t, h)
				for series, value := range now {
					name, _, _ := strings.Cut(series, "{")
					// The sums over Muxes and Allocators fall when a server is removed.
					sum := strings.HasPrefix(name, "sluice_reactor_") || strings.HasPrefix(name, "sluice_buffers_")
					if value < 0 || !sum && strings.HasSuffix(name, "_total") && value < last[series] {
						t.Errorf("%s was %v and is %v", series, last[series], value)
					}
				}
				last = now
				mustBeHealthy(t, h)
				ask(t, h, "/readyz")
			}
		})
	}
	askers.Go(func() {
		for i := 0; running(over); i++ {
			guest := newServer(t, "tcp", newEcho(), named(fmt.Sprintf("guest%d", i%3)))
			if err := watched.Add(guest); err != nil {
				t.Error(err)
			}
			if err := guest.Start(); err != nil {
				t.Error(err)
			}
			watched.Remove(guest)
			stop(guest)
		}
	})
	for range 4 {
		clients.Go(func() {
			for range 30 {
				c := dial(t, s)
				for range 10 {
					if err := exchange(c, 1000); err != nil {
						t.Error(err)
					}
				}
				c.Close()
			}
		})
	}
	clients.Wait()
	close(over)
	askers.Wait()
}

func running(over <-chan struct{}) bool {
	select {
	case <-over:
		return false
	default:
		return true
	}
}

// TestProfiles holds that profiles are served if that's wanted, and never by the global
// ServeMux.
func TestProfiles(t *testing.T) {
	h := metrics.Handler(metrics.Options{Profiles: true})
	gzipped := "\x1f\x8b"
	tests := []struct {
		path   string
		status int
		want   string // the beginning
	}{
		{"/debug/pprof/", http.StatusOK, "profile?seconds=30\n"},
		{"/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile: "},
		{"/debug/pprof/heap", http.StatusOK, gzipped},
		{"/debug/pprof/trace?seconds=1", http.StatusOK, "go 1."},
		{"/debug/pprof/profile?seconds=1", http.StatusOK, gzipped},
		{"/debug/pprof/profile?seconds=0", http.StatusBadRequest, "seconds=0: want a whole number from 1 to 300"},
		{"/debug/pprof/trace?seconds=x", http.StatusBadRequest, "seconds=x: "},
		{"/debug/pprof/nothing", http.StatusNotFound, `no profile "nothing": /debug/pprof/ lists them`},
	}
	for _, tt := range tests {
		if status, body := ask(t, h, tt.path); status != tt.status || !strings.HasPrefix(body, tt.want) {
			t.Errorf("%s: %d %.40q, want %d %q", tt.path, status, body, tt.status, tt.want)
		}
	}
	for name, other := range map[string]http.Handler{"off": metrics.Handler(metrics.Options{}), "global": http.DefaultServeMux} {
		if status, _ := ask(t, other, "/debug/pprof/"); status != http.StatusNotFound {
			t.Errorf("%s: %d", name, status)
		}
	}
}

// TestRecordingEndsWithItsClient holds that two recordings at a time are refused, and
// that one whose client has gone makes way.
func TestRecordingEndsWithItsClient(t *testing.T) {
	h := metrics.Handler(metrics.Options{Profiles: true})
	ctx, leave := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/debug/pprof/trace?seconds=300", nil)
		h.ServeHTTP(&signalling{ResponseRecorder: httptest.NewRecorder(), written: begun}, r)
	}()
	receive(t, begun) // the trace's header
	if status, body := ask(t, h, "/debug/pprof/trace"); status != http.StatusConflict || !strings.Contains(body, "wait until the other recording has ended") {
		t.Errorf("%d %s", status, body)
	}
	leave()
	receive(t, ended)
	if status, _ := ask(t, h, "/debug/pprof/trace?seconds=1"); status != http.StatusOK {
		t.Error(status)
	}
}

// signalling closes written with the first Write.
type signalling struct {
	*httptest.ResponseRecorder
	once    sync.Once
	written chan struct{}
}

func (s *signalling) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.written) })
	return s.ResponseRecorder.Write(p)
}

// BenchmarkScrape is the cost of a scrape: what this package collects, and the whole of
// what is served.
func BenchmarkScrape(b *testing.B) {
	mux := newMux(b, 8)
	s := newServer(b, "tcp", newEcho(), on(mux), func(c *server.Config) {
		for range 3 {
			c.Listeners = append(c.Listeners, server.Listener{Network: "unix", Address: socketPath(b)})
		}
	})
	start(b, s)
	watched := collectorFor(b, s)
	b.Run("collect", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink := make(chan prometheus.Metric, 1000)
			watched.Collect(sink)
		}
	})
	for name, omit := range map[string]bool{"serve": true, "serve with go and process": false} {
		h := metrics.Handler(metrics.Options{Collector: watched, OmitRuntime: omit, Logger: slog.New(slog.DiscardHandler)})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
			for b.Loop() {
				w := httptest.NewRecorder()
				w.Body = new(bytes.Buffer)
				h.ServeHTTP(w, request)
				if n, err := io.Copy(io.Discard, w.Body); n == 0 || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
