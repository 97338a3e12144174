package engine_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// blows are the callbacks, each with what has it called.
var blows = []struct {
	callback string
	set      func(u *recorder, f func(*engine.Conn))
	provoke  func(k *kit, s *socket, c *engine.Conn)
	reason   engine.Reason
	told     bool // Closed comes, because Established did
}{
	{"Created", func(u *recorder, f func(*engine.Conn)) { u.created = f }, nil, engine.ReasonPanic, false},
	{"Established", func(u *recorder, f func(*engine.Conn)) {
		u.established = func(c *engine.Conn) {
			c.AddRef()
			f(c)
		}
	}, nil, engine.ReasonPanic, true},
	{"Read", func(u *recorder, f func(*engine.Conn)) {
		u.read = func(c *engine.Conn, _ *buffers.Buffer) { f(c) }
	}, func(k *kit, s *socket, c *engine.Conn) {
		must(k.t, c.Read())
		k.deliver(s, "x")
	}, engine.ReasonPanic, true},
	{"OutOfBand", func(u *recorder, f func(*engine.Conn)) {
		u.outOfBand = func(c *engine.Conn, _ *buffers.Buffer) { f(c) }
	}, func(k *kit, s *socket, _ *engine.Conn) {
		s.oob = []byte("X")
		k.fire(s, reactor.Pri)
	}, engine.ReasonPanic, true},
	{"ClientClose", func(u *recorder, f func(*engine.Conn)) { u.clientClose = f }, func(k *kit, s *socket, _ *engine.Conn) {
		s.fin = true
		k.fire(s, reactor.In|reactor.RdHup)
	}, engine.ReasonPanic, true},
	{"MayContinue", func(u *recorder, f func(*engine.Conn)) {
		u.mayContinue = func(error) bool {
			f(nil)
			return true
		}
	}, func(k *kit, s *socket, c *engine.Conn) {
		must(k.t, c.ReadFull(9))
		s.in, s.fin = []byte("x"), true
		k.fire(s, reactor.In|reactor.RdHup)
	}, engine.ReasonPanic, true},
	{"ReadError", func(u *recorder, f func(*engine.Conn)) {
		u.readError = func(c *engine.Conn, _ *buffers.Buffer, _ error) { f(c) }
	}, func(k *kit, s *socket, c *engine.Conn) {
		must(k.t, c.ReadFull(9))
		s.in, s.fin = []byte("x"), true
		k.fire(s, reactor.In|reactor.RdHup)
	}, engine.ReasonPanic, true},
	{"WriteError", func(u *recorder, f func(*engine.Conn)) {
		u.writeError = func(c *engine.Conn, _ *buffers.Buffer, _ error) { f(c) }
	}, func(k *kit, s *socket, c *engine.Conn) {
		s.sendErr = unix.EPIPE
		must(k.t, c.Send([]byte("x")))
		k.settle()
	}, engine.ReasonReset, true}, // the end had begun
	{"Written", func(u *recorder, f func(*engine.Conn)) {
		u.written = func(c *engine.Conn, _ *buffers.Buffer) { f(c) }
	}, func(k *kit, _ *socket, c *engine.Conn) {
		must(k.t, c.Send([]byte("x")))
		k.settle()
	}, engine.ReasonPanic, true},
	{"WriteBlocked", func(u *recorder, f func(*engine.Conn)) { u.blocked = f }, func(k *kit, s *socket, c *engine.Conn) {
		s.room = 0
		must(k.t, c.Send(text(100<<10)))
		k.settle()
	}, engine.ReasonPanic, true},
	{"WriteReady", func(u *recorder, f func(*engine.Conn)) { u.ready = f }, func(k *kit, s *socket, c *engine.Conn) {
		s.room = 0
		must(k.t, c.Send(text(100<<10)))
		k.settle()
		s.room = 1 << 20
		k.fire(s, reactor.Out)
	}, engine.ReasonPanic, true},
	{"Reset", func(u *recorder, f func(*engine.Conn)) { u.reset = f }, func(k *kit, s *socket, _ *engine.Conn) {
		s.soError = unix.ECONNRESET
		k.fire(s, reactor.Err)
	}, engine.ReasonReset, true},
	{"Closed", func(u *recorder, f func(*engine.Conn)) { u.closed = f }, func(k *kit, _ *socket, c *engine.Conn) {
		c.AbortFor(engine.ReasonDrainAbort, nil)
		k.settle()
	}, engine.ReasonDrainAbort, true},
	{"Released", func(u *recorder, f func(*engine.Conn)) { u.released = f }, func(k *kit, _ *socket, c *engine.Conn) {
		c.AbortFor(engine.ReasonDrainAbort, nil)
		k.settle()
	}, engine.ReasonDrainAbort, true},
	{"Post", func(*recorder, func(*engine.Conn)) {}, func(k *kit, _ *socket, c *engine.Conn) {
		must(k.t, c.Post(func(*engine.Conn) { panic("it blew up") }))
		k.settle()
	}, engine.ReasonPanic, true},
}

// faults, User code: a panic in every callback: that connection only, which ends like any
// other: its descriptor is closed, its buffers are given back, its end is told.
func TestPanicInEachCallback(t *testing.T) {
	for _, b := range blows {
		t.Run(b.callback, func(t *testing.T) {
			drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
				bystanderSocket, bystander := k.connect()
				must(t, bystander.Read())
				b.set(k.user, func(*engine.Conn) { panic("it blew up") })
				s := k.kernel.socket()
				k.accept(s)
				c := k.conn(s)
				if b.provoke != nil {
					b.provoke(k, s, c)
				}
				if c.State() == engine.Closed {
					c.Release()
					k.settle()
				}
				if c.State() != engine.Released {
					t.Fatalf("state %v", c.State())
				}
				reason, err := c.Cause()
				if reason != b.reason {
					t.Errorf("cause %v, want %v", reason, b.reason)
				}
				if reason == engine.ReasonPanic && !strings.Contains(err.Error(), "it blew up") {
					t.Errorf("cause %v", err)
				}
				log := k.user.log(c)
				if closed := strings.Contains(brief(log), "closed"); closed != b.told {
					t.Errorf("closed was told: %t; %s", closed, brief(log))
				}
				if n := k.count(engine.CountPanics); n != 1 {
					t.Errorf("%d panics counted", n)
				}
				bystanderSocket.in = []byte("fine")
				k.user.read = nil
				k.fire(bystanderSocket, reactor.In)
				k.user.want(bystander, "read 4")
				b.set(k.user, func(*engine.Conn) {}) // for the end
			})
		})
	}
}

// What was queued for sending before the panic isn't sent: the peer hears a reset.
func TestPanicDropsOutput(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.read = func(c *engine.Conn, b *buffers.Buffer) {
			must(t, c.Write(b))
			panic(errors.New("in the middle"))
		}
		s, c := k.connect()
		must(t, c.Read())
		must(t, c.Read())
		k.deliver(s, "half a reply")
		if len(s.out) != 0 || s.linger != "on 0" {
			t.Errorf("sent %q, closed with linger %q", s.out, s.linger)
		}
		k.user.want(c, "read 12", "may-continue sending 12: panic: in the middle",
			"write-error 12: panic: in the middle", "closed panic")
	})
}

// The loop is stopping already: there's no kick any more, and the end is told even so.
func TestPanicWhileStopping(t *testing.T) {
	drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		for range 3 {
			must(t, c.Send([]byte("x")))
		}
		k.settle()
		blown := false
		k.user.writeError = func(*engine.Conn, *buffers.Buffer, error) {
			if !blown {
				blown = true
				panic("it blew up")
			}
		}
		k.stop()
		const e = "write-error 0: reactor: stopped"
		k.user.want(c, "may-continue sending 0: reactor: stopped", e, e, e, "closed local_abort")
	})
}
