package engine_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// stream.go: Post returns nil, so the function runs, whatever becomes of the connection.
func TestAcceptedPostsRun(t *testing.T) {
	ends := map[string]func(k *kit, s *socket, c *engine.Conn){
		"aborted":        func(_ *kit, _ *socket, c *engine.Conn) { c.Abort(nil) },
		"reset":          func(_ *kit, s *socket, _ *engine.Conn) { s.broken = unix.ECONNRESET },
		"ended by both":  func(k *kit, _ *socket, c *engine.Conn) { must(k.t, c.ShutdownSend()) },
		"and ended here": func(k *kit, _ *socket, c *engine.Conn) { must(k.t, c.Shutdown()) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				s, c := k.connect()
				if name == "ended by both" {
					s.fin = true
				}
				ran := false
				must(t, c.Read())
				must(t, c.Post(func(c *engine.Conn) {
					must(t, c.Post(func(*engine.Conn) { ran = true }))
					end(k, s, c)
				}))
				k.fire(s, reactor.In)
				if !ran {
					t.Error("a post was accepted, and never ran")
				}
				if c.State() < engine.Draining {
					t.Errorf("the connection is %v", c.State())
				}
			})
		})
	}
}

// A post that posts itself for ever doesn't keep a connection that has ended.
func TestPostForEver(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		s.fin = true
		var post func(c *engine.Conn)
		post = func(c *engine.Conn) { _ = c.Post(post) }
		must(t, c.ShutdownSend())
		must(t, c.Read())
		must(t, c.Post(post))
		k.fire(s, reactor.In|reactor.RdHup)
		if c.State() < engine.Closed {
			t.Errorf("the connection is %v", c.State())
		}
	})
}

// Connections releases what it holds, also if the body panics.
func TestConnectionsWhenTheBodyPanics(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.established = func(c *engine.Conn) { must(t, c.Read()) }
		sa, a := k.connect()
		sb, b := k.connect()
		func() {
			defer func() { _ = recover() }()
			for range k.env.Connections() {
				panic("in the body")
			}
		}()
		for s, c := range map[*socket]*engine.Conn{sa: a, sb: b} {
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
			if c.State() != engine.Released {
				t.Errorf("%v is %v", c, c.State())
			}
		}
	})
}

// A time-out that never comes doesn't hide another that does.
func TestEndlessTimeouts(t *testing.T) {
	env := &engine.Env{Timeouts: engine.Timeouts{Idle: 10 * time.Second, Write: math.MaxInt64, Linger: time.Second}}
	drive(t, setup{env: env}, func(k *kit) {
		s, c := k.connect()
		k.advance(5 * time.Second)
		s.room = 3
		must(t, c.Read())
		must(t, c.Send([]byte("abcdef")))
		k.settle()
		k.advance(time.Minute)
		if reason, _ := c.Cause(); reason != engine.ReasonIdle {
			t.Errorf("%v for %v", c.State(), reason)
		}
	})
}

// A connection that's shut down before it's established isn't looked at for ever.
func TestShutdownInCreated(t *testing.T) {
	env := &engine.Env{Timeouts: engine.Timeouts{Idle: time.Second, Linger: -1}}
	drive(t, setup{env: env}, func(k *kit) {
		k.user.created = func(c *engine.Conn) { must(t, c.Shutdown()) }
		k.accept(k.kernel.socket())
		before := k.clock.rung
		k.advance(10 * time.Second)
		if n := k.clock.rung - before; n > 3 {
			t.Errorf("%d alarms", n)
		}
	})
}

// What will never fit isn't told that there's room.
func TestRefusedForEver(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{MaxPending: 100}}}, func(k *kit) {
		_, c := k.connect()
		must(t, c.Read())
		b := k.buffer("x")
		defer b.Release()
		if err := c.Writev(b, b, b); !errors.Is(err, engine.ErrOutputFull) {
			t.Errorf("three pieces: %v", err)
		}
		k.settle()
		k.user.want(c)
	})
}

// The reference that Established runs under isn't the callback's to release.
func TestReleaseOfTheFirstReference(t *testing.T) {
	drive(t, setup{env: &engine.Env{Debug: false}}, func(k *kit) {
		k.user.established = func(c *engine.Conn) {
			c.Release()
			must(t, c.Read())
		}
		s, c := k.connect()
		s.fin = true
		k.fire(s, reactor.In|reactor.RdHup)
		if c.State() != engine.Released {
			t.Errorf("the connection is %v", c.State())
		}
	})
}

// After Abort nothing more is read, also if the peer had ended it before.
func TestAbortWhileServingWhatWasReceived(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) {
			c.Abort(nil)
			if err := c.Read(); !errors.Is(err, engine.ErrClosed) {
				t.Errorf("a read after Abort: %v", err)
			}
		}
		s, c := k.connect()
		for range 3 {
			must(t, c.Read())
		}
		s.in, s.steps = []byte("abc"), []step{{n: 1}, {n: 1}, {n: 1}}
		s.soError, s.broken = unix.ECONNRESET, unix.ECONNRESET
		k.fire(s, reactor.In|reactor.Err|reactor.Hup)
		k.user.want(c, "read 1", "reset: connection reset by peer", "closed reset")
	})
}
