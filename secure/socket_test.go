package secure_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
)

// user is a conn.User that says what it's called for.
type user struct {
	conn.BaseUser
	told   chan string
	socks  chan conn.Socket
	refuse string       // a protocol
	next   func() *user // of who is accepted
}

func newUser() *user { return &user{told: make(chan string, 100), socks: make(chan conn.Socket, 10)} }

func (u *user) say(format string, args ...any) { u.told <- fmt.Sprintf(format, args...) }

func (u *user) SocketConnectComplete(conn.Socket)                  { u.say("connected") }
func (u *user) SocketBindResult(s conn.Socket, a string, p uint16) { u.say("bound %s:%d", a, p) }
func (u *user) SocketAcceptComplete(s conn.Socket)                 { u.say("accepted"); u.socks <- s }
func (u *user) SocketSendResult(conn.Socket)                       { u.say("sent") }
func (u *user) SocketUpgradeToTLSComplete(conn.Socket)             { u.say("upgraded") }
func (u *user) SocketRecvCanceled(_ conn.Socket, p []byte)         { u.say("canceled %d", len(p)) }
func (u *user) SocketShutdown(_ conn.Socket, r conn.ShutdownReason) {
	u.say("shutdown %v", r)
}

func (u *user) SocketListenResult(s conn.Socket, _ string, _ uint16) {
	if err := s.Accept(u.next()); err != nil {
		u.say("%v", err)
	}
}

func (u *user) SocketRecvResult(_ conn.Socket, p []byte, n int) { u.say("received %s", p[:n]) }

func (u *user) SocketAcceptSelectedALPNProtocol(_ conn.Socket, protocol string) bool {
	u.say("protocol %s", protocol)
	return protocol != u.refuse
}

func (u *user) want(t *testing.T, all ...string) {
	t.Helper()
	for _, want := range all {
		select {
		case got := <-u.told:
			if got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing, want %q", want)
		}
	}
}

func startMux(t *testing.T) *conn.Mux {
	t.Helper()
	m, err := conn.NewMux(conn.MuxConfig{Loops: 2, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	must(t, m.Start())
	t.Cleanup(func() { must(t, m.Terminate()) })
	return m
}

// pair is a server's context for localhost, and a client's that trusts it.
func pair(t *testing.T, alpn ...string) (forServer, forClient *secure.Context, roots *x509.CertPool) {
	t.Helper()
	self, err := secure.SelfSigned(time.Hour, "localhost")
	must(t, err)
	leaf, err := x509.ParseCertificate(self.Pair.Certificate[0])
	must(t, err)
	roots = x509.NewCertPool()
	roots.AddCert(leaf)
	forServer, err = secure.NewContext(secure.Config{Certificates: []secure.Certificate{self}, ALPN: alpn, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	forClient, err = secure.NewContext(secure.Config{Roots: roots, ALPN: alpn, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	return forServer, forClient, roots
}

// socketsWith listens, and connects a client that sends before it's connected.
func socketsWith(t *testing.T, p conn.Provider, x, y *secure.Context, at, name string) (client, server conn.Socket, cu, su *user) {
	t.Helper()
	m := startMux(t)
	lu := newUser()
	su, cu = newUser(), newUser()
	lu.next = func() *user { return su }
	config := func(u *user, x *secure.Context) conn.SocketConfig {
		c := conn.SocketConfig{Mux: m, User: u}
		if x != nil {
			c.Sessions = x
		}
		return c
	}
	l, err := p.NewSocket(config(lu, x))
	must(t, err)
	must(t, l.Bind(at, 0))
	bound := <-lu.told
	if !strings.HasPrefix(at, "@") {
		at = strings.TrimPrefix(bound, "bound ")
	}
	must(t, l.Listen())
	client, err = p.NewSocket(config(cu, y))
	must(t, err)
	must(t, client.Connect(at, name))
	if err := client.Send([]byte("early")); err != nil && !errors.Is(err, conn.ErrClosed) { // a handshake that fails may have done so
		t.Fatal(err)
	}
	return client, nil, cu, su
}

// seed-contract.md 1: CreateTLSSocketProvider; v2: SocketAcceptSelectedALPNProtocol; Send before
// the connect completes is cached.
func TestTLSSockets(t *testing.T) {
	for name, p := range map[string]struct {
		conn.Provider
		at string
	}{"tcp": {conn.TCP(), "127.0.0.1"}, "local": {conn.Local(), "@sluice-secure-test"}} {
		t.Run(name, func(t *testing.T) {
			x, y, _ := pair(t, "echo")
			client, _, cu, su := socketsWith(t, secure.TLS(p.Provider), x, y, p.at, "localhost")
			su.want(t, "protocol echo", "accepted")
			served := <-su.socks
			must(t, served.Recv(make([]byte, 5), false))
			cu.want(t, "protocol echo", "connected", "sent")
			su.want(t, "received early")
			must(t, served.Send([]byte("hello")))
			must(t, client.Recv(make([]byte, 100), true))
			su.want(t, "sent")
			cu.want(t, "received hello")
			must(t, client.Shutdown())
			su.want(t, "shutdown by_peer")
			cu.want(t, "shutdown normal")
			client.Release()
			served.Release()
		})
	}
}

// seed-contract.md 1: TLS_HANDSHAKE_FAILED; ALPN: false ends the connection.
func TestTLSSocketsThatFail(t *testing.T) {
	x, y, _ := pair(t, "echo")
	client, _, cu, su := socketsWith(t, secure.TLS(conn.TCP()), x, y, "127.0.0.1", "elsewhere")
	cu.want(t, "shutdown tls_handshake_failed")
	su.want(t, "shutdown tls_handshake_failed")
	var wrong x509.HostnameError
	if !errors.As(client.Err(), &wrong) {
		t.Errorf("%v", client.Err())
	}
	client.Release()
}

// seed-contract.md 1: UpgradeToTLSSocket: takes ownership, the user is replaced; both sides,
// over TCP and Unix-domain.
func TestUpgradeSockets(t *testing.T) {
	for name, p := range map[string]struct {
		conn.Provider
		at string
	}{"tcp": {conn.TCP(), "127.0.0.1"}, "local": {conn.Local(), "@sluice-secure-test"}} {
		t.Run(name, func(t *testing.T) {
			x, y, _ := pair(t)
			client, _, cu, su := socketsWith(t, p.Provider, nil, nil, p.at, "")
			su.want(t, "accepted")
			served := <-su.socks
			cu.want(t, "connected", "sent")
			must(t, served.Recv(make([]byte, 5), false))
			su.want(t, "received early")
			must(t, served.Recv(make([]byte, 7), false))
			cu2, su2 := newUser(), newUser()
			secured, err := secure.Upgrade(served, conn.SocketConfig{User: su2, Sessions: x}, true, "")
			must(t, err)
			if err := served.Send(nil); !errors.Is(err, conn.ErrClosed) {
				t.Errorf("Send of the old socket: %v, want ErrClosed", err)
			}
			su.want(t, "canceled 7")
			client2, err := secure.Upgrade(client, conn.SocketConfig{User: cu2, Sessions: y}, false, "localhost")
			must(t, err)
			must(t, client2.Send([]byte("secret")))
			cu2.want(t, "upgraded", "sent")
			su2.want(t, "upgraded")
			must(t, secured.Recv(make([]byte, 6), false))
			su2.want(t, "received secret")
			if _, err := secure.Upgrade(secured, conn.SocketConfig{User: su2, Sessions: x}, true, ""); !errors.Is(err, conn.ErrMode) {
				t.Errorf("TLS as input: %v, want ErrMode", err)
			}
			must(t, secured.Shutdown())
			su2.want(t, "shutdown normal")
			cu2.want(t, "shutdown by_peer")
			secured.Release()
			client2.Release()
			if n := len(su.told) + len(cu.told); n != 0 {
				t.Errorf("the old users were called %d times after the upgrade", n)
			}
		})
	}
}

// What's no context, or no socket of ours, is refused.
func TestTLSMisuse(t *testing.T) {
	m := startMux(t)
	x, _, _ := pair(t)
	if _, err := secure.TLS(conn.TCP()).NewSocket(conn.SocketConfig{Mux: m, User: newUser()}); err == nil {
		t.Error("a secure socket without a context")
	}
	if _, err := secure.TLS(nil).NewSocket(conn.SocketConfig{Mux: m, User: newUser(), Sessions: x}); !errors.Is(err, conn.ErrMode) {
		t.Errorf("a socket of nothing: %v", err)
	}
	fresh, err := conn.TCP().NewSocket(conn.SocketConfig{Mux: m, User: newUser()})
	must(t, err)
	if _, err := secure.Upgrade(fresh, conn.SocketConfig{User: newUser(), Sessions: x}, true, ""); !errors.Is(err, conn.ErrMode) {
		t.Errorf("an upgrade of what isn't connected: %v", err)
	}
	if _, err := secure.Upgrade(nil, conn.SocketConfig{User: newUser(), Sessions: x}, true, ""); !errors.Is(err, conn.ErrMode) {
		t.Errorf("an upgrade of nothing: %v", err)
	}
	fresh.Release()
	_, y, _ := pair(t)
	if _, err := secure.Upgrade(fresh, conn.SocketConfig{User: newUser(), Sessions: y}, false, ""); err == nil || !strings.Contains(err.Error(), "server name") {
		t.Errorf("an upgrade to nobody in particular: %v", err)
	}
	if err := secure.UpgradeStream(nil, y, secure.UpgradeOptions{}); err == nil || !strings.Contains(err.Error(), "server name") {
		t.Errorf("an upgrade to nobody in particular: %v", err)
	}
}
