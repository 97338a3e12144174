package engine_test

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// everything is all event bits.
const everything = reactor.In | reactor.Out | reactor.Pri | reactor.RdHup | reactor.Hup | reactor.Err

// DESIGN, Events are hints: whatever bits come, stale or invented, an open connection
// goes on; only SO_ERROR, an errno or a read of 0 ends it.
func TestStaleEventsAreHarmless(t *testing.T) {
	for _, category := range []engine.Category{engine.CategoryTCP, engine.CategoryUnix} {
		for ev := range everything + 1 {
			t.Run(fmt.Sprintf("%v/%06b", category, ev), func(t *testing.T) {
				drive(t, setup{env: &engine.Env{Category: category}}, func(k *kit) {
					k.user.read = func(c *engine.Conn, b *buffers.Buffer) {
						must(t, c.Write(b))
						must(t, c.Read())
					}
					s, c := k.connect()
					_, idle := k.connect() // without a read
					must(t, c.Read())
					for _, c := range []*engine.Conn{c, idle} {
						s := k.socketOf(c)
						for range 3 {
							k.fire(s, ev)
						}
						if c.State() != engine.Open {
							t.Fatalf("state %v", c.State())
						}
					}
					k.deliver(s, "alive")
					k.user.want(c, "read 5")
					k.user.want(idle)
					if string(s.out) != "alive" {
						t.Errorf("sent %q", s.out)
					}
				})
			})
		}
	}
}

func (k *kit) socketOf(c *engine.Conn) *socket {
	for fd, other := range k.user.byFD {
		if other == c {
			return k.kernel.sockets[fd]
		}
	}
	k.t.Fatalf("%v has no socket", c)
	return nil
}

// DESIGN, How a read ends: with a cause stored, pending reads are served until EAGAIN or
// 0, and then the cause ends the stream, never OnConnectionClientClose; with none
// pending unread input is dropped at once.
func TestErrorBehindData(t *testing.T) {
	const name = "connection reset by peer"
	tests := []struct {
		name  string
		reads int
		again bool // each read asks for another
		fin   bool // the kernel gives 0 behind the data, not EAGAIN
		want  []string
	}{
		{"no read", 0, false, true, nil},
		{"one read of three", 1, false, true, []string{"read 3"}},
		{"read to the end", 1, true, true, []string{
			"read 3", "read 3", "read 3", "may-continue receiving 0: " + name, "read-error 0: " + name}},
		{"read to EAGAIN", 1, true, false, []string{
			"read 3", "read 3", "read 3", "may-continue receiving 0: " + name, "read-error 0: " + name}},
		{"more reads than data", 5, false, true, []string{
			"read 3", "read 3", "read 3", "may-continue receiving 0: " + name, "read-error 0: " + name, "read-error 0: " + name}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				if tt.again {
					k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.ReadFull(3)) }
				}
				s, c := k.connect()
				for range tt.reads {
					must(t, c.ReadFull(3))
				}
				s.in, s.fin, s.soError = []byte("abcdefghi"), tt.fin, unix.ECONNRESET
				k.fire(s, everything&^reactor.Pri)
				k.user.want(c, append(tt.want, "reset: "+name, "closed reset")...)
			})
		})
	}
}

// peers, Edge-triggered epoll: a Unix peer that writes and closes gives IN|RDHUP|HUP with
// SO_ERROR 0, and all of its data.
func TestHangUpWithData(t *testing.T) {
	for _, ev := range []reactor.Events{reactor.In, reactor.In | reactor.RdHup, reactor.In | reactor.RdHup | reactor.Hup, reactor.Hup} {
		drive(t, setup{env: &engine.Env{Category: engine.CategoryUnix}}, func(k *kit) {
			k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
			s, c := k.connect()
			must(t, c.Read())
			message := text(100_000)
			for range 30 { // however short the reads are
				s.steps = append(s.steps, step{n: 333})
			}
			s.in, s.fin = message, true
			k.fire(s, ev)
			if got := k.user.input[c]; string(got) != string(message) {
				t.Errorf("events %b: %d bytes read of %d, or not the same", ev, len(got), len(message))
			}
			log := k.user.log(c)
			if last := log[len(log)-1]; last != "client-close" {
				t.Errorf("events %b: the last callback is %q", ev, last)
			}
		})
	}
}

// ERR asks for SO_ERROR, and keeps what it says: asking clears it.
func TestSocketErrorIsKept(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		var reason engine.Reason
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { reason, _ = c.Cause() }
		s, c := k.connect()
		must(t, c.Read())
		s.in, s.soError = []byte("x"), unix.ETIMEDOUT
		k.fire(s, reactor.In|reactor.Err)
		if reason != engine.ReasonLost {
			t.Errorf("inside the read the cause is %v", reason)
		}
		k.user.want(c, "read 1", "reset: connection timed out", "closed lost")
	})
}

// DESIGN, One lock: the loop doesn't wait for a holder of the lock: it leaves the events
// to him and goes on, and he kicks.
func TestEventWhileTheLockIsHeld(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		_, other := k.connect()
		s.room = 0
		must(t, c.Send([]byte("blocked")))
		must(t, c.Read())
		k.settle()
		held, letGo, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		s.hold = func() {
			close(held)
			<-letGo
		}
		go func() {
			defer close(done)
			_, _ = c.AtMark()
		}()
		receive(t, held, "the lock")
		s.in, s.room = []byte("x"), 100
		k.event(s, reactor.In)
		k.event(s, reactor.Out)
		if k.turn() || len(s.recvs) != 0 {
			t.Error("the loop went in")
		}
		must(t, other.Send([]byte("meanwhile"))) // the loop isn't waiting
		close(letGo)
		receive(t, done, "the holder")
		k.settle()
		k.user.want(c, "read 1")
		if string(s.out) != "blocked" {
			t.Errorf("sent %q", s.out)
		}
	})
}

// A register that fails: the connection was never established.
func TestRegisterThatFails(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.poller.refuse = unix.ENOSPC
		s := k.kernel.socket()
		k.accept(s)
		c := k.conn(s)
		k.poller.refuse = nil
		k.user.want(c, "created", "failed rejected", "released")
		if reason, _ := c.Cause(); reason != engine.ReasonRejected {
			t.Errorf("cause %v", reason)
		}
		if s.linger != "on 0" || len(k.kernel.leaked()) != 2 { // the listener and its reserve
			t.Errorf("linger %q, descriptors %v", s.linger, k.kernel.leaked())
		}
	})
}

// A connection that's aborted in its first callback, or before it, ends like any other.
func TestAbortInCreated(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.established = nil
		k.user.created = func(c *engine.Conn) { c.AbortFor(engine.ReasonRejected, nil) }
		s := k.kernel.socket()
		k.accept(s)
		if c := k.conn(s); c.State() != engine.Released || s.linger != "on 0" {
			t.Errorf("state %v, linger %q", c.State(), s.linger)
		}
	})
}

// Env.Refuse: those that are on their way when a drain has run out of time are reset.
func TestRefuse(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, before := k.connect()
		k.env.Refuse.Store(true)
		s := k.kernel.socket()
		k.accept(s)
		counts := k.env.Counts()
		if n := counts.Closed(engine.ReasonDrainAbort); n != 1 || s.linger != "on 0" {
			t.Errorf("%d connections refused, closed with linger %q", n, s.linger)
		}
		if before.State() != engine.Open {
			t.Errorf("the connection before is %v", before.State())
		}
		k.user.want(k.conn(s), "created", "failed drain_abort", "released")
	})
}
