package engine_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

func tcpAddr(s string) sys.Addr { return sys.Addr{AddrPort: netip.MustParseAddrPort(s)} }

// The addresses: the listener's own unless that's a wildcard; the peer's as accepted.
func TestAddresses(t *testing.T) {
	bound := tcpAddr("127.0.0.1:7007")
	tests := []struct {
		name        string
		env         *engine.Env
		peer, local sys.Addr
	}{
		{"TCP", &engine.Env{Local: bound}, tcpAddr("192.0.2.1:1234"), bound},
		{"TCP wildcard", &engine.Env{Local: bound, Wildcard: true}, tcpAddr("[2001:db8::1]:1"), sys.Addr{Path: "@local-103"}},
		{"Unix, named", &engine.Env{Local: sys.Addr{Path: "/run/s"}}, sys.Addr{Path: "/run/client"}, sys.Addr{Path: "/run/s"}},
		{"Unix, unnamed", &engine.Env{Local: sys.Addr{Path: "/run/s"}}, sys.Addr{}, sys.Addr{Path: "/run/s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{env: tt.env}, func(k *kit) {
				s := k.kernel.socket()
				s.peer = tt.peer
				k.accept(s)
				c := k.conn(s)
				check := func(when string) {
					t.Helper()
					if c.RemoteAddr() != tt.peer || c.LocalAddr() != tt.local {
						t.Errorf("%s: %v and %v, want %v and %v", when, c.RemoteAddr(), c.LocalAddr(), tt.peer, tt.local)
					}
				}
				check("open")
				c.Abort(nil)
				k.settle()
				check("closed")
			})
		})
	}
}

// The address of a wildcard's connection stays after the end, also if nobody asked for
// it before.
func TestLocalAddrAfterTheEnd(t *testing.T) {
	drive(t, setup{env: &engine.Env{Wildcard: true}}, func(k *kit) {
		_, c := k.connect()
		c.Abort(nil)
		k.settle()
		if got := c.LocalAddr(); got.Path != "@local-103" {
			t.Errorf("%v", got)
		}
	})
}

func TestPeerCredentials(t *testing.T) {
	drive(t, setup{env: &engine.Env{Category: engine.CategoryUnix}}, func(k *kit) {
		s, c := k.connect()
		got, err := c.PeerCredentials()
		must(t, err)
		if got.PID != s.fd {
			t.Errorf("%+v", got)
		}
	})
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		if _, err := c.PeerCredentials(); !errors.Is(err, engine.ErrMode) {
			t.Errorf("of TCP: %v, want ErrMode", err)
		}
	})
}

// Control keeps the descriptor from being closed while it runs; then it's closed.
func TestSyscallConn(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		raw, err := c.SyscallConn()
		must(t, err)
		must(t, raw.Control(func(fd uintptr) {
			if int(fd) != s.fd {
				t.Errorf("descriptor %d, want %d", fd, s.fd)
			}
			must(t, raw.Control(func(uintptr) { // twice
				c.Abort(nil)
				k.settle()
			}))
			if !k.kernel.open[s.fd] {
				t.Error("closed while it's in use")
			}
			k.kernel.SetLinger(s.fd, true, 60) // a close would wait for as long
		}))
		if k.kernel.open[s.fd] || s.linger != "on 0" {
			t.Errorf("open %t with its last user gone, linger %q", k.kernel.open[s.fd], s.linger)
		}
		if err := raw.Control(func(uintptr) { t.Error("called") }); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Control of a closed connection: %v", err)
		}
		if err := raw.Read(nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Read: %v", err)
		}
		if err := raw.Write(nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Write: %v", err)
		}
		k.user.want(c, "closed local_abort")
	})
}

// Quiet counts looks since a byte moved.
func TestQuiet(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		look := func(want ...int) {
			t.Helper()
			var got []int
			for range want {
				got = append(got, c.Quiet())
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
		look(1, 2, 3)
		must(t, c.Send([]byte("x")))
		look(0, 1, 2)
		k.deliver(s, "unread")
		look(3)
		must(t, c.Read())
		k.settle()
		look(0, 1)
		for range 300 {
			c.Quiet()
		}
		look(255, 255)
	})
}

// DESIGN, Observability: bytes are application bytes; each closed connection has a reason.
func TestCounts(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.echo()
		for range 3 {
			s, _ := k.connect()
			k.deliver(s, "12345")
			k.deliver(s, "678")
			s.soError = unix.ECONNRESET
			k.fire(s, reactor.Err|reactor.Hup)
		}
		want := map[engine.Counter]uint64{
			engine.CountAccepted: 3, engine.CountReceivedBytes: 24, engine.CountSentBytes: 24,
			engine.CountReads: 6, engine.CountWrites: 6, engine.CountPanics: 0,
		}
		for counter, n := range want {
			if got := k.count(counter); got != n {
				t.Errorf("counter %d is %d, want %d", counter, got, n)
			}
		}
		all := k.env.Counts()
		for r := range engine.Reason(engine.Reasons) {
			n := uint64(0)
			if r == engine.ReasonReset {
				n = 3
			}
			if got := all.Closed(r); got != n {
				t.Errorf("%d closed for %v, want %d", got, r, n)
			}
		}
	})
}

// DESIGN, Observability: the log's attributes are made only if it's on; a closure has
// its reason in it.
func TestLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelError} {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))
		drive(t, setup{env: &engine.Env{Logger: logger}}, func(k *kit) {
			k.user.read = func(*engine.Conn, *buffers.Buffer) { panic("it blew up") }
			s, c := k.connect()
			must(t, c.Read())
			k.deliver(s, "x")
		})
		for _, part := range []string{"connection established", "connection closed", "reason=panic"} {
			if got := strings.Contains(out.String(), part); got != (level == slog.LevelDebug) {
				t.Errorf("level %v: %q is in the log: %t", level, part, got)
			}
		}
		for _, part := range []string{"it blew up", "listener=test", "category=tcp", "id=1"} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("level %v: %q isn't in the log:\n%s", level, part, out.String())
			}
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range engine.Reason(engine.Reasons) {
		if s := r.String(); s == "" || seen[s] || strings.Contains(s, "(") {
			t.Errorf("reason %d is %q", r, s)
		} else {
			seen[s] = true
		}
	}
	clear(seen)
	for s := engine.Idle; s <= engine.Released; s++ {
		if name := s.String(); name == "" || seen[name] || strings.Contains(name, "(") {
			t.Errorf("state %d is %q", s, name)
		} else {
			seen[name] = true
		}
	}
	for got, want := range map[string]string{
		engine.Reason(200).String():   "Reason(200)",
		engine.State(200).String():    "State(200)",
		engine.CategoryTCP.String():   "tcp",
		engine.CategoryUnix.String():  "unix",
		engine.Category(200).String(): "unknown",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	err := &engine.Error{Op: "send", ID: 7, Addr: tcpAddr("192.0.2.1:80"), Err: unix.EPIPE}
	if got := err.Error(); got != "connection 7 (192.0.2.1:80): send: broken pipe" || !errors.Is(err, unix.EPIPE) {
		t.Errorf("%q", got)
	}
}
