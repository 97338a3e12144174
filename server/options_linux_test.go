package server_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// option reads one socket option.
type option struct {
	name        string
	level, what int
}

var tcpOptions = []option{
	{"nodelay", unix.IPPROTO_TCP, unix.TCP_NODELAY},
	{"keepalive", unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	{"idle", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{"interval", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{"count", unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	{"timeout", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	{"sndbuf", unix.SOL_SOCKET, unix.SO_SNDBUF},
	{"rcvbuf", unix.SOL_SOCKET, unix.SO_RCVBUF},
}

// DESIGN: socket options are inherited by accepted sockets; the zero value is a good default.
func TestSocketOptionsAreInherited(t *testing.T) {
	cases := []struct {
		name string
		o    conn.SocketOptions
		want map[string]int
	}{
		{"defaults", conn.SocketOptions{}, map[string]int{
			"nodelay": 1, "keepalive": 1, "idle": 15, "interval": 15, "count": 9, "timeout": 0, "linger": -1, "flags": 3,
		}},
		{"chosen", conn.SocketOptions{
			Nagle: true, KeepAlive: 40 * time.Second, KeepAliveInterval: 1500 * time.Millisecond, KeepAliveCount: 3,
			Linger: 7 * time.Second, SendBuffer: 20_000, ReceiveBuffer: 30_000, UserTimeout: 2500 * time.Millisecond,
		}, map[string]int{
			"nodelay": 0, "keepalive": 1, "idle": 40, "interval": 2, "count": 3, "timeout": 2500, "linger": 7,
			"sndbuf": 40_000, "rcvbuf": 60_000, "flags": 3,
		}},
		{"no keep-alive", conn.SocketOptions{KeepAlive: -1}, map[string]int{"nodelay": 1, "keepalive": 0}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			got := map[string]int{}
			rec := newRecorder(echoing())
			rec.do.created = func(fd int) {
				mu.Lock()
				defer mu.Unlock()
				for _, o := range tcpOptions {
					n, err := unix.GetsockoptInt(fd, o.level, o.what)
					if err != nil {
						t.Errorf("%s: %v", o.name, err)
					}
					got[o.name] = n
				}
				got["linger"], got["flags"] = lingerOf(t, fd), flagsOf(t, fd)
			}
			f := start(t, "tcp", rec, func(c *server.Config) { c.Listeners[0].Options = tc.o })
			p := f.dial()
			p.echo("up")
			p.Close()
			f.stop()
			for _, name := range slices.Sorted(maps.Keys(tc.want)) {
				if got[name] != tc.want[name] {
					t.Errorf("%s is %d, want %d", name, got[name], tc.want[name])
				}
			}
		})
	}
}

// lingerOf is SO_LINGER's seconds; −1: it's off.
func lingerOf(t *testing.T, fd int) int {
	l, err := unix.GetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER)
	if err != nil {
		t.Error(err)
		return 0
	}
	if l.Onoff == 0 {
		return -1
	}
	return int(l.Linger)
}

// flagsOf is 1 for close-on-exec and 2 for non-blocking.
func flagsOf(t *testing.T, fd int) (f int) {
	descriptor, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		t.Error(err)
	}
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Error(err)
	}
	if descriptor&unix.FD_CLOEXEC != 0 {
		f |= 1
	}
	if status&unix.O_NONBLOCK != 0 {
		f |= 2
	}
	return f
}

// seed-contract.md: OnSocketCreated: just after creation; raw options may be set here.
func TestOptionsMaySetInSocketCreated(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		rec.do.created = func(fd int) {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 3); err != nil {
				t.Error(err)
			}
		}
		f := start(t, network, rec)
		p := f.dial()
		p.echo("up")
		raw, err := rec.next(t, 0).stream.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var n int
		var gerr error
		if err := raw.Control(func(fd uintptr) { n, gerr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY) }); err != nil || gerr != nil || n != 3 {
			t.Errorf("SO_PRIORITY is %d: %v, %v", n, err, gerr)
		}
	})
}

// DESIGN: a non-blocking close with SO_LINGER would block the loop: it's cleared before.
func TestLingerDoesNotBlockTheLoop(t *testing.T) {
	rec := newRecorder(echoing())
	rec.do.established = func(c *conn.Stream) {
		c.Read()
		if c.Origin() == "main" {
			_ = c.Send(make([]byte, 600<<10))
		}
	}
	f := start(t, "tcp", rec, side, loops(t, 1), timeouts(conn.Timeouts{Linger: 30 * time.Millisecond}), func(c *server.Config) {
		c.Listeners[0].Options = conn.SocketOptions{Linger: 20 * time.Second, SendBuffer: 16 << 10}
	})
	b := f.bystander()
	b.echo("up")
	p := f.dial(smallReceive)
	j := rec.next(t, 1)
	rec.seen(t, j, cbBlocked, 1)
	begun := time.Now()
	j.stream.Abort(nil)
	rec.released(t, j)
	b.echo("still served")
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("the loop was blocked for %v", d)
	}
	p.Close()
}

// DESIGN: SyscallConn: Control keeps the descriptor open while its function runs; the number
// isn't reused before.
func TestSyscallConnHoldsTheDescriptor(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, loops(t, 2))
		p := f.dial()
		p.echo("up")
		j := rec.next(t, 0)
		raw, err := j.stream.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		inode := func(fd uintptr) uint64 {
			var st unix.Stat_t
			if err := unix.Fstat(int(fd), &st); err != nil {
				t.Errorf("fstat: %v", err)
			}
			return st.Ino
		}
		err = raw.Control(func(fd uintptr) {
			before := inode(fd)
			j.stream.Abort(nil)
			rec.released(t, j)
			for range 5 { // whoever comes now gets other numbers
				q := f.dial()
				q.echo("another")
				q.Close()
			}
			if after := inode(fd); after != before {
				t.Error("the descriptor was reused during Control")
			}
			if err := raw.Control(func(uintptr) { t.Error("Control on a connection that has ended") }); err == nil {
				t.Error("Control after the end")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is still open")
		}
		p.Close()
		if err := raw.Read(func(uintptr) bool { return true }); err == nil {
			t.Error("raw reads are supported")
		}
		if err := raw.Write(func(uintptr) bool { return true }); err == nil {
			t.Error("raw writes are supported")
		}
	})
}

// DESIGN: FD_CLOEXEC everywhere, O_NONBLOCK where it matters.
func TestEveryDescriptorIsClosedOnExec(t *testing.T) {
	rec := newRecorder(echoing())
	before := map[string]bool{}
	for _, d := range descriptors(t) {
		before[d] = true
	}
	f := start(t, "tcp", rec, side, func(c *server.Config) {
		c.Listeners = append(c.Listeners, server.Listener{Name: "file", Network: "unix", Address: socketPath(t)})
	})
	p := f.dial()
	p.echo("up")
	for _, d := range descriptors(t) {
		var fd int
		if _, err := fmt.Sscanf(d, "%d=", &fd); err != nil {
			t.Fatal(err)
		}
		if !before[d] && flagsOf(t, fd)&1 == 0 {
			t.Errorf("%s isn't closed on exec", d)
		}
	}
	p.Close()
}
