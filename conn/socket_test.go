package conn_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/internal/testenv"
)

// places are the kinds of sockets, and where each listens.
func places(t *testing.T) map[string]struct {
	conn.Provider
	conn.SocketConfig
	at string
} {
	return map[string]struct {
		conn.Provider
		conn.SocketConfig
		at string
	}{
		"tcp":      {conn.TCP(), conn.SocketConfig{}, "127.0.0.1"},
		"tcp6":     {conn.TCP(), conn.SocketConfig{IPv6: true}, "::1"},
		"local":    {conn.Local(), conn.SocketConfig{}, filepath.Join(testenv.SocketDir(t), "s")},
		"abstract": {conn.Local(), conn.SocketConfig{}, "@sluice-conn-test"},
	}
}

// seed-contract.md, ISocket: Bind, Listen, Accept inside ListenResult, Connect, Send, Recv
// full and partial, Shutdown that flushes; SocketShutdown is the last callback.
func TestSockets(t *testing.T) {
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			w := listen(t, p.Provider, p.SocketConfig, p.at)
			client, cu, served := w.connect(p.SocketConfig)
			su := w.guest
			full, rest := make([]byte, 5), make([]byte, 100)
			must(t, served.Recv(full, false))
			must(t, served.Recv(rest, true))
			must(t, client.Send([]byte("hello")))
			cu.want("sent")
			su.want("received hello")
			must(t, client.Send([]byte(" world")))
			cu.want("sent")
			su.want("received  world")
			if &full[0] == &rest[0] || string(full) != "hello" || string(rest[:6]) != " world" {
				t.Errorf("the memory has %q and %q", full, rest[:6])
			}
			must(t, client.Recv(make([]byte, 64<<10), false))
			must(t, served.Recv(rest, false))
			big := strings.Repeat("x", 64<<10)
			must(t, served.Send([]byte(big)))
			must(t, served.Shutdown()) // flushes
			for _, err := range []error{served.Send(full), served.Recv(full, true)} {
				if !errors.Is(err, conn.ErrClosed) {
					t.Errorf("a call after Shutdown: %v, want ErrClosed", err)
				}
			}
			cu.want("received "+big, "shutdown by_peer")
			got := []string{su.next(), su.next(), su.next()}
			if all := strings.Join(got, ", "); all != "canceled 100, sent, shutdown normal" && all != "sent, canceled 100, shutdown normal" {
				t.Errorf("the accepted socket's user heard of: %s", all)
			}
			if client.ID() == served.ID() || client.Err() != nil || served.Err() != nil {
				t.Errorf("IDs %d and %d, errors %v and %v", client.ID(), served.ID(), client.Err(), served.Err())
			}
			client.Release()
			served.Release()
			w.close()
		})
	}
}

// seed-contract.md, Bind: "" is all interfaces, and reports 0.0.0.0; IPv6 is IPv6 alone.
func TestBindToAllInterfaces(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		s, u := newSocket(t, conn.TCP(), "the socket", conn.SocketConfig{Mux: startMux(t, nil), IPv6: v6})
		must(t, s.Bind("", 0))
		want, other := "bound 0.0.0.0 ", "tcp6"
		if v6 {
			want, other = "bound :: ", "tcp4"
		}
		got := u.next()
		port, found := strings.CutPrefix(got, want)
		if !found || port == "0" {
			t.Errorf("%q, want %q and a port", got, want)
		}
		must(t, s.Listen())
		if c, err := net.Dial(other, "localhost:"+port); err == nil {
			t.Errorf("somebody answers %s on %s", other, port)
			_ = c.Close()
		}
		must(t, s.Shutdown())
		u.want("shutdown normal")
	}
}

// seed-contract.md, ISocket: a socket's mode is fixed by the first of Bind and Connect;
// what doesn't fit is ErrMode and changes nothing.
func TestSocketModes(t *testing.T) {
	w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
	client, cu, served := w.connect(conn.SocketConfig{})
	fresh, fu := newSocket(t, conn.TCP(), "the fresh", conn.SocketConfig{Mux: w.mux})
	bound, bu := newSocket(t, conn.TCP(), "the bound", conn.SocketConfig{Mux: w.mux})
	must(t, bound.Bind("127.0.0.1", 0))
	bu.next()
	sockets := map[string]conn.Socket{"fresh": fresh, "bound": bound, "listening": w.listener, "client": client, "accepted": served}
	calls := map[string]struct {
		call func(conn.Socket) error
		fits string // whom it isn't tried on
	}{
		"Connect":           {func(s conn.Socket) error { return s.Connect(w.at, "") }, "fresh"},
		"Bind":              {func(s conn.Socket) error { return s.Bind("", 0) }, "fresh"},
		"Listen":            {func(s conn.Socket) error { return s.Listen() }, "bound"},
		"Accept":            {func(s conn.Socket) error { return s.Accept(fu) }, ""},
		"Accept of nothing": {func(s conn.Socket) error { return s.Accept(nil) }, ""},
		"Send":              {func(s conn.Socket) error { return s.Send([]byte("x")) }, "client accepted"},
		"SendTo":            {func(s conn.Socket) error { return s.SendTo([]byte("x"), netip.MustParseAddrPort("127.0.0.1:1")) }, ""},
		"Recv":              {func(s conn.Socket) error { return s.Recv(make([]byte, 1), true) }, "client accepted"},
		"Recv into nothing": {func(s conn.Socket) error { return s.Recv(nil, true) }, ""},
		"RecvCancel":        {func(s conn.Socket) error { return s.RecvCancel() }, ""},
		"SetUser":           {func(s conn.Socket) error { return s.SetUser(nil) }, ""},
	}
	for name, s := range sockets {
		for what, c := range calls {
			if strings.Contains(c.fits, name) {
				continue
			}
			if err := c.call(s); !errors.Is(err, conn.ErrMode) {
				t.Errorf("%s of a socket that's %s: %v, want ErrMode", what, name, err)
			}
		}
	}
	// Nothing has changed: each can still do what it could.
	must(t, served.Recv(make([]byte, 1), true))
	must(t, client.Send([]byte("x")))
	cu.want("sent")
	w.guest.want("received x")
	must(t, bound.Listen())
	w.door.onListen(func(s conn.Socket) { check(t, s.Accept(newUser(t, "another"))) })
	must(t, fresh.Connect(w.at, ""))
	fu.want("connected")
	must(t, client.Shutdown())
	cu.want("shutdown normal")
	for _, s := range sockets {
		must(t, s.Shutdown())
		must(t, s.Shutdown())
	}
	bu.want("shutdown normal")
	if err := bound.Listen(); !errors.Is(err, conn.ErrClosed) {
		t.Errorf("Listen after Shutdown: %v, want ErrClosed", err)
	}
}

// broken is a kernel some of whose calls fail.
type broken struct {
	sys.Kernel
	socket, bind error
	listen       sys.Errno
	accept       sys.Errno
	accepts      chan struct{} // told of each accept that fails; nil: not told
}

func (b *broken) Socket(to sys.Addr, o sys.Options) (int, error) {
	if b.socket != nil {
		return -1, b.socket
	}
	return b.Kernel.Socket(to, o)
}

func (b *broken) Bind(spec sys.ListenSpec) (int, sys.Addr, error) {
	if b.bind != nil {
		return -1, sys.Addr{}, b.bind
	}
	return b.Kernel.Bind(spec)
}

func (b *broken) Listen(fd, backlog int) sys.Errno {
	if b.listen != 0 {
		return b.listen
	}
	return b.Kernel.Listen(fd, backlog)
}

func (b *broken) Accept(fd int) (int, sys.Addr, sys.Errno) {
	if b.accept != 0 {
		select {
		case b.accepts <- struct{}{}:
		default:
		}
		return -1, sys.Addr{}, b.accept
	}
	return b.Kernel.Accept(fd)
}

// seed-contract.md, shutdownreason_t: how each failure is told; Err has the details, and
// nothing else is called.
func TestSocketFailures(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, free.Close())
	dir := testenv.SocketDir(t)
	plain := filepath.Join(dir, "plain")
	must(t, os.WriteFile(plain, nil, 0o600))
	port := func(l net.Listener) uint16 { return netip.MustParseAddrPort(l.Addr().String()).Port() }
	connect := func(at string) func(conn.Socket) error {
		return func(s conn.Socket) error { return s.Connect(at, "") }
	}
	bind := func(at string, port uint16) func(conn.Socket) error {
		return func(s conn.Socket) error { return s.Bind(at, port) }
	}
	none := os.NewSyscallError("socket", unix.EMFILE)
	tests := map[string]struct {
		p      conn.Provider
		c      conn.SocketConfig
		kernel broken
		call   func(conn.Socket) error
		want   string
		is     error
	}{
		"connect: no port":       {p: conn.TCP(), call: connect("127.0.0.1"), want: "address_invalid"},
		"connect: port 0":        {p: conn.TCP(), call: connect("127.0.0.1:0"), want: "address_invalid"},
		"connect: a name":        {p: conn.TCP(), call: connect("localhost:80"), want: "address_invalid"},
		"connect: nothing":       {p: conn.TCP(), call: connect(""), want: "address_invalid"},
		"connect: IPv6 to IPv4":  {p: conn.TCP(), call: connect("[::1]:80"), want: "address_invalid"},
		"connect: IPv4 to IPv6":  {p: conn.TCP(), c: conn.SocketConfig{IPv6: true}, call: connect("127.0.0.1:80"), want: "address_invalid"},
		"connect: mapped":        {p: conn.TCP(), c: conn.SocketConfig{IPv6: true}, call: connect("[::ffff:127.0.0.1]:80"), want: "address_invalid"},
		"connect: no path":       {p: conn.Local(), call: connect(""), want: "address_invalid"},
		"connect: a long path":   {p: conn.Local(), call: connect(strings.Repeat("x", 200)), want: "address_invalid"},
		"connect: no descriptor": {p: conn.TCP(), kernel: broken{socket: none}, call: connect(free.Addr().String()), want: "open_failed", is: unix.EMFILE},
		"connect: nobody":        {p: conn.TCP(), call: connect(free.Addr().String()), want: "connect_rejected", is: unix.ECONNREFUSED},
		"connect: no file":       {p: conn.Local(), call: connect(filepath.Join(dir, "nobody")), want: "connect_failed", is: unix.ENOENT},
		"bind: no address":       {p: conn.TCP(), call: bind("localhost", 0), want: "address_invalid"},
		"bind: IPv6":             {p: conn.TCP(), call: bind("::", 0), want: "address_invalid"},
		"bind: no path":          {p: conn.Local(), call: bind("", 0), want: "address_invalid"},
		"bind: no descriptor":    {p: conn.TCP(), kernel: broken{bind: none}, call: bind("", 0), want: "open_failed", is: unix.EMFILE},
		"bind: in use":           {p: conn.TCP(), call: bind("127.0.0.1", port(taken)), want: "bind_failed", is: unix.EADDRINUSE},
		"bind: a stranger's":     {p: conn.TCP(), call: bind("192.0.2.1", 0), want: "bind_failed", is: unix.EADDRNOTAVAIL},
		"bind: a plain file":     {p: conn.Local(), call: bind(plain, 0), want: "bind_failed"},
		"bind: no folder":        {p: conn.Local(), call: bind(filepath.Join(dir, "no", "s"), 0), want: "bind_failed", is: unix.ENOENT},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.kernel.Kernel = &sys.OS{}
			tt.c.Mux = startMux(t, &tt.kernel)
			s, u := newSocket(t, tt.p, "the socket", tt.c)
			if s.Err() != nil {
				t.Error("an error before anything was done")
			}
			must(t, tt.call(s))
			u.want("shutdown " + tt.want)
			if err := s.Err(); err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Err: %v, want %v", err, tt.is)
			}
			if err := s.Connect("127.0.0.1:1", ""); !errors.Is(err, conn.ErrClosed) && !errors.Is(err, conn.ErrMode) {
				t.Errorf("Connect after the end: %v", err)
			}
			s.Release()
		})
	}
}

// SHUTDOWN LISTEN_FAILED and ACCEPT_FAILED; a failure that passes ends nothing (faults:
// EMFILE and friends never shut a listener).
func TestListenerFailures(t *testing.T) {
	k := &broken{Kernel: &sys.OS{}, listen: unix.EADDRINUSE}
	s, u := newSocket(t, conn.TCP(), "the socket", conn.SocketConfig{Mux: startMux(t, k)})
	must(t, s.Bind("127.0.0.1", 0))
	u.next()
	must(t, s.Listen())
	u.want("shutdown listen_failed")
	if !errors.Is(s.Err(), unix.EADDRINUSE) {
		t.Errorf("Err: %v", s.Err())
	}
	for errno, want := range map[sys.Errno]string{unix.EBADF: "shutdown accept_failed", unix.EINVAL: "shutdown accept_failed", unix.EMFILE: "shutdown normal"} {
		k := &broken{Kernel: &sys.OS{}, accept: errno}
		w := listen(t, conn.TCP(), conn.SocketConfig{Mux: startMux(t, k)}, "127.0.0.1")
		if errno == unix.EMFILE {
			must(t, w.listener.Shutdown())
		}
		w.door.want(want)
		w.listener.Release()
	}
}

// seed-contract.md, Send: before the connect completes it's cached; Shutdown flushes.
func TestSendBeforeConnected(t *testing.T) {
	for _, end := range []bool{false, true} {
		w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
		w.guest.accepted = func(s conn.Socket) { check(t, s.Recv(make([]byte, 100), true)) }
		client, cu := newSocket(t, conn.TCP(), "the client", conn.SocketConfig{Mux: w.mux})
		must(t, client.Connect(w.at, ""))
		must(t, client.Send([]byte("early")))
		if end {
			must(t, client.Shutdown())
			for _, err := range []error{client.Send(nil), client.Recv(make([]byte, 1), true)} {
				if !errors.Is(err, conn.ErrClosed) {
					t.Errorf("after Shutdown: %v, want ErrClosed", err)
				}
			}
		}
		w.door.want("knock 127.0.0.1")
		w.guest.want("accepted", "received early")
		if end {
			// It may have been connected by then.
			if got := cu.next(); got == "connected" {
				cu.want("sent")
			}
			w.guest.want("shutdown by_peer")
			cu.want("shutdown normal")
		} else {
			cu.want("connected", "sent")
		}
		w.close()
	}
}

// seed-contract.md, Send and Shutdown: what Send has taken is sent, if another goroutine calls
// Shutdown at the same time before the socket is connected, too.
func TestSendWhileShutdown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go serve(l)
	for range 5 {
		mux, err := conn.NewMux(conn.MuxConfig{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		taken := map[*user]error{}
		for delay := range 500 {
			s, u := newSocket(t, conn.TCP(), "the client", conn.SocketConfig{Mux: mux})
			u.ended = func(s conn.Socket) { s.Release() }
			must(t, s.Connect(l.Addr().String(), "")) // the loop doesn't run yet
			var steps atomic.Int32
			meet := func() {
				steps.Add(1)
				for steps.Load() < 2 {
					runtime.Gosched()
				}
			}
			sent := make(chan error, 1)
			go func() {
				meet()
				sent <- s.Send([]byte("hello"))
			}()
			meet()
			for range delay {
				_ = steps.Load() // a moment
			}
			must(t, s.Shutdown())
			taken[u] = <-sent
		}
		must(t, mux.Start())
		for u, err := range taken {
			if err == nil {
				u.want("sent")
			}
			u.want("shutdown normal")
		}
		must(t, mux.Terminate())
	}
}

// serve receives from everybody until the end.
func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(io.Discard, c)
		}()
	}
}

// A connect that's given up ends as Shutdown does.
func TestShutdownWhileConnecting(t *testing.T) {
	mux, err := conn.NewMux(conn.MuxConfig{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	s, u := newSocket(t, conn.TCP(), "the socket", conn.SocketConfig{Mux: mux})
	must(t, s.Connect("127.0.0.1:9", "")) // no loop runs yet
	must(t, s.Recv(make([]byte, 3), true))
	must(t, s.Shutdown())
	must(t, mux.Start())
	u.want("canceled 3", "shutdown normal")
	s.Release()
	must(t, mux.Terminate())
}

// seed-contract.md: RecvCancel ends with RecvCanceled(p).
func TestRecvCancel(t *testing.T) {
	w := listen(t, conn.Local(), conn.SocketConfig{}, "@sluice-conn-test")
	client, _, served := w.connect(conn.SocketConfig{})
	must(t, served.Recv(make([]byte, 5), false))
	must(t, served.Recv(make([]byte, 6), true))
	must(t, served.RecvCancel())
	w.guest.want("canceled 5", "canceled 6")
	must(t, served.Recv(make([]byte, 5), false))
	must(t, client.Send([]byte("hello")))
	w.guest.want("received hello")
	w.close()
}

// seed-contract.md, Accept: nil denies; so does no call, and a user who panics. A second
// call is misuse.
func TestDeny(t *testing.T) {
	for name, deny := range map[string]func(s conn.Socket){
		"nil":       func(s conn.Socket) { check(t, s.Accept(nil)) },
		"no call":   func(conn.Socket) {},
		"panic":     func(s conn.Socket) { panic("no") },
		"Shutdown":  func(s conn.Socket) { must(t, s.Shutdown()) },
		"too late":  func(s conn.Socket) { check(t, s.Accept(nil)); wantMode(t, s.Accept(newUser(t, "nobody"))) },
		"elsewhere": func(s conn.Socket) { elsewhere(func() { wantMode(t, s.Accept(newUser(t, "nobody"))) }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
			w.door.onListen(deny)
			client, err := net.Dial("tcp", w.at)
			if err == nil {
				_, err = client.Read(make([]byte, 1))
				must(t, client.Close())
			}
			if !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("the client's end is %v, want a reset", err)
			}
			w.door.want("knock 127.0.0.1")
			if name != "Shutdown" {
				w.door.onListen(func(s conn.Socket) { check(t, s.Accept(w.guest)) })
				w.connect(conn.SocketConfig{})
			}
			must(t, w.listener.Shutdown())
			w.door.want("shutdown normal")
		})
	}
}

func wantMode(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, conn.ErrMode) {
		t.Errorf("%v, want ErrMode", err)
	}
}

// elsewhere calls f on another goroutine.
func elsewhere(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// seed-contract.md, SetUser: from the next callback on.
func TestSetUser(t *testing.T) {
	w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
	client, cu, served := w.connect(conn.SocketConfig{})
	other := newUser(t, "the other")
	must(t, served.SetUser(other))
	must(t, served.Recv(make([]byte, 5), false))
	must(t, client.Send([]byte("hello")))
	other.want("received hello")
	must(t, client.Shutdown())
	other.want("shutdown by_peer")
	cu.want("sent", "shutdown normal")
	w.close()
	if n := len(w.guest.events); n != 0 {
		t.Errorf("the first user was called %d times after SetUser", n)
	}
}

// seed-contract.md, shutdownreason_t: LOST.
func TestLost(t *testing.T) {
	w := listen(t, conn.TCP(), conn.SocketConfig{}, "127.0.0.1")
	client, err := net.Dial("tcp", w.at)
	must(t, err)
	w.door.next()
	w.guest.want("accepted")
	served := receive(t, w.guest.socks, "accepted socket")
	must(t, served.Recv(make([]byte, 5), true))
	must(t, client.(*net.TCPConn).SetLinger(0))
	must(t, client.Close())
	w.guest.want("canceled 5", "shutdown lost")
	if !errors.Is(served.Err(), unix.ECONNRESET) {
		t.Errorf("Err: %v", served.Err())
	}
	w.close()
}

// seed-contract.md, Bind: a local socket's file is read and written by all, and goes with
// the socket; one that nobody answers on is in nobody's way.
func TestLocalSocketFiles(t *testing.T) {
	at := filepath.Join(testenv.SocketDir(t), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	for mode, want := range map[os.FileMode]os.FileMode{0: 0o666, 0o600: 0o600} {
		w := listen(t, conn.Local(), conn.SocketConfig{Mode: mode}, at)
		info, err := os.Stat(at)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode %v, want %v", got, want)
		}
		second, su := newSocket(t, conn.Local(), "the second", conn.SocketConfig{Mux: w.mux})
		must(t, second.Bind(at, 0))
		su.want("shutdown bind_failed")
		w.door.want("knock ") // it was asked whether it answers
		w.close()
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	}
	bound, bu := newSocket(t, conn.Local(), "the bound", conn.SocketConfig{Mux: startMux(t, nil)})
	must(t, bound.Bind(at, 0))
	bu.want("bound " + at + " 0")
	must(t, bound.Shutdown())
	bu.want("shutdown normal")
	if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a socket that didn't listen is still there: %v", err)
	}
}
