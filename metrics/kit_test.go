package metrics_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/metrics"
	"github.com/sluice-net/sluice/server"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// networks are the kinds of sockets.
var networks = []string{"tcp", "unix"}

// echo sends back what it receives, and keeps count.
type echo struct {
	server.BaseCallback
	reads    atomic.Uint64
	closed   chan conn.Reason
	released chan struct{}
	paniced  string        // what has it panic
	drains   chan struct{} // closed by OnShutdownInitiated
	draining func()        // called by it before; nil: nothing
}

func newEcho() *echo {
	return &echo{closed: make(chan conn.Reason, 1000), released: make(chan struct{}, 1000), drains: make(chan struct{})}
}

func (e *echo) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { c.Read() }

func (e *echo) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	e.reads.Add(1)
	if e.paniced != "" && string(b.Bytes()) == e.paniced {
		panic(e.paniced)
	}
	c.Write(b)
	c.Read()
}

func (e *echo) OnShutdownInitiated() {
	if e.draining != nil {
		e.draining()
	}
	close(e.drains)
}

func (e *echo) OnConnectionClosure(_ *conn.Stream, r conn.Reason) { e.closed <- r }
func (e *echo) OnSocketReleased(*conn.UserData)                   { e.released <- struct{}{} }

// end waits until n connections have ended and been released, and returns how many for
// each reason.
func (e *echo) end(t testing.TB, n int) map[conn.Reason]uint64 {
	t.Helper()
	reasons := map[conn.Reason]uint64{}
	for range n {
		reasons[receive(t, e.closed)]++
		receive(t, e.released)
	}
	return reasons
}

func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("it doesn't come")
		panic("unreachable")
	}
}

// newMux runs n loops until the test has ended.
func newMux(t testing.TB, n int) *conn.Mux {
	t.Helper()
	mux, err := conn.NewMux(conn.MuxConfig{Loops: n, Logger: slog.New(slog.DiscardHandler), SlowCallback: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := mux.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mux.Terminate(); err != nil {
			t.Error(err)
		}
	})
	return mux
}

// newServer makes a server with a listener "main"; start starts it.
func newServer(t testing.TB, network string, cb server.Callback, change ...func(*server.Config)) *server.Server {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = socketPath(t)
	}
	c := server.Config{
		Callback:  cb,
		Listeners: []server.Listener{{Name: "main", Network: network, Address: address}},
		Logger:    slog.New(slog.DiscardHandler),
	}
	for _, ch := range change {
		ch(&c)
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// named and on change a configuration.
func named(name string) func(*server.Config) { return func(c *server.Config) { c.Name = name } }
func on(mux *conn.Mux) func(*server.Config)  { return func(c *server.Config) { c.Mux = mux } }

// start starts a server and ends it with the test.
func start(t testing.TB, s *server.Server) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(s) })
}

// stop ends a server at once.
func stop(s *server.Server) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(now) // what's left is aborted, and it may have been ended before
}

// socketPath is for a Unix-domain socket.
func socketPath(t testing.TB) string { return filepath.Join(testenv.SocketDir(t), "s") }

// dial connects to the listener "main".
func dial(t testing.TB, s *server.Server) net.Conn {
	t.Helper()
	a := s.Addrs()["main"][0]
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange sends n bytes and has them back.
func exchange(c net.Conn, n int) error {
	if _, err := c.Write(make([]byte, n)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, n))
	return err
}

func mustExchange(t testing.TB, c net.Conn, n int) {
	t.Helper()
	if err := exchange(c, n); err != nil {
		t.Fatal(err)
	}
}

// settle returns when each loop has passed on what it had counted.
func settle(t testing.TB, mux *conn.Mux) {
	t.Helper()
	for _, r := range (*engine.Mux)(mux).Group.Reactors() {
		passed := make(chan struct{})
		if err := r.PostFunc(func() { close(passed) }); err != nil {
			t.Fatal(err)
		}
		receive(t, passed)
	}
}

// hold keeps one loop from turning until release is called.
func hold(t testing.TB, mux *conn.Mux, loop int) (release func()) {
	t.Helper()
	held, released := make(chan struct{}), make(chan struct{})
	err := (*engine.Mux)(mux).Group.Reactors()[loop].PostFunc(func() {
		close(held)
		<-released
	})
	if err != nil {
		t.Fatal(err)
	}
	receive(t, held)
	return func() { close(released) }
}

// handlerFor serves servers, without go_* and process_*.
func handlerFor(t testing.TB, servers ...*server.Server) http.Handler {
	t.Helper()
	return metrics.Handler(metrics.Options{Collector: collectorFor(t, servers...), OmitRuntime: true, Logger: failing(t)})
}

func collectorFor(t testing.TB, servers ...*server.Server) *metrics.Collector {
	t.Helper()
	c, err := metrics.NewCollector(servers...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// failing is a log that fails the test: what's collected must be consistent.
func failing(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		t.Errorf("logged: %s", p)
		return len(p), nil
	}), nil))
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// ask makes a request.
func ask(t testing.TB, h http.Handler, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// figures are the values of a scrape by series: `name{label="value"}`.
type figures map[string]float64

func scrape(t testing.TB, h http.Handler) figures {
	t.Helper()
	status, body := ask(t, h, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	return parse(t, body)
}

func parse(t testing.TB, body string) figures {
	t.Helper()
	all := figures{}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all[line[:space]] = value
	}
	return all
}

// of is a figure of listener "main" of a server; more are labels between these two.
func of(name, srv string, more ...string) string {
	labels := slices.Concat([]string{`listener="main"`}, more, []string{fmt.Sprintf("server=%q", srv)})
	return "sluice_" + name + "{" + strings.Join(labels, ",") + "}"
}

// must compares figures.
func (f figures) must(t testing.TB, want figures) {
	t.Helper()
	for _, series := range slices.Sorted(maps.Keys(want)) {
		if got, ok := f[series]; !ok || got != want[series] {
			t.Errorf("%s is %v (%t), want %v", series, got, ok, want[series])
		}
	}
}
