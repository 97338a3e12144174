package conn_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/internal/testenv"
)

// DESIGN, References: with the last reference a socket ends gracefully, and its user still
// hears of it.
func TestReleaseEndsASocket(t *testing.T) {
	mux := startMux(t, nil)
	fresh, fu := newSocket(t, conn.TCP(), "the fresh", conn.SocketConfig{Mux: mux})
	fresh.AddRef()
	fresh.Release()
	fresh.Release()
	fu.want("shutdown normal")
	bound, bu := newSocket(t, conn.TCP(), "the bound", conn.SocketConfig{Mux: mux})
	must(t, bound.Bind("127.0.0.1", 0))
	bound.Release()
	bu.next()
	bu.want("shutdown normal")
	w := listen(t, conn.TCP(), conn.SocketConfig{Mux: mux}, "127.0.0.1")
	client, cu, served := w.connect(conn.SocketConfig{})
	must(t, served.Recv(make([]byte, 5), false))
	must(t, client.Send([]byte("hello")))
	client.Release() // what was sent arrives
	w.guest.want("received hello")
	cu.want("sent")
	w.guest.want("shutdown by_peer")
	cu.want("shutdown normal")
	served.Release()
	w.listener.Release()
	w.door.want("shutdown normal")
}

// DESIGN, References: pending operations keep a connection open.
func TestRecvKeepsASocketOpen(t *testing.T) {
	w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
	client, cu, served := w.connect(conn.SocketConfig{})
	must(t, client.Recv(make([]byte, 5), false))
	client.Release()
	must(t, served.Send([]byte("hello")))
	cu.want("received hello", "shutdown normal")
	w.guest.want("sent", "shutdown by_peer")
	served.Release()
	w.close()
}

// A connect that succeeds when nobody holds the socket any more sends what was cached.
func TestReleaseWhileConnecting(t *testing.T) {
	w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
	w.guest.accepted = func(s conn.Socket) { check(t, s.Recv(make([]byte, 5), false)) }
	client, cu := newSocket(t, conn.TCP(), "the client", conn.SocketConfig{Mux: w.mux})
	must(t, client.Connect(w.at, ""))
	must(t, client.Send([]byte("hello")))
	client.Release()
	w.guest.want("accepted", "received hello", "shutdown by_peer")
	cu.want("connected", "sent", "shutdown normal")
}

// SocketShutdown may release the socket, as in the seed's examples.
func TestReleaseInSocketShutdown(t *testing.T) {
	w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
	w.guest.ended = func(s conn.Socket) { s.Release() }
	w.door.ended = func(s conn.Socket) { s.Release() }
	client, cu, _ := w.connect(conn.SocketConfig{})
	must(t, client.Shutdown())
	w.guest.want("shutdown by_peer")
	cu.want("shutdown normal")
	must(t, w.listener.Shutdown())
	w.door.want("shutdown normal")
	if err := w.listener.Shutdown(); err != nil {
		t.Errorf("Shutdown of an ended socket: %v", err)
	}
}

// IIoMux: Terminate ends the sockets, which are told; nothing goes on after it.
func TestTerminateEndsSockets(t *testing.T) {
	m, err := conn.NewMux(conn.MuxConfig{Loops: 2, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	must(t, m.Start())
	w := listen(t, conn.TCP(), conn.SocketConfig{Mux: m}, "127.0.0.1")
	client, cu, served := w.connect(conn.SocketConfig{})
	fresh, fu := newSocket(t, conn.TCP(), "the fresh", conn.SocketConfig{Mux: m})
	bound, bu := newSocket(t, conn.TCP(), "the bound", conn.SocketConfig{Mux: m})
	must(t, bound.Bind("127.0.0.1", 0))
	bu.next()
	must(t, m.Terminate())
	w.door.want("shutdown lost")
	w.guest.want("shutdown lost")
	cu.want("shutdown lost")
	for name, err := range map[string]error{
		"Bind": fresh.Bind("127.0.0.1", 0), "Listen": bound.Listen(), "Send": client.Send(nil), "Recv": served.Recv(nil, true),
	} {
		if err == nil {
			t.Errorf("%s after Terminate succeeds", name)
		}
	}
	for _, s := range []conn.Socket{client, served, w.listener, fresh, bound} {
		s.Release()
	}
	late, lu := newSocket(t, conn.TCP(), "the late", conn.SocketConfig{Mux: m})
	if err := late.Connect("127.0.0.1:1", ""); !errors.Is(err, conn.ErrClosed) {
		t.Errorf("Connect after Terminate: %v, want ErrClosed", err)
	}
	late.Release()
	if n := len(fu.events) + len(lu.events) + len(bu.events); n != 0 {
		t.Errorf("%d callbacks after Terminate", n)
	}
}

// The seed's server ends its IIoMux inside SocketShutdown.
func TestTerminateInSocketShutdown(t *testing.T) {
	m, err := conn.NewMux(conn.MuxConfig{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	s, u := newSocket(t, conn.TCP(), "the socket", conn.SocketConfig{Mux: m})
	u.ended = func(s conn.Socket) {
		s.Release()
		check(t, m.Terminate())
	}
	must(t, s.Connect("nonsense", "")) // before the loops run
	must(t, m.Run())
	u.want("shutdown address_invalid")
}

// What's wrong with a SocketConfig is said.
func TestBadSocketConfigs(t *testing.T) {
	mux := startMux(t, nil)
	for want, c := range map[string]conn.SocketConfig{
		"Mux":      {User: newUser(t, "nobody")},
		"User":     {Mux: mux},
		"Sessions": {Mux: mux, User: newUser(t, "nobody"), Sessions: sessions{}},
	} {
		for _, p := range []conn.Provider{conn.TCP(), conn.Local()} {
			if s, err := p.NewSocket(c); err == nil || s != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, %v; want an error that names %s", s, err, want)
			}
		}
	}
}

type sessions struct{}

func (sessions) NewSession(conn.Role, string) (conn.Session, error) {
	return nil, errors.ErrUnsupported
}

// logged is a log that can be read meanwhile.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// seed-contract.md: details of a failure go to the log, by kind (LOG_TCP, LOG_LDS); misuse
// of references does, too.
func TestSocketLogs(t *testing.T) {
	for _, muted := range []bool{false, true} {
		log := &logged{}
		c := conn.SocketConfig{Mux: startMux(t, nil), Logger: slog.New(slog.NewTextHandler(log, nil))}
		if muted {
			c.Mute = conn.LogTCP
		}
		s, u := newSocket(t, conn.TCP(), "the socket", c)
		must(t, s.Connect("nonsense", ""))
		u.want("shutdown address_invalid")
		s.Release()
		s.Release()
		s.AddRef()
		for _, want := range []string{"nonsense", "Release without a reference", "AddRef of a socket", "category=tcp"} {
			if strings.Contains(log.String(), want) == muted {
				t.Errorf("muted %t, and the log:\n%s", muted, log)
			}
		}
	}
}

// faults.md: the log line is rate-limited, about accepts that fail.
func TestAcceptFailuresAreLoggedSparingly(t *testing.T) {
	const failures = 16 // in a row, before the first pause
	log, calls := &logged{}, make(chan struct{}, 1000)
	k := &broken{Kernel: &sys.OS{}, accept: unix.ECONNABORTED, accepts: calls}
	w := listen(t, conn.TCP(), conn.SocketConfig{Mux: startMux(t, k), Logger: slog.New(slog.NewTextHandler(log, nil))}, "127.0.0.1")
	for range failures {
		receive(t, calls, "accept")
	}
	w.close()
	if n := strings.Count(log.String(), "accept failed"); n < 1 || n > failures/2 {
		t.Errorf("%d lines about %d failures:\n%s", n, failures, log)
	}
}

// asking is a log handler that calls the socket that it's told of.
type asking struct {
	slog.Handler
	socket func() conn.Socket
	told   chan error
}

func (asking) Enabled(context.Context, slog.Level) bool { return true }

func (a asking) Handle(context.Context, slog.Record) error {
	a.told <- a.socket().Err()
	return nil
}

// CONTRIBUTING, Locks: no code of the user's runs while a lock is held, and a log handler is
// such code.
func TestLogHandlerMayCallTheSocket(t *testing.T) {
	at := filepath.Join(testenv.SocketDir(t), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	for address, want := range map[string]string{"": "shutdown address_invalid", at: "bound " + at + " 0"} {
		made := make(chan conn.Socket, 1)
		a := asking{slog.DiscardHandler, sync.OnceValue(func() conn.Socket { return <-made }), make(chan error, 1)}
		s, u := newSocket(t, conn.Local(), "the socket", conn.SocketConfig{Mux: startMux(t, nil), Logger: slog.New(a)})
		made <- s
		bound := make(chan error, 1)
		go func() { bound <- s.Bind(address, 0) }()
		_ = receive(t, a.told, "line in the log")
		must(t, receive(t, bound, "return of Bind"))
		u.want(want)
		s.Release()
	}
}

// A Socket is a fair citizen of its loop's limits: output beyond Flow.MaxPending is refused.
func TestSocketOutputIsBounded(t *testing.T) {
	w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
	client, _, _ := w.connect(conn.SocketConfig{Flow: conn.Flow{MaxPending: 1 << 20}})
	p := make([]byte, 1<<20)
	for {
		err := client.Send(p)
		if errors.Is(err, conn.ErrOutputFull) {
			break
		}
		must(t, err)
	}
	w.close()
}

// Timeouts end sockets that don't get on: the Recv is canceled, and the socket lost, whether
// the peer ends its side then or not. Err tells why.
func TestSocketTimeouts(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	must(t, err)
	defer deaf.Close()
	const soon = 20 * time.Millisecond
	for _, limits := range []conn.Timeouts{{Read: soon, Linger: soon}, {Idle: soon, Linger: soon}} {
		w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
		w.door.onListen(func(s conn.Socket) { must(t, s.Accept(newUser(t, "the accepted"))) })
		for _, at := range []string{w.at, deaf.Addr().String()} {
			client, cu := newSocket(t, conn.TCP(), "the client", conn.SocketConfig{Mux: w.mux, Timeouts: limits})
			must(t, client.Connect(at, ""))
			must(t, client.Recv(make([]byte, 5), false))
			cu.want("connected", "canceled 5", "shutdown lost")
			if err := client.Err(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Err: %v, want a deadline", err)
			}
			client.Release()
		}
		must(t, w.listener.Shutdown())
		w.door.want("knock 127.0.0.1", "shutdown normal")
		w.listener.Release()
	}
	// The linger time-out after one's own Shutdown is no loss.
	s, u := newSocket(t, conn.TCP(), "the socket", conn.SocketConfig{Mux: startMux(t, nil), Timeouts: conn.Timeouts{Linger: soon}})
	must(t, s.Connect(deaf.Addr().String(), ""))
	u.want("connected")
	must(t, s.Shutdown())
	u.want("shutdown normal")
	s.Release()
}

// DESIGN, References: the write time-out governs what Shutdown still sends, if there's nobody
// to send it to, too: a Unix-domain listener whose queue is full answers nobody.
func TestShutdownDoesNotWaitForEver(t *testing.T) {
	at := filepath.Join(testenv.SocketDir(t), "s")
	fd, _, err := (&sys.OS{}).Bind(sys.ListenSpec{Addr: sys.Addr{Path: at}})
	must(t, err)
	defer (&sys.OS{}).Close(fd)
	if errno := (&sys.OS{}).Listen(fd, 1); errno != 0 {
		t.Fatal(errno)
	}
	for { // fill the queue
		c, err := net.Dial("unix", at)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		must(t, err)
		defer c.Close()
	}
	for _, started := range []bool{true, false} {
		mux, err := conn.NewMux(conn.MuxConfig{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		if started {
			must(t, mux.Start())
		}
		s, u := newSocket(t, conn.Local(), "the socket", conn.SocketConfig{Mux: mux, Timeouts: conn.Timeouts{Write: 20 * time.Millisecond}})
		must(t, s.Connect(at, ""))
		must(t, s.Send([]byte("x")))
		must(t, s.Shutdown())
		if !started {
			must(t, mux.Start())
		}
		u.want("shutdown connect_failed")
		if !errors.Is(s.Err(), os.ErrDeadlineExceeded) {
			t.Errorf("Err: %v, want a deadline", s.Err())
		}
		s.Release()
		must(t, mux.Terminate())
	}
}

// Reason.Shutdown knows every reason.
func TestReasonsAsShutdownReasons(t *testing.T) {
	for r := range conn.Reason(engine.Reasons) {
		got := r.Shutdown()
		if own := r == conn.ReasonNone || r == conn.ReasonLocalShutdown || r == conn.ReasonUnreferenced || r == conn.ReasonDrain ||
			r == conn.ReasonLinger; own != (got == conn.ShutdownNormal) {
			t.Errorf("%v is %v", r, got)
		}
	}
	if got := conn.ShutdownTLSHandshakeFailed.String(); got != "tls_handshake_failed" {
		t.Errorf("the last is called %q", got)
	}
}
