package conn_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sys"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// check is must for callbacks, which mustn't end their goroutine.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func receive[T any](t testing.TB, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("no %s", what)
	}
	return v
}

// user writes down what it's called for, and then does what a test wants.
type user struct {
	t      testing.TB
	name   string
	events chan string
	socks  chan conn.Socket // of SocketAcceptComplete
	over   bool
	listen atomic.Pointer[func(conn.Socket)]

	accepted func(conn.Socket)
	received func(conn.Socket, []byte, int)
	sent     func(conn.Socket)
	ended    func(conn.Socket)
}

func newUser(t testing.TB, name string) *user {
	return &user{t: t, name: name, events: make(chan string, 10_000), socks: make(chan conn.Socket, 1000)}
}

// onListen sets what's done with connections from now on.
func (u *user) onListen(f func(conn.Socket)) { u.listen.Store(&f) }

func (u *user) note(s conn.Socket, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if u.over {
		u.t.Errorf("%s: %s after SocketShutdown", u.name, what)
	}
	u.events <- what
}

func (u *user) SocketConnectComplete(s conn.Socket) { u.note(s, "connected") }

func (u *user) SocketBindResult(s conn.Socket, addr string, port uint16) {
	u.note(s, "bound %s %d", addr, port)
}

func (u *user) SocketListenResult(s conn.Socket, addr string, _ uint16) {
	u.note(s, "knock %s", addr)
	if f := u.listen.Load(); f != nil {
		(*f)(s)
	}
}

func (u *user) SocketAcceptComplete(s conn.Socket) {
	u.note(s, "accepted")
	if u.accepted != nil {
		u.accepted(s)
	}
	u.socks <- s
}

func (u *user) SocketShutdown(s conn.Socket, r conn.ShutdownReason) {
	u.note(s, "shutdown %v", r)
	u.over = true
	if u.ended != nil {
		u.ended(s)
	}
}

func (u *user) SocketSendResult(s conn.Socket) {
	u.note(s, "sent")
	if u.sent != nil {
		u.sent(s)
	}
}

func (u *user) SocketRecvResult(s conn.Socket, p []byte, n int) {
	u.note(s, "received %s", p[:n])
	if u.received != nil {
		u.received(s, p, n)
	}
}

func (u *user) SocketRecvFromResult(s conn.Socket, _ []byte, _ int, _ netip.AddrPort) {
	u.note(s, "from")
}
func (u *user) SocketRecvCanceled(s conn.Socket, p []byte)                { u.note(s, "canceled %d", len(p)) }
func (u *user) SocketUpgradeToTLSComplete(s conn.Socket)                  { u.note(s, "upgraded") }
func (u *user) SocketAcceptSelectedALPNProtocol(conn.Socket, string) bool { return true }

// next is what it's called for next.
func (u *user) next() string {
	u.t.Helper()
	return receive(u.t, u.events, u.name+"'s next callback")
}

// want compares what it's called for next.
func (u *user) want(all ...string) {
	u.t.Helper()
	for _, want := range all {
		if got := u.next(); got != want {
			u.t.Fatalf("%s: %q, want %q", u.name, got, want)
		}
	}
}

// startMux starts loops, which end with the test.
func startMux(t testing.TB, kernel sys.Kernel) *conn.Mux {
	t.Helper()
	c := engine.MuxConfig{Loops: 2, Logger: slog.New(slog.DiscardHandler)}
	c.Reactor.Kernel = kernel
	m, err := engine.NewMux(c)
	must(t, err)
	must(t, m.Start())
	t.Cleanup(func() { must(t, m.Terminate()) })
	return (*conn.Mux)(m)
}

// newSocket makes a socket with a user of its own.
func newSocket(t testing.TB, p conn.Provider, name string, c conn.SocketConfig) (conn.Socket, *user) {
	t.Helper()
	u := newUser(t, name)
	c.User = u
	s, err := p.NewSocket(c)
	must(t, err)
	return s, u
}

// world is a listening socket, somebody who accepts what comes, and where.
type world struct {
	t        testing.TB
	p        conn.Provider
	mux      *conn.Mux
	listener conn.Socket
	door     *user // the listener's
	guest    *user // of the next accepted
	at       string
}

// listen makes a world; address is what Bind gets.
func listen(t testing.TB, p conn.Provider, c conn.SocketConfig, address string) *world {
	t.Helper()
	if c.Mux == nil {
		c.Mux = startMux(t, nil)
	}
	w := &world{t: t, p: p, mux: c.Mux, at: address, guest: newUser(t, "the accepted")}
	w.listener, w.door = newSocket(t, p, "the listener", c)
	w.door.onListen(func(s conn.Socket) { check(t, s.Accept(w.guest)) })
	must(t, w.listener.Bind(address, 0))
	bound := w.door.next()
	var addr string
	var port uint16
	if _, err := fmt.Sscanf(bound, "bound %s %d", &addr, &port); err != nil {
		t.Fatal(bound)
	}
	if port != 0 {
		w.at = netip.AddrPortFrom(netip.MustParseAddr(addr), port).String()
	}
	must(t, w.listener.Listen())
	return w
}

// connect connects a client, and returns both ends.
func (w *world) connect(c conn.SocketConfig) (client conn.Socket, u *user, accepted conn.Socket) {
	w.t.Helper()
	c.Mux = w.mux
	client, u = newSocket(w.t, w.p, "the client", c)
	must(w.t, client.Connect(w.at, ""))
	u.want("connected")
	w.door.next()
	w.guest.want("accepted")
	return client, u, receive(w.t, w.guest.socks, "accepted socket")
}

// close ends the listener.
func (w *world) close() {
	w.t.Helper()
	must(w.t, w.listener.Shutdown())
	w.door.want("shutdown normal")
	w.listener.Release()
}
