package engine_test

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// tick is the timers' resolution.
const tick = 4 * time.Millisecond

// timeouts sets up an Env with some.
func timeouts(t engine.Timeouts) setup {
	return setup{env: &engine.Env{Timeouts: t, Flow: engine.Flow{MaxPending: -1}}}
}

// wantEnd runs until just before a deadline, when the connection must live, and then
// over it.
func (k *kit) wantEnd(c *engine.Conn, since, limit time.Duration, want engine.Reason) {
	k.t.Helper()
	k.advance(since + limit - tick/2 - k.clock.now)
	if r, _ := c.Cause(); r != engine.ReasonNone && want != engine.ReasonLinger {
		k.t.Errorf("ended for %v %v before its time", r, since+limit-k.clock.now)
	}
	if s := c.State(); s == engine.Closed {
		k.t.Errorf("closed before its time")
	}
	k.advance(2 * tick)
	if r, _ := c.Cause(); r != want {
		k.t.Errorf("cause %v, want %v", r, want)
	}
}

// DESIGN, How a read ends: an idle time-out closes; a byte in either direction moves it.
func TestIdle(t *testing.T) {
	const idle = 10 * time.Second
	moves := map[string]func(k *kit, s *socket, c *engine.Conn){
		"nothing": nil,
		"a read": func(k *kit, s *socket, c *engine.Conn) {
			must(k.t, c.Read())
			k.deliver(s, "x")
		},
		"a write":               func(k *kit, _ *socket, c *engine.Conn) { must(k.t, c.Send([]byte("x"))) },
		"a write elsewhere":     func(k *kit, _ *socket, c *engine.Conn) { off(func() { must(k.t, c.Send([]byte("x"))) }) },
		"an out-of-band byte":   func(k *kit, _ *socket, c *engine.Conn) { must(k.t, c.SendOOB('!')) },
		"a time-out of its own": func(_ *kit, _ *socket, c *engine.Conn) { c.SetTimeouts(engine.Timeouts{Idle: idle}) },
	}
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			drive(t, timeouts(engine.Timeouts{Idle: idle}), func(k *kit) {
				s, c := k.connect()
				since := k.clock.now
				if move != nil {
					for range 3 {
						k.advance(7 * time.Second)
						since = k.clock.now
						move(k, s, c)
						k.settle()
					}
				}
				k.user.forget(c)
				k.wantEnd(c, since, idle, engine.ReasonIdle)
				if !s.finSent {
					t.Error("it isn't a graceful end")
				}
				s.fin = true
				k.fire(s, reactor.In|reactor.RdHup)
				k.user.want(c, "closed idle")
			})
		})
	}
}

// Unread input and stale events don't count: no byte moves.
func TestIdleIsNotMovedByEvents(t *testing.T) {
	drive(t, timeouts(engine.Timeouts{Idle: time.Second}), func(k *kit) {
		s, c := k.connect()
		since := k.clock.now
		k.advance(900 * time.Millisecond)
		k.deliver(s, "unread")
		k.wantEnd(c, since, time.Second, engine.ReasonIdle)
	})
}

// DESIGN, How a read ends: a write time-out counts the time since the queue last emptied
// or shrank by 16 KiB, so a drip can't reset it and a slow but honest reader lives.
func TestWriteTimeout(t *testing.T) {
	const limit = 5 * time.Second
	tests := []struct {
		name    string
		chunk   int // what the peer takes every second
		seconds int
		lives   bool
	}{
		{"takes nothing", 0, 5, false},
		{"a drip", 100, 5, false},
		{"just too slow", 16<<10/5 - 10, 5, false},
		{"slow and honest", 16<<10/4 + 10, 50, true},
		{"16 KiB at a time", 16 << 10, 50, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, timeouts(engine.Timeouts{Write: limit}), func(k *kit) {
				s, c := k.connect()
				s.room = 0
				must(t, c.Send(text(2<<20)))
				k.settle()
				for range tt.seconds {
					if c.State() != engine.Open {
						t.Fatal("ended before its time")
					}
					s.room = tt.chunk
					if tt.chunk > 0 {
						k.fire(s, reactor.Out)
					}
					k.advance(time.Second)
				}
				k.advance(2 * tick)
				reason, err := c.Cause()
				if lives := reason == engine.ReasonNone; lives != tt.lives {
					t.Fatalf("cause %v after %d s", reason, tt.seconds)
				}
				if !tt.lives && (reason != engine.ReasonWriteTimeout || !errors.Is(err, os.ErrDeadlineExceeded) || s.linger != "on 0") {
					t.Errorf("cause %v: %v, linger %q", reason, err, s.linger)
				}
			})
		})
	}
}

// DESIGN, Time: the write deadline retries the write before it closes.
func TestWriteTimeoutTriesOnceMore(t *testing.T) {
	tests := []struct {
		name string
		room int // at the last try
		ends bool
	}{
		{"no room", 0, true},
		{"too little", 100, true},
		{"progress", 16 << 10, false},
		{"all", 1 << 20, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, timeouts(engine.Timeouts{Write: time.Second}), func(k *kit) {
				s, c := k.connect()
				s.room = 0
				must(t, c.Send(text(100<<10)))
				k.settle()
				s.room = tt.room // and no event
				k.advance(time.Second + tick)
				if ends := c.State() == engine.Closed; ends != tt.ends {
					t.Errorf("%v with %d bytes sent", c.State(), len(s.out))
				}
				if tt.room < 1<<20 {
					return
				}
				// What's written now has a time of its own.
				s.room = 0
				must(t, c.Send(text(10)))
				k.settle()
				k.advance(900 * time.Millisecond)
				if c.State() != engine.Open {
					t.Error("the next write hadn't its time")
				}
			})
		})
	}
}

// Output that goes out in time leaves no deadline behind, whatever kind it was.
func TestWriteTimeoutEndsWithTheOutput(t *testing.T) {
	writes := map[string]func(k *kit, c *engine.Conn){
		"bytes":       func(k *kit, c *engine.Conn) { must(k.t, c.Send([]byte("x"))) },
		"nothing":     func(k *kit, c *engine.Conn) { must(k.t, c.Send([]byte("x"))); must(k.t, c.Send(nil)) },
		"out of band": func(k *kit, c *engine.Conn) { must(k.t, c.SendOOB('!')) },
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			drive(t, timeouts(engine.Timeouts{Write: time.Second}), func(k *kit) {
				s, c := k.connect()
				s.room = 0
				write(k, c)
				k.settle()
				s.room = 10
				k.advance(500 * time.Millisecond)
				k.fire(s, reactor.Out)
				k.advance(time.Minute)
				// Much later the socket is full again, for the first time.
				s.room = 0
				must(t, c.Send(text(1000)))
				k.settle()
				k.advance(900 * time.Millisecond)
				if r, _ := c.Cause(); r != engine.ReasonNone {
					t.Errorf("cause %v: it hadn't its time", r)
				}
			})
		})
	}
}

// DESIGN, States: the write time-out governs the flush; the linger time-out starts at
// SHUT_WR.
func TestLinger(t *testing.T) {
	const write, linger = 3 * time.Second, 5 * time.Second
	drive(t, timeouts(engine.Timeouts{Write: write, Linger: linger}), func(k *kit) {
		s, c := k.connect()
		s.room = 10
		must(t, c.Send(text(20)))
		must(t, c.Shutdown())
		k.settle()
		k.advance(2 * time.Second)
		s.room = 10
		k.fire(s, reactor.Out)
		since := k.clock.now
		k.advance(2 * time.Second)
		k.deliver(s, "more input doesn't help")
		k.wantEnd(c, since, linger, engine.ReasonLinger)
		k.user.want(c, "closed linger")
		if s.linger != "off" { // the kernel still holds what was sent
			t.Errorf("closed with linger %q", s.linger)
		}
		if _, err := c.Cause(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
	drive(t, timeouts(engine.Timeouts{Write: write, Linger: linger}), func(k *kit) {
		s, c := k.connect()
		s.room = 0
		must(t, c.Send(text(20)))
		since := k.clock.now
		must(t, c.Shutdown())
		k.settle()
		k.advance(since + write + tick - k.clock.now)
		if r, _ := c.Cause(); r != engine.ReasonWriteTimeout {
			t.Errorf("cause %v, want write_timeout", r)
		}
	})
}

// A deadline that doesn't apply any more is forgotten: it doesn't wake the loop.
func TestIdleWhileDrainingCostsNothing(t *testing.T) {
	drive(t, timeouts(engine.Timeouts{Idle: time.Second, Linger: time.Minute}), func(k *kit) {
		_, c := k.connect()
		must(t, c.Shutdown())
		k.settle()
		k.advance(2 * time.Second)
		before := k.clock.rung
		k.advance(50 * time.Second)
		if n := k.clock.rung - before; n > 10 {
			t.Errorf("%d wake-ups in 50 s of waiting for the peer's end", n)
		}
		if c.State() != engine.Draining {
			t.Errorf("state %v", c.State())
		}
	})
}

func TestSetTimeouts(t *testing.T) {
	base := engine.Timeouts{Idle: time.Hour, Write: time.Hour, Linger: time.Hour}
	t.Run("shorter", func(t *testing.T) {
		drive(t, timeouts(base), func(k *kit) {
			_, c := k.connect()
			k.advance(time.Minute)
			since := k.clock.now
			off(func() { c.SetTimeouts(engine.Timeouts{Idle: time.Second}) })
			k.settle()
			k.wantEnd(c, since, time.Second, engine.ReasonIdle)
		})
	})
	t.Run("off", func(t *testing.T) {
		drive(t, timeouts(base), func(k *kit) {
			_, c := k.connect()
			c.SetTimeouts(engine.Timeouts{Idle: -1})
			k.advance(1000 * time.Hour)
			if c.State() != engine.Open {
				t.Errorf("state %v", c.State())
			}
		})
	})
	t.Run("for output that waits already", func(t *testing.T) {
		drive(t, timeouts(base), func(k *kit) {
			s, c := k.connect()
			s.room = 0
			must(t, c.Send(text(10)))
			k.settle()
			k.advance(time.Minute)
			since := k.clock.now
			c.SetTimeouts(engine.Timeouts{Write: time.Second})
			k.settle()
			k.wantEnd(c, since, time.Second, engine.ReasonWriteTimeout)
		})
	})
	t.Run("while draining", func(t *testing.T) {
		drive(t, timeouts(base), func(k *kit) {
			_, c := k.connect()
			must(t, c.Shutdown())
			k.settle()
			k.advance(time.Minute)
			since := k.clock.now
			c.SetTimeouts(engine.Timeouts{Linger: time.Second})
			k.settle()
			k.wantEnd(c, since, time.Second, engine.ReasonLinger)
		})
	})
}

// Negative is off, and so is longer than any life.
func TestNoTimeouts(t *testing.T) {
	for _, none := range []time.Duration{-1, math.MaxInt64} {
		drive(t, timeouts(engine.Timeouts{Idle: none, Write: none, Linger: none}), func(k *kit) {
			s, c := k.connect()
			_, draining := k.connect()
			_, idle := k.connect()
			s.room = 0
			must(t, c.Send(text(10)))
			must(t, draining.Shutdown())
			k.settle()
			k.advance(1000 * time.Hour)
			if c.State() != engine.Open || draining.State() != engine.Draining || idle.State() != engine.Open {
				t.Errorf("%v: states %v, %v and %v", none, c.State(), draining.State(), idle.State())
			}
		})
	}
}

// The defaults: no idle time-out, 30 s to write, 5 s to linger.
func TestDefaultTimeouts(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		_, draining := k.connect()
		_, idle := k.connect()
		s.room = 0
		must(t, c.Send(text(10)))
		must(t, draining.Shutdown())
		k.settle()
		since := k.clock.now
		k.wantEnd(draining, since, 5*time.Second, engine.ReasonLinger)
		k.wantEnd(c, since, 30*time.Second, engine.ReasonWriteTimeout)
		k.advance(24 * time.Hour)
		if idle.State() != engine.Open {
			t.Errorf("state %v", idle.State())
		}
	})
}

// An echo that flows arms no timer.
func TestEchoNeedsNoTimer(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.read = func(c *engine.Conn, b *buffers.Buffer) {
			must(t, c.Write(b))
			must(t, c.Read())
		}
		s, c := k.connect()
		must(t, c.Read())
		for range 10 {
			k.deliver(s, "hello")
			if n := k.r.Timers(); n != 0 {
				t.Fatalf("%d timers", n)
			}
		}
	})
}

// DESIGN, How a read ends: a read deadline is a read error that may be survived. It's the
// time that a read waits for its last byte: a drip doesn't move it.
func TestReadTimeout(t *testing.T) {
	const limit = 5 * time.Second
	drip := func(k *kit, s *socket) {
		for range 4 {
			k.advance(time.Second)
			k.deliver(s, "x")
		}
	}
	late := "may-continue receiving 0: nothing, or not enough, was received within Timeouts.Read"
	tests := map[string]struct {
		ask     func(k *kit, c *engine.Conn)
		before  func(k *kit, s *socket)
		survive bool
		want    []string
	}{
		"a Read": {ask: func(_ *kit, c *engine.Conn) { must(t, c.Read()) }, want: []string{late, late, "closed"}},
		"a Read that's answered": {
			ask:    func(_ *kit, c *engine.Conn) { must(t, c.Read()) },
			before: func(k *kit, s *socket) { k.advance(4 * time.Second); k.deliver(s, "x") },
			want:   []string{"read 1"},
		},
		"nothing asked for": {ask: func(*kit, *engine.Conn) {}},
		"a drip": {
			ask: func(_ *kit, c *engine.Conn) { must(t, c.ReadFull(5)) }, before: drip,
			want: []string{late, late, "closed"},
		},
		"survived": {
			ask: func(_ *kit, c *engine.Conn) { must(t, c.ReadFull(5)) }, before: drip, survive: true, want: []string{late},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			drive(t, timeouts(engine.Timeouts{Read: limit}), func(k *kit) {
				k.user.mayContinue = func(err error) bool {
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the error is %v, which isn't a deadline's", err)
					}
					return tt.survive
				}
				s, c := k.connect()
				since := k.clock.now
				tt.ask(k, c)
				k.settle()
				if tt.before != nil {
					tt.before(k, s)
				}
				got := len(k.user.log(c))
				k.advance(since + limit - tick/2 - k.clock.now)
				if len(k.user.log(c)) != got {
					t.Errorf("before its time: %s", brief(k.user.log(c)))
				}
				k.advance(tick)
				if reason, _ := c.Cause(); (reason == engine.ReasonReadTimeout) != (len(tt.want) == 3) {
					t.Errorf("ended for %v", reason)
				}
				if n := len(k.user.log(c)); n != min(len(tt.want), 2) {
					t.Errorf("got: %s", brief(k.user.log(c)))
				}
				if len(tt.want) == 3 && !s.finSent {
					t.Error("it isn't a graceful end")
				}
			})
		})
	}
}

// What waits for our own output doesn't wait for the peer.
func TestReadTimeoutWhileGated(t *testing.T) {
	drive(t, timeouts(engine.Timeouts{Read: time.Second, Write: time.Minute}), func(k *kit) {
		s, c := k.connect()
		c.SetReadGate(c)
		s.room = 0
		must(t, c.Send(make([]byte, 100<<10)))
		must(t, c.Read())
		k.settle()
		k.advance(10 * time.Second)
		if n := len(k.user.log(c)); n != 1 { // blocked
			t.Errorf("got: %s", brief(k.user.log(c)))
		}
		s.room = math.MaxInt
		k.fire(s, reactor.Out)
		k.user.forget(c)
		k.wantEnd(c, k.clock.now, time.Second, engine.ReasonReadTimeout)
	})
}

// In the ISocket view the Recv is canceled.
func TestReadTimeoutOfRecv(t *testing.T) {
	s := timeouts(engine.Timeouts{Read: time.Second})
	s.memory = true
	drive(t, s, func(k *kit) {
		_, c := k.connect()
		must(t, c.Recv(make([]byte, 5), false))
		k.settle()
		k.advance(time.Second + tick)
		k.user.want(c, "canceled 5")
		if reason, _ := c.Cause(); reason != engine.ReasonReadTimeout {
			t.Errorf("ended for %v", reason)
		}
	})
}

// Each read has its own time.
func TestReadTimeoutOfTheNext(t *testing.T) {
	drive(t, timeouts(engine.Timeouts{Read: 5 * time.Second}), func(k *kit) {
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		s, c := k.connect()
		must(t, c.Read())
		k.settle()
		k.advance(4 * time.Second)
		k.deliver(s, "x")
		since := k.clock.now
		k.advance(5*time.Second - tick/2)
		k.user.want(c, "read 1")
		k.user.forget(c)
		k.wantEnd(c, since, 5*time.Second, engine.ReasonReadTimeout)
	})
}

// late runs before the loop comes to a timer that goes off after d, and to what happened
// meanwhile.
func (k *kit) late(d time.Duration, meanwhile func()) {
	k.clock.now += d
	for a := k.clock.first(); a != nil && a.at <= k.clock.now; a = k.clock.first() {
		a.set = false
		a.f()
	}
	meanwhile()
	k.settle()
}

// A read whose time is over is answered by what there is: bytes, or the end.
func TestReadTimeoutBesideInput(t *testing.T) {
	for want, input := range map[string]func(*socket){
		"read 1":                     func(s *socket) { s.in = append(s.in, 'x') },
		"client-close":               func(s *socket) { s.fin = true },
		"may-continue receiving 0: ": func(*socket) {},
	} {
		drive(t, timeouts(engine.Timeouts{Read: time.Second, Write: time.Minute}), func(k *kit) {
			o, other := k.connect()
			s, c := k.connect()
			c.SetReadGate(other)
			must(t, c.Read())
			k.settle()
			o.room = 0
			must(t, other.Send(make([]byte, 100<<10)))
			k.settle()
			input(s)
			k.fire(s, reactor.In) // which waits for the other's output
			k.late(time.Second+tick, func() {
				o.room = math.MaxInt
				k.event(o, reactor.Out)
			})
			if got := k.user.log(c); len(got) == 0 || !strings.HasPrefix(got[0], want) {
				t.Errorf("got %s, want %s", brief(got), want)
			}
		})
	}
}

// SetTimeouts counts from now: for a read whose time was just over, too.
func TestSetTimeoutsWhenAReadIsLate(t *testing.T) {
	drive(t, timeouts(engine.Timeouts{Read: time.Second}), func(k *kit) {
		_, c := k.connect()
		must(t, c.Read())
		k.settle()
		k.late(time.Second+tick, func() {
			must(t, c.Post(func(c *engine.Conn) { c.SetTimeouts(engine.Timeouts{Read: 5 * time.Second}) }))
		})
		k.wantEnd(c, k.clock.now, 5*time.Second, engine.ReasonReadTimeout)
	})
}
