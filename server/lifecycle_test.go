package server_test

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: New validates and opens nothing; errors name the field and the fix.
func TestConfigurationIsChecked(t *testing.T) {
	tcp := server.Listener{Network: "tcp", Address: "127.0.0.1:0"}
	with := func(change func(*server.Listener)) []server.Listener {
		l := tcp
		change(&l)
		return []server.Listener{l}
	}
	cases := []struct {
		name string
		c    server.Config
		want []string // in the error; none: it's all right
	}{
		{"nothing", server.Config{}, []string{"Callback", "BaseCallback"}},
		{"no listeners", server.Config{Callback: echo{}}, nil},
		{"a negative limit", server.Config{Callback: echo{}, MaxConnections: -1}, []string{"MaxConnections", "-1"}},
		{"no network", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Network = "" })}, []string{"Network", "tcp"}},
		{"unknown network", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Network = "udp" })}, []string{"udp", "unix"}},
		{"no port", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Address = "127.0.0.1" })}, []string{"127.0.0.1", "host:port"}},
		{"bad port", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Address = ":http" })}, []string{"http", "65535"}},
		{"port too large", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Address = ":65536" })}, []string{"65536"}},
		{"negative backlog", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Backlog = -1 })}, []string{"Backlog", "-1"}},
		{"mode of a tcp listener", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Mode = 0o600 })}, []string{"Mode", "unix"}},
		{"reused port of a unix listener", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Network, l.Address, l.ReusePort = "unix", "/tmp/x", true })}, []string{"ReusePort", "tcp"}},
		{"no path", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Network, l.Address = "unix", "" })}, []string{"path"}},
		{"path too long", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Network, l.Address = "unix", "/"+strings.Repeat("x", 107) })}, []string{"108", "107"}},
		{"longest path", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Network, l.Address = "unix", "/"+strings.Repeat("x", 106) })}, nil},
		{"two of a name", server.Config{Callback: echo{}, Listeners: []server.Listener{tcp, tcp}}, []string{"two", "tcp://127.0.0.1:0"}},
		{"a reserved name", server.Config{Callback: echo{}, Listeners: with(func(l *server.Listener) { l.Name = "outgoing" })}, []string{"outgoing", "reserved"}},
	}
	watchForLeaks(t)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			srv, err := server.New(tc.c)
			if len(tc.want) == 0 {
				if err != nil || srv == nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || srv != nil {
				t.Fatal("it was accepted")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q doesn't mention %q", err, w)
				}
			}
		})
	}
}

// DESIGN: URLs are parsed by server.ParseListener.
func TestParseListener(t *testing.T) {
	cases := []struct {
		url              string
		network, address string // "": an error
	}{
		{"tcp://127.0.0.1:7007", "tcp", "127.0.0.1:7007"},
		{"tcp://:0", "tcp", ":0"},
		{"tcp4://:7007", "tcp4", ":7007"},
		{"tcp6://[::1]:7007", "tcp6", "[::1]:7007"},
		{"tcp://localhost:65535", "tcp", "localhost:65535"},
		{"unix:///run/s.sock", "unix", "/run/s.sock"},
		{"unix://@name", "unix", "@name"},
		{"", "", ""},
		{"127.0.0.1:7007", "", ""},
		{"tcp://", "", ""},
		{"tcp://127.0.0.1", "", ""},
		{"tcp://::1:7007", "", ""},
		{"tcp://127.0.0.1:-1", "", ""},
		{"tcp://127.0.0.1:+1", "", ""},
		{"tcp://127.0.0.1:007", "", ""},
		{"tcp://127.0.0.1:65536", "", ""},
		{"udp://127.0.0.1:7007", "", ""},
		{"TCP://127.0.0.1:7007", "", ""},
		{"unix://", "", ""},
		{"unix://@", "", ""},
		{"http://127.0.0.1:80", "", ""},
	}
	for _, tc := range cases {
		l, err := server.ParseListener(tc.url)
		if tc.network == "" {
			if err == nil {
				t.Errorf("%q was accepted as %+v", tc.url, l)
			}
			continue
		}
		if err != nil || l.Network != tc.network || l.Address != tc.address || l.URL() != tc.url {
			t.Errorf("%q is %+v, %v", tc.url, l, err)
		}
	}
}

// DESIGN: the server's life: New, Start, Shutdown, each once.
func TestMisuseOfTheLifecycle(t *testing.T) {
	rec := newRecorder(echoing())
	var early *server.Server
	f := start(t, "tcp", rec, func(c *server.Config) {
		var err error
		if early, err = server.New(*c); err != nil {
			t.Fatal(err)
		}
	})
	ctx := t.Context()
	if err := early.Shutdown(ctx); !errors.Is(err, conn.ErrMode) {
		t.Errorf("Shutdown before Start: %v", err)
	}
	if early.Ready() || len(early.Addrs()) != 0 || early.AbortAllConnections() != 0 || early.Stats().State != "new" {
		t.Error("a new server isn't new")
	}
	for range early.Connections() {
		t.Error("a new server has a connection")
	}
	if err := f.srv.Start(); !errors.Is(err, conn.ErrMode) {
		t.Errorf("a second Start: %v", err)
	}
	if !f.srv.Ready() || f.srv.Stats().State != "running" {
		t.Error("a running server isn't ready")
	}
	p := f.dial()
	p.echo("served")
	p.Close()
	f.stop()
	if err := f.srv.Shutdown(ctx); !errors.Is(err, conn.ErrMode) {
		t.Errorf("a second Shutdown: %v", err)
	}
	if err := f.srv.Start(); !errors.Is(err, conn.ErrMode) {
		t.Errorf("Start after Shutdown: %v", err)
	}
	if f.srv.Ready() || f.srv.AbortAllConnections() != 0 {
		t.Error("a server that has ended is ready")
	}
	if c, err := net.Dial("tcp", f.addr); err == nil {
		c.Close()
		t.Error("a server that has ended accepts")
	}
}

// seed-contract.md: OnStartAcceptingConnections, OnShutdownInitiated,
// OnStopAcceptingConnections, OnAllConnectionsAborted, OnShutdownComplete: in this order.
func TestServerCallbacksInOrder(t *testing.T) {
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec)
	f.dial().echo("up")
	f.wantStop = abortedWith(1, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.shutdown(ctx)
	want := []string{
		"OnStartAcceptingConnections", "OnShutdownInitiated", "OnStopAcceptingConnections",
		"OnAllConnectionsAborted 1", "OnShutdownComplete",
	}
	if rec.mu.Lock(); !slices.Equal(rec.events, want) {
		t.Errorf("callbacks %v", rec.events)
	}
	rec.mu.Unlock()
}

// abortedWith wants a ShutdownError with these counts.
func abortedWith(aborted, held int) func(error) error {
	return func(err error) error {
		var s *server.ShutdownError
		if !errors.As(err, &s) {
			return errors.Join(errors.New("it's no ShutdownError"), err)
		}
		if s.Aborted != aborted || s.Held != held {
			return err
		}
		return nil
	}
}

// DESIGN: Start binds all or none.
func TestStartBindsAllOrNone(t *testing.T) {
	watchForLeaks(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := socketPath(t)
	for _, own := range []bool{true, false} {
		c := server.Config{Callback: newRecorder(echoing()), Listeners: []server.Listener{
			{Name: "first", Network: "tcp", Address: "127.0.0.1:0"},
			{Name: "file", Network: "unix", Address: path},
			{Name: "taken", Network: "tcp", Address: taken.Addr().String()},
		}}
		if !own {
			loops(t, 2)(&c)
		}
		srv, err := server.New(c)
		if err != nil {
			t.Fatal(err)
		}
		before := descriptors(t)
		for range 2 {
			err = srv.Start()
			if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), `"taken"`) {
				t.Fatalf("Start: %v", err)
			}
		}
		if after := descriptors(t); len(after) != len(before) {
			t.Errorf("descriptors before: %v\nafter: %v", before, after)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket file is still there")
		}
		if srv.Ready() || len(srv.Addrs()) != 0 {
			t.Error("it's ready all the same")
		}
	}
	// With the address free it starts, the same one.
	rec := newRecorder(echoing())
	srv, err := server.New(server.Config{Callback: rec, Listeners: []server.Listener{
		{Network: "tcp", Address: taken.Addr().String()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err == nil {
		t.Fatal("Start on a taken address")
	}
	taken.Close()
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// DESIGN: Run(ctx) = Start, wait, Shutdown.
func TestRun(t *testing.T) {
	watchForLeaks(t)
	rec := newRecorder(echoing())
	srv, err := server.New(server.Config{
		Callback: rec, Listeners: []server.Listener{{Name: "main", Network: "tcp", Address: "127.0.0.1:0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	running := spawn("Run", func() error { return srv.Run(ctx) })
	rec.heard(t, "OnStartAcceptingConnections")
	c, err := net.Dial("tcp", srv.Addrs()["main"][0].String())
	if err != nil {
		t.Fatal(err)
	}
	rec.next(t, 0)
	c.Close()
	cancel()
	running.wait(t)
	rec.check(t)
	if err := srv.Run(ctx); !errors.Is(err, conn.ErrMode) {
		t.Errorf("a second Run: %v", err)
	}
}

// DESIGN: a server without listeners is legal.
func TestServerWithoutListeners(t *testing.T) {
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, func(c *server.Config) { c.Listeners = nil })
	if !f.srv.Ready() || len(f.srv.Addrs()) != 0 {
		t.Error("it isn't ready")
	}
	f.stop()
}

// DESIGN: several servers may share a Mux and an Allocator.
func TestServersShareMuxAndAllocator(t *testing.T) {
	watchForLeaks(t)
	recs := []*recorder{newRecorder(echoing()), newRecorder(echoing()), newRecorder(echoing())}
	var c server.Config
	var all []*fixture
	a := buffers.New(buffers.Config{Debug: true, Leaks: buffers.LeaksAll})
	loops(t, 2)(&c)
	var slots conn.Slots
	number := conn.NewSlot[int](&slots, "number")
	for i, network := range []string{"tcp", "unix", "tcp"} {
		recs[i].do.established = func(c *conn.Stream) {
			number.Set(c, &i)
			c.Read()
		}
		all = append(all, start(t, network, recs[i], func(o *server.Config) { o.Mux, o.Allocator, o.Slots = c.Mux, a, &slots }))
	}
	var peers []*peer
	for _, f := range all {
		p := f.dial()
		p.echo("one of several")
		peers = append(peers, p)
	}
	for i, r := range recs {
		if got := number.Get(r.next(t, 0).stream); got == nil || *got != i {
			t.Errorf("the slot of server %d has %v", i, got)
		}
	}
	// The end of one doesn't touch the others.
	peers[0].Close()
	all[0].stop()
	for i := 1; i < len(all); i++ {
		peers[i].echo("still there")
		if n := len(all[i].rec.accepted); n != 1 {
			t.Errorf("server %d has seen %d connections", i, n)
		}
	}
	for _, p := range peers[1:] {
		p.Close()
	}
	for _, f := range all[1:] {
		f.stop()
	}
	if ids := map[uint64]bool{recs[0].accepted[0].id: true, recs[1].accepted[0].id: true, recs[2].accepted[0].id: true}; len(ids) != 3 {
		t.Error("two connections of a Mux have one ID")
	}
}

// DESIGN: a Mux that ends takes its servers' connections along, and Shutdown finds nothing
// left to do.
func TestMuxEndsUnderAServer(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		rec.do.established = func(c *conn.Stream) { c.AddRef(); c.Read() }
		var mux *conn.Mux
		f := start(t, network, rec, loops(t, 2), func(c *server.Config) { mux = c.Mux })
		for range 4 {
			f.dial().echo("up")
		}
		if err := mux.Terminate(); err != nil {
			t.Error(err)
		}
		for i := range 4 {
			j := rec.next(t, i)
			if got := rec.ended(t, j); got.reason != conn.ReasonLocalAbort {
				t.Errorf("ended with %v", got.reason)
			}
			j.stream.Release() // runs OnSocketReleased on this goroutine
			rec.released(t, j)
		}
		if err := mux.Post(func() {}); !errors.Is(err, conn.ErrClosed) {
			t.Errorf("Post to a Mux that has ended: %v", err)
		}
		if err := mux.Start(); !errors.Is(err, conn.ErrMode) {
			t.Errorf("Start of a Mux that has ended: %v", err)
		}
		f.stop()
	})
}

// DESIGN: a server can't start on a Mux that has ended.
func TestStartOnAMuxThatHasEnded(t *testing.T) {
	watchForLeaks(t)
	var c server.Config
	loops(t, 1)(&c)
	if err := c.Mux.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Mux.Terminate(); err != nil {
		t.Fatal(err)
	}
	c.Callback = newRecorder(echoing())
	c.Listeners = []server.Listener{{Network: "tcp", Address: "127.0.0.1:0"}}
	srv, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err == nil {
		t.Error("it started")
	}
	if srv.Ready() {
		t.Error("it's ready")
	}
}

// DESIGN: runtime.Goexit in a callback is fatal, loudly.
func TestGoexitInACallback(t *testing.T) {
	out, err := runChild(t, "goexit")
	if err == nil || !strings.Contains(string(out), "Goexit called in a callback") {
		t.Errorf("the process ended with %v:\n%.3000s", err, out)
	}
}

// DESIGN: Shutdown and Start race with each other and with everything else without harm.
func TestShutdownRaces(t *testing.T) {
	for round := range 16 {
		rec := newRecorder(echoing())
		f := start(t, "tcp", rec)
		var stop atomic.Bool
		dialing := spawn("dialing", func() error {
			for !stop.Load() {
				if c, err := net.Dial("tcp", f.addr); err == nil {
					_, _ = c.Write([]byte("x"))
					c.Close()
				}
			}
			return nil
		})
		asking := spawn("asking", func() error {
			for !stop.Load() {
				for c := range f.srv.Connections() {
					_ = c.State()
				}
				_ = f.srv.Stats()
				_ = f.srv.Addrs()
				f.srv.AbortAllConnections()
			}
			return nil
		})
		rec.next(t, 3)
		if round%2 == 0 {
			f.stop()
		} else { // at once
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			f.wantStop = func(err error) error {
				var s *server.ShutdownError
				if errors.As(err, &s) && s.Held == 0 {
					return nil
				}
				return err
			}
			f.shutdown(ctx)
		}
		stop.Store(true)
		dialing.wait(t)
		asking.wait(t)
	}
}
