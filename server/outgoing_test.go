package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// dialer is a server's callback that notes what becomes of outgoing connections.
type dialer struct {
	server.BaseCallback
	mu      sync.Mutex
	log     []string
	changed chan struct{}
	failed  chan conn.Addr // what couldn't be connected to
	up      func(c *conn.Stream)
}

func newDialer() *dialer {
	return &dialer{changed: make(chan struct{}, 100), failed: make(chan conn.Addr, 100)}
}

func (d *dialer) note(entry string) {
	d.mu.Lock()
	d.log = append(d.log, entry)
	d.mu.Unlock()
	d.changed <- struct{}{}
}

// wait waits until the log is as wanted.
func (d *dialer) wait(t *testing.T, want ...string) {
	t.Helper()
	for {
		d.mu.Lock()
		got := strings.Join(d.log, ", ")
		d.mu.Unlock()
		switch {
		case got == strings.Join(want, ", "):
			return
		case len(got) >= len(strings.Join(want, ", ")):
			t.Fatalf("got  %s\nwant %s", got, strings.Join(want, ", "))
		}
		receive(t, d.changed, "a callback; so far: "+got)
	}
}

func (d *dialer) OnSocketCreated(int) { d.note("created") }

func (d *dialer) OnPreOutgoingConnect(_ *conn.UserData, _ conn.Addr, userData any) {
	d.note("before " + userData.(string))
}

func (d *dialer) OnOutgoingConnectionFailed(_ *conn.Stream, at conn.Addr, err error) {
	d.failed <- at
	d.note("failed")
	if err == nil {
		d.note("for no reason")
	}
}

func (d *dialer) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	d.note("established")
	if d.up != nil {
		d.up(c)
	}
}

func (d *dialer) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	d.note("read " + string(b.Bytes()))
	_ = c.Read()
}

func (d *dialer) OnConnectionClosure(_ *conn.Stream, r conn.Reason) { d.note("closed " + r.String()) }
func (d *dialer) OnSocketReleased(*conn.UserData)                   { d.note("released") }

// startDialer starts a server without listeners, which is legal.
func startDialer(t *testing.T, d *dialer, change ...func(*server.Config)) *server.Server {
	t.Helper()
	watchForLeaks(t)
	c := server.Config{Callback: d, Debug: true}
	for _, f := range change {
		f(&c)
	}
	srv, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil && !errors.Is(err, conn.ErrMode) {
			t.Error(err)
		}
		if st := srv.Stats(); st.Open != 0 || st.Held != 0 {
			t.Errorf("%d open, %d held", st.Open, st.Held)
		}
	})
	return srv
}

// echoServer echoes one connection at a time, and ends with the test.
func echoServer(t *testing.T, network string) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = socketPath(t)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	served := spawn("the echo server", func() error {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			_, _ = io.Copy(c, struct{ io.Reader }{c}) // no splice, whose pipe stays
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.wait(t)
	})
	return l.Addr().String()
}

// seed-contract.md: OnPreOutgoingConnect, with what was passed to Connect; DESIGN: Connect
// hands back the stream with a reference taken before OnConnectionEstablished.
func TestConnect(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			d := newDialer()
			d.up = func(c *conn.Stream) { _ = c.Read() }
			srv := startDialer(t, d)
			address := echoServer(t, network)
			c, err := srv.Connect(t.Context(), server.Target{Name: "backend", Network: network, Address: address}, "mine")
			if err != nil {
				t.Fatal(err)
			}
			if c.Inbound() || c.Origin() != "backend" || c.RemoteAddr().String() != address || c.LocalAddr().Network() != network {
				t.Errorf("inbound %t, origin %q, from %v to %v", c.Inbound(), c.Origin(), c.LocalAddr(), c.RemoteAddr())
			}
			if err := c.Send([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			d.wait(t, "created", "before mine", "established", "read hello")
			if err := c.Shutdown(); err != nil {
				t.Error(err)
			}
			c.Release()
			d.wait(t, "created", "before mine", "established", "read hello", "closed local_shutdown", "released")
			if l := srv.Stats().Listeners["outgoing"]; l.Accepted != 1 || l.SentBytes != 5 || l.ReceivedBytes != 5 {
				t.Errorf("counted %+v", l)
			}
		})
	}
}

// seed-contract.md: OnOutgoingConnectionFailed: asynchronously only.
func TestConnectThatFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	targets := map[string]struct {
		server.Target
		why conn.Reason
	}{
		"refused":      {server.Target{Network: "tcp", Address: closed}, conn.ReasonRefused},
		"no file":      {server.Target{Network: "unix", Address: socketPath(t)}, conn.ReasonConnect},
		"no such host": {server.Target{Network: "tcp", Address: "nobody.invalid:80", Timeout: 5 * time.Second}, conn.ReasonAddress},
	}
	for name, tt := range targets {
		t.Run(name, func(t *testing.T) {
			target := tt.Target
			d := newDialer()
			srv := startDialer(t, d)
			if c, err := srv.Connect(t.Context(), target, "x"); err == nil || c != nil || !strings.Contains(err.Error(), target.Address) {
				t.Errorf("%v, %v", c, err)
			}
			begin := []string{"created", "before x"}
			if name == "no such host" {
				begin = nil
			}
			if begin != nil {
				begin = append(begin, "released")
			}
			d.wait(t, begin...)
			if err := srv.AsyncConnect(target, "x"); err != nil {
				t.Fatal(err)
			}
			all := append([]string{}, begin...)
			if begin != nil {
				all = append(all, "created")
			}
			d.wait(t, append(all, "before x", "failed", "released")...)
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if n := srv.Stats().Listeners["outgoing"].Closed[tt.why]; n != 2 {
				t.Errorf("%d failed connects counted", n)
			}
		})
	}
}

// Bad targets are refused at once, with the remedy.
func TestBadTargets(t *testing.T) {
	srv := startDialer(t, newDialer())
	for _, tt := range []struct{ network, address, want string }{
		{"tcp", "example.org", "host:port"},
		{"tcp", "127.0.0.1:0", "1 to 65535"},
		{"tcp", "127.0.0.1:99999", "65535"},
		{"unix", "", "no path"},
		{"udp", "127.0.0.1:1", "unknown network"},
	} {
		target := server.Target{Network: tt.network, Address: tt.address}
		if err := srv.AsyncConnect(target, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s://%s: %v", tt.network, tt.address, err)
		}
		if _, err := srv.Connect(t.Context(), target, nil); err == nil {
			t.Errorf("%s://%s was connected to", tt.network, tt.address)
		}
	}
}

// DESIGN: a blocking call inside a callback would deadlock its loop.
func TestConnectOnALoop(t *testing.T) {
	d := newDialer()
	address := echoServer(t, "tcp")
	var srv *server.Server
	result := make(chan error, 1)
	d.up = func(*conn.Stream) {
		_, err := srv.Connect(context.Background(), server.Target{Network: "tcp", Address: address}, "")
		result <- err
	}
	srv = startDialer(t, d)
	target := server.Target{Network: "tcp", Address: address}
	if err := srv.AsyncConnect(target, "a"); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, result, "Connect"); !errors.Is(err, conn.ErrOnLoop) {
		t.Errorf("Connect in a callback: %v", err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := srv.AsyncConnect(target, "b"); !errors.Is(err, conn.ErrClosed) {
		t.Errorf("AsyncConnect after Shutdown: %v", err)
	}
	fresh, err := server.New(server.Config{Callback: d})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Connect(t.Context(), target, nil); !errors.Is(err, conn.ErrMode) {
		t.Errorf("Connect before Start: %v", err)
	}
}

// resolver is a server.Resolver that knows some names.
type resolver map[string][]netip.Addr

func (r resolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if ips := r[network+" "+host]; ips != nil {
		return ips, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// DESIGN, The server's life: names are resolved off the loops, several addresses tried; by
// whom is the program's choice.
func TestResolver(t *testing.T) {
	known := resolver{
		"ip4 backend": {netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.1")},
		"ip front":    {netip.MustParseAddr("127.0.0.4")},
	}
	d := newDialer()
	srv := startDialer(t, d, func(c *server.Config) {
		c.Resolver = known
		c.Listeners = []server.Listener{{Name: "l", Network: "tcp", Address: "front:0"}}
	})
	if at := srv.Addrs()["l"][0].AddrPort.Addr().String(); at != "127.0.0.4" {
		t.Errorf("listening on %s", at)
	}
	_, port, err := net.SplitHostPort(echoServer(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := srv.Connect(t.Context(), server.Target{Network: "tcp4", Address: "backend:" + port}, "x")
	if err != nil {
		t.Fatal(err)
	}
	d.wait(t, "created", "before x", "created", "before x", "created", "before x", "established")
	c.Abort(nil)
	c.Release()
	var dns *net.DNSError
	if _, err := srv.Connect(t.Context(), server.Target{Network: "tcp4", Address: "front:1"}, "x"); !errors.As(err, &dns) {
		t.Errorf("%v, want that the name isn't known", err)
	}
}

// A Resolver is the program's: what it returns is only read, its zones are kept, and finding
// nothing, or what's no address, is a failure like any other.
func TestResolverOfAnotherKind(t *testing.T) {
	known := resolver{
		"ip4 backend": {netip.MustParseAddr("::ffff:127.0.0.1")},
		"ip printer":  {netip.MustParseAddr("fe80::1%nowhere")},
		"ip nothing":  {},
		"ip nonsense": {{}},
	}
	for _, host := range []string{"nothing", "nonsense"} {
		srv, err := server.New(server.Config{
			Callback: newDialer(), Resolver: known, Listeners: []server.Listener{{Network: "tcp", Address: host + ":0"}},
		})
		if err == nil {
			err = srv.Start()
		}
		if err == nil || !strings.Contains(err.Error(), host) {
			t.Errorf("listening on %s: %v, want an error that names it", host, err)
		}
	}
	d := newDialer()
	srv := startDialer(t, d, func(c *server.Config) { c.Resolver = known })
	_, port, err := net.SplitHostPort(echoServer(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 { // at the same time, with the same answer
		all.Go(func() {
			c, err := srv.Connect(t.Context(), server.Target{Network: "tcp4", Address: "backend:" + port}, "x")
			if err != nil {
				t.Error(err)
				return
			}
			c.Abort(nil)
			c.Release()
		})
	}
	all.Wait()
	if got := known["ip4 backend"][0]; !got.Is4In6() {
		t.Errorf("the resolver's own address is now %v", got)
	}
	if _, err := srv.Connect(t.Context(), server.Target{Network: "tcp", Address: "nonsense:1"}, "x"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("%v, want an error that names the host", err)
	}
	if err := srv.AsyncConnect(server.Target{Network: "tcp", Address: "printer:1"}, "x"); err != nil {
		t.Error(err)
	}
	if at := receive(t, d.failed, "failure"); at.AddrPort.Addr().Zone() != "nowhere" {
		t.Errorf("connecting to %v, want the resolver's zone", at)
	}
}
