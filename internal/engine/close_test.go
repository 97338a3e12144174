package engine_test

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// ends are the ways to a connection's end.
var ends = []struct {
	name   string
	end    func(k *kit, s *socket, c *engine.Conn)
	reason engine.Reason
	cause  error    // what Cause wraps; nil: a clean end
	calls  []string // of the kernel, from the beginning of the end
	told   []string // callbacks
}{
	{
		"shutdown, and the peer ends",
		func(k *kit, s *socket, c *engine.Conn) {
			must(k.t, c.Shutdown())
			k.settle()
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
		},
		engine.ReasonLocalShutdown, nil,
		[]string{"shutdown", "deregister", "linger off", "close"}, []string{"closed local_shutdown"},
	},
	{
		"the peer ends, and shutdown",
		func(k *kit, s *socket, c *engine.Conn) {
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
			must(k.t, c.Shutdown())
			k.settle()
		},
		engine.ReasonPeerClosed, nil,
		[]string{"shutdown", "deregister", "linger off", "close"}, []string{"client-close", "closed peer_closed"},
	},
	{
		"both halves by themselves",
		func(k *kit, s *socket, c *engine.Conn) {
			must(k.t, c.ShutdownSend())
			k.settle()
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup|reactor.Hup)
		},
		engine.ReasonPeerClosed, nil,
		[]string{"shutdown", "deregister", "linger off", "close"}, []string{"client-close", "closed peer_closed"},
	},
	{
		"shutdown for a drain",
		func(k *kit, s *socket, c *engine.Conn) {
			must(k.t, c.ShutdownFor(engine.ReasonDrain))
			must(k.t, c.ShutdownFor(engine.ReasonLocalShutdown)) // changes nothing
			k.settle()
			s.fin = true
			k.fire(s, reactor.In)
		},
		engine.ReasonDrain, nil,
		[]string{"shutdown", "deregister", "linger off", "close"}, []string{"closed drain"},
	},
	{
		"abort",
		func(k *kit, _ *socket, c *engine.Conn) {
			c.Abort(errTest)
			c.Abort(errors.New("the first cause stays"))
			k.settle()
		},
		engine.ReasonLocalAbort, errTest,
		[]string{"deregister", "linger on 0", "close"}, []string{"closed local_abort"},
	},
	{
		"abort from elsewhere",
		func(k *kit, _ *socket, c *engine.Conn) {
			off(func() { c.Abort(errTest) })
			k.settle()
		},
		engine.ReasonLocalAbort, errTest,
		[]string{"deregister", "linger on 0", "close"}, []string{"closed local_abort"},
	},
	{
		"abort while draining",
		func(k *kit, _ *socket, c *engine.Conn) {
			must(k.t, c.Shutdown())
			k.settle()
			c.Abort(errTest)
			k.settle()
		},
		engine.ReasonLocalAbort, errTest,
		[]string{"shutdown", "deregister", "linger on 0", "close"}, []string{"closed local_abort"},
	},
	{
		"reset by the peer",
		func(k *kit, s *socket, c *engine.Conn) {
			s.soError = unix.ECONNRESET
			k.fire(s, reactor.In|reactor.Out|reactor.RdHup|reactor.Hup|reactor.Err)
		},
		engine.ReasonReset, unix.ECONNRESET,
		[]string{"deregister", "close"}, // dead already
		[]string{"reset: connection reset by peer", "closed reset"},
	},
	{
		"reset while draining",
		func(k *kit, s *socket, c *engine.Conn) {
			must(k.t, c.Shutdown())
			k.settle()
			s.broken = unix.ECONNRESET
			k.fire(s, reactor.In|reactor.RdHup|reactor.Hup)
		},
		engine.ReasonReset, unix.ECONNRESET,
		[]string{"shutdown", "deregister", "close"},
		[]string{"reset: connection reset by peer", "closed reset"},
	},
}

var errTest = errors.New("of a test")

// peers, rule 8: the descriptor is closed on its loop after the table slot is cleared.
// DESIGN, Raw calls: deregistered before it's closed, SO_LINGER cleared before it's
// closed, or {1,0} in an abort. The first cause stays.
func TestOrderOfTheEnd(t *testing.T) {
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				s, c := k.connect()
				fd := s.fd
				k.kernel.calls = nil
				e.end(k, s, c)
				if got := k.kernel.ended(s); !slices.Equal(got, e.calls) {
					t.Errorf("calls %q, want %q", got, e.calls)
				}
				k.user.want(c, e.told...)
				if reason, err := c.Cause(); reason != e.reason || !errors.Is(err, e.cause) || (err == nil) != (e.cause == nil) {
					t.Errorf("cause %v: %v; want %v: %v", reason, err, e.reason, e.cause)
				}
				counts := k.env.Counts()
				if n := counts.Closed(e.reason); n != 1 || k.mux.Group.Stats()[0].Connections != 0 {
					t.Errorf("%d closures counted for %v, %d connections left", n, e.reason, k.mux.Group.Stats()[0].Connections)
				}
				// Whoever has the number next hears nothing of this one.
				calls := len(k.kernel.calls)
				k.poller.dispatch(fd, reactor.In|reactor.Out|reactor.Hup|reactor.Err)
				k.settle()
				if len(k.kernel.calls) != calls {
					t.Errorf("a stale event made calls: %q", k.kernel.calls[calls:])
				}
				c.Release()
				k.settle()
				k.user.want(c, append(e.told, "released")...)
			})
		})
	}
}

// peers, rule 8: every method of a closed connection returns ErrClosed; what it was
// stays known.
func TestMethodsOfAClosedConnection(t *testing.T) {
	drive(t, setup{env: &engine.Env{Wildcard: true, Category: engine.CategoryUnix}}, func(k *kit) {
		s, c := k.connect()
		local := c.LocalAddr()
		c.Abort(nil)
		k.settle()
		b := k.buffer("too late")
		defer b.Release()
		for name, err := range map[string]error{
			"Read":         c.Read(),
			"ReadFull":     c.ReadFull(1),
			"Send":         c.Send([]byte("x")),
			"Write":        c.Write(b),
			"Writev":       c.Writev(b, b),
			"SendOOB":      c.SendOOB('x'),
			"Shutdown":     c.Shutdown(),
			"ShutdownSend": c.ShutdownSend(),
			"Post":         c.Post(func(*engine.Conn) { t.Error("a post ran") }),
			"AtMark":       second(c.AtMark()),
			"SyscallConn":  second(c.SyscallConn()),
			"Credentials":  second(c.PeerCredentials()),
		} {
			if !errors.Is(err, engine.ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
		c.Abort(nil)
		c.SetFlow(engine.Flow{High: 1})
		c.SetTimeouts(engine.Timeouts{Idle: 1})
		c.SetReadGate(nil)
		k.settle()
		k.user.want(c, "closed local_abort")
		if c.State() != engine.Closed || c.Pending() != 0 || c.ID() != 1 || !c.Inbound() || c.Origin() != "test" {
			t.Errorf("%v: state %v, %d bytes pending", c, c.State(), c.Pending())
		}
		if c.RemoteAddr() != s.peer || c.LocalAddr() != local || local.Path == "" {
			t.Errorf("addresses %v and %v", c.RemoteAddr(), c.LocalAddr())
		}
		c.AddRef()
		c.Release()
		c.Release()
		k.settle()
		k.user.want(c, "closed local_abort", "released")
		if c.State() != engine.Released {
			t.Errorf("the state is %v", c.State())
		}
	})
}

func second[T any](_ T, err error) error { return err }

// DESIGN, States: Shutdown refuses new writes, flushes while it discards input, sends
// the end, discards until the peer's, closes.
func TestShutdownFlushesAndDiscards(t *testing.T) {
	drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
		s, c := k.connect()
		must(t, c.Read())
		s.room = 3
		must(t, c.Send([]byte("goodbye")))
		must(t, c.Shutdown())
		if err := c.Send([]byte("no more")); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		k.settle()
		if string(s.out) != "goo" || s.finSent || c.State() != engine.Draining {
			t.Errorf("sent %q, end %t, state %v", s.out, s.finSent, c.State())
		}
		k.deliver(s, "a peer that doesn't read until it has written")
		if len(s.in) != 0 {
			t.Error("input isn't discarded while output waits")
		}
		s.room = 100
		k.fire(s, reactor.Out)
		if string(s.out) != "goodbye" || !s.finSent {
			t.Errorf("sent %q, end %t", s.out, s.finSent)
		}
		k.deliver(s, "more")
		k.user.want(c, "written 0")
		s.fin = true
		k.fire(s, reactor.In)
		k.user.want(c, "written 0", "closed local_shutdown")
	})
}

// DESIGN, States: ShutdownSend half-closes behind what was written; reading goes on.
func TestHalfClose(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		s.room = 2
		must(t, c.Send([]byte("last")))
		must(t, c.ShutdownSend())
		must(t, c.ShutdownSend())
		if err := c.Send([]byte("x")); !errors.Is(err, engine.ErrWriteClosed) {
			t.Errorf("Send: %v, want ErrWriteClosed", err)
		}
		k.settle()
		if s.finSent {
			t.Error("the end overtook output")
		}
		s.room = 2
		k.fire(s, reactor.Out)
		if !s.finSent || c.State() != engine.WriteClosed {
			t.Errorf("end %t, state %v", s.finSent, c.State())
		}
		must(t, c.Read())
		k.deliver(s, "still here")
		k.user.want(c, "read 10")
	})
}

// DESIGN, How a read ends: one pending at a local close is answered by the closure
// alone; writes that weren't sent each get their error before it.
func TestAbortAnswersWhatIsPending(t *testing.T) {
	for _, track := range []bool{false, true} {
		drive(t, setup{env: &engine.Env{Track: track}}, func(k *kit) {
			s, c := k.connect()
			s.room = 4
			var bs []*buffers.Buffer
			for _, p := range []string{"one", "two", "three"} {
				bs = append(bs, k.buffer(p))
			}
			must(t, c.Writev(bs...))
			for _, b := range bs {
				b.Release()
			}
			must(t, c.Read())
			must(t, c.ReadFull(10))
			c.Abort(errTest)
			k.settle()
			want := []string{"may-continue sending 3: of a test", "write-error 3: of a test", "write-error 5: of a test", "closed local_abort"}
			if track {
				want = append([]string{"written 3"}, want...)
			}
			k.user.want(c, want...)
		})
	}
}

// A connection that its creator's callback doesn't hold ends by itself, once nothing is
// pending (the seed's auto-close).
func TestAutoClose(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.established = func(c *engine.Conn) { must(t, c.Read()) } // a read pending keeps it
		k.user.read = func(c *engine.Conn, b *buffers.Buffer) {
			must(t, c.Write(b))
			if string(b.Bytes()) != "last" {
				must(t, c.Read())
			}
		}
		s, c := k.connect()
		k.deliver(s, "one")
		k.user.want(c, "read 3")
		s.room = 0
		k.deliver(s, "last")
		if c.State() != engine.Open {
			t.Errorf("closed with output pending: %v", c.State())
		}
		s.room = 10
		k.fire(s, reactor.Out)
		if c.State() != engine.Draining || !s.finSent {
			t.Errorf("state %v", c.State())
		}
		s.fin = true
		k.fire(s, reactor.In)
		k.user.want(c, "read 3", "read 4", "closed unreferenced", "released")
		if got, want := k.kernel.ended(s), []string{"register", "shutdown", "deregister", "linger off", "close"}; !slices.Equal(got, want) {
			t.Errorf("calls %q, want %q", got, want)
		}
	})
}
