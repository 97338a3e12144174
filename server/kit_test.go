package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/server"
)

// failSafe ends a test that waits for something that doesn't come.
const failSafe = 30 * time.Second

// fixture is a running server and what's needed to see, at the end, that nothing is
// left of it.
type fixture struct {
	t       *testing.T
	rec     *recorder
	srv     *server.Server
	alloc   *buffers.Allocator
	network string
	addr    string // of the listener
	logs    *logBook

	stopped  bool
	stopGot  error
	wantStop func(error) error // what Shutdown should return; nil: nil
	mux      *conn.Mux         // nil: the server's own
}

// each runs a test on every kind of socket.
func each(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

// start starts a server with one listener called "main". Its end, and that it leaves
// nothing behind, is seen to when the test has ended.
func start(t *testing.T, network string, rec *recorder, change ...func(*server.Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, rec: rec, network: network, logs: &logBook{}}
	watchForLeaks(t)
	f.alloc = buffers.New(buffers.Config{Debug: true, Leaks: buffers.LeaksAll})
	c := server.Config{
		Callback:  rec,
		Listeners: []server.Listener{{Name: "main", Network: network, Address: listenAddress(t, network)}},
		Allocator: f.alloc,
		Logger:    slog.New(f.logs),
		Debug:     true,
	}
	for _, ch := range change {
		ch(&c)
	}
	f.alloc, f.mux = c.Allocator, c.Mux
	rec.alloc = c.Allocator
	var err error
	if f.srv, err = server.New(c); err != nil {
		t.Fatal(err)
	}
	if err := f.srv.Start(); err != nil {
		t.Fatal(err)
	}
	if bound := f.srv.Addrs()["main"]; len(bound) > 0 {
		f.addr = bound[0].String()
	}
	t.Cleanup(func() {
		f.stop()
		f.verify()
	})
	return f
}

// tracked has the server report completed writes.
func tracked(c *server.Config) { c.Callback = tracker{c.Callback.(*recorder)} }

// timeouts, flow and loops change a configuration.
func timeouts(to conn.Timeouts) func(*server.Config) {
	return func(c *server.Config) { c.Timeouts = to }
}

func flow(f conn.Flow) func(*server.Config) { return func(c *server.Config) { c.Flow = f } }

// loops gives the server a Mux of its own with n loops, which ends after the server.
func loops(t *testing.T, n int, change ...func(*conn.MuxConfig)) func(*server.Config) {
	return func(c *server.Config) {
		mc := conn.MuxConfig{Loops: n, Logger: c.Logger, SlowCallback: -1}
		for _, ch := range change {
			ch(&mc)
		}
		mux, err := conn.NewMux(mc)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := mux.Terminate(); err != nil {
				t.Error("Terminate:", err)
			}
		})
		c.Mux = mux
	}
}

func listenAddress(t *testing.T, network string) string {
	if network == "unix" {
		return socketPath(t)
	}
	return "127.0.0.1:0"
}

// socketPath is for a Unix-domain socket.
func socketPath(t *testing.T) string { return filepath.Join(testenv.SocketDir(t), "s") }

// stop shuts the server down, once.
func (f *fixture) stop() {
	f.t.Helper()
	if f.stopped {
		return
	}
	f.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), failSafe)
	defer cancel()
	f.shutdown(ctx)
}

// shutdown shuts the server down with a context of the test's.
func (f *fixture) shutdown(ctx context.Context) {
	f.t.Helper()
	f.stopped = true
	f.stopGot = f.srv.Shutdown(ctx)
	err := f.stopGot
	if f.wantStop != nil {
		err = f.wantStop(err)
	}
	if err != nil {
		f.t.Errorf("Shutdown: %v\n%s", err, f.rec.dump())
	}
}

// verify checks the accounts after the end.
func (f *fixture) verify() {
	f.t.Helper()
	f.rec.check(f.t)
	st := f.srv.Stats()
	if st.Open != 0 || st.Held != 0 || st.State != "stopped" {
		f.t.Errorf("after the end: %d open, %d held, %s\n%s", st.Open, st.Held, st.State, f.rec.dump())
	}
	for name, l := range st.Listeners {
		closed := uint64(0)
		for _, n := range l.Closed {
			closed += n
		}
		if l.Handshaking != 0 || l.Established != 0 || l.Draining != 0 || l.Blocked != 0 || l.BufferedBytes != 0 {
			f.t.Errorf("listener %s: after the end %d, %d and %d are handshaking, established, draining; %d with blocked output, %d bytes",
				name, l.Handshaking, l.Established, l.Draining, l.Blocked, l.BufferedBytes)
		}
		if l.Accepted != closed {
			f.t.Errorf("listener %s: %d accepted, %d closed (%v)", name, l.Accepted, closed, l.Closed)
		}
	}
	mustBalance(f.t, f.alloc)
	if n := f.logs.count("an event loop has failed"); n > 0 {
		f.t.Error("an event loop has failed:", f.logs.text())
	}
}

// mustBalance fails unless everything that a handed out has come back.
func mustBalance(t testing.TB, a *buffers.Allocator) {
	t.Helper()
	s := a.Stats()
	if s.InUse != 0 || s.Outstanding != 0 || s.Misuses != 0 || s.Leaked != 0 {
		t.Errorf("buffers aren't balanced: %+v", s)
		for i, l := range a.Leaks() {
			if i < 3 {
				t.Errorf("a leak of %d bytes from\n%s", l.Size, l.Stack)
			}
		}
	}
	a.Trim() // panics if released memory was written to
}

// mainStats are the counters of the fixture's listener.
func (f *fixture) mainStats() server.ListenerStats { return f.srv.Stats().Listeners["main"] }

// dispatches is how many dispatches all loops have made.
func (f *fixture) dispatches() (n uint64) {
	for _, r := range f.srv.Stats().Reactors {
		n += r.Events
	}
	return n
}

// watched are the tests that watchForLeaks has been called for.
var watched sync.Map

// watchForLeaks has the end of the test check, after everything else, that goroutines
// and descriptors are as they were.
func watchForLeaks(t *testing.T) {
	if _, twice := watched.LoadOrStore(t, true); twice {
		return
	}
	before := descriptors(t)
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		watched.Delete(t)
		if t.Failed() {
			return // what's left is a consequence
		}
		goleak.VerifyNone(t, current)
		after := descriptors(t)
		if len(after) > len(before) { // fewer: an earlier client has gone meanwhile
			t.Errorf("descriptors: %d before, %d after\nbefore: %v\nafter: %v", len(before), len(after), before, after)
		}
	})
}

// descriptors are this process's open descriptors.
func descriptors(t testing.TB) []string {
	dir := "/dev/fd"
	if runtime.GOOS == "linux" {
		dir = "/proc/self/fd"
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil { // all but ReadDir's own
			all = append(all, e.Name()+"="+target)
		}
	}
	return all
}

// logBook is a slog.Handler that keeps what's logged as a warning or worse.
type logBook struct {
	mu      sync.Mutex
	records []logRecord
	on      func(logRecord)
}

type logRecord struct {
	message string
	attrs   map[string]string
}

func (l *logBook) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (l *logBook) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logBook) WithGroup(string) slog.Handler                    { return l }

func (l *logBook) Handle(_ context.Context, r slog.Record) error {
	rec := logRecord{message: r.Message, attrs: map[string]string{}}
	r.Attrs(func(a slog.Attr) bool {
		rec.attrs[a.Key] = a.Value.String()
		return true
	})
	l.mu.Lock()
	l.records = append(l.records, rec)
	on := l.on
	l.mu.Unlock()
	if on != nil {
		on(rec)
	}
	return nil
}

func (l *logBook) find(message string) []logRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.records), func(r logRecord) bool { return r.message != message })
}

func (l *logBook) count(message string) int { return len(l.find(message)) }

func (l *logBook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, r := range l.records {
		fmt.Fprintf(&b, "%s", r.message)
		for _, k := range slices.Sorted(maps.Keys(r.attrs)) {
			fmt.Fprintf(&b, " %s=%s", k, r.attrs[k])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// receive waits for a value.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(failSafe):
		t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}

// mustPanic fails the test unless f panics.
func mustPanic(t testing.TB, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if recover() == nil {
			t.Errorf("%s didn't panic", what)
		}
	}()
	f()
}

// job is a goroutine of a test.
type job struct {
	what string
	done chan error
}

func spawn(what string, f func() error) *job {
	j := &job{what: what, done: make(chan error, 1)}
	go func() { j.done <- f() }()
	return j
}

// wait fails the test if the job has failed.
func (j *job) wait(t testing.TB) {
	t.Helper()
	if err := receive(t, j.done, j.what); err != nil {
		t.Fatalf("%s: %v", j.what, err)
	}
}
