package engine_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// DESIGN, TLS: handshake, request and end may come in one segment; the request is answered.
func TestHandshakeRequestAndEndTogether(t *testing.T) {
	for _, wire := range []string{"hGET.", "hGET"} { // a clean end, or the socket's alone
		for _, slowly := range []bool{false, true} {
			f := &sessions{made: func(s *session) { s.slowly = slowly }}
			withSessions(t, false, f, func(k *kit) {
				k.user.established = func(c *engine.Conn) { must(t, c.Read()) }
				s := k.kernel.socket()
				k.accept(s)
				c := k.conn(s)
				s.in, s.fin = []byte(wire), true
				k.fire(s, reactor.In|reactor.RdHup)
				if slowly {
					k.user.want(c, "created")
					f.all[0].allowed = true
					f.all[0].host.Wake()
					k.settle()
				}
				if got := string(k.user.input[c]); got != "get" {
					t.Errorf("%q, slowly %t: read %q: %s", wire, slowly, got, brief(k.user.log(c)))
				}
			})
		}
	}
}

// A handshake that's never over waits for nothing that could make it turn.
func TestHandshakeBehindTheEndDoesNotSpin(t *testing.T) {
	f := &sessions{made: func(s *session) { s.slowly = true }}
	withSessions(t, false, f, func(k *kit) {
		calls := 0
		s := k.kernel.socket()
		k.accept(s)
		f.all[0].opened = func() { calls++ }
		s.in, s.fin = []byte("h"), true
		k.fire(s, reactor.In|reactor.RdHup)
		if calls > 3 {
			t.Errorf("Open was called %d times", calls)
		}
	})
}

// Behind our own end nothing is sent, whatever the protocol would answer: what the peer
// sends is read on.
func TestReplyBehindOurEnd(t *testing.T) {
	f := &sessions{}
	withSessions(t, false, f, func(k *kit) {
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		s, c := k.connectSession()
		must(t, c.Read())
		must(t, c.ShutdownSend())
		k.settle()
		sends := len(s.sends)
		s.sendErr = unix.EPIPE
		k.deliver(s, "AB*")
		k.deliver(s, "CD")
		if got := string(k.user.input[c]); got != "abcd" || len(s.sends) != sends {
			t.Errorf("read %q, %d sends", got, len(s.sends)-sends)
		}
	})
}

// ShutdownSend in a handshake ends our side once it's over.
func TestShutdownSendInAHandshake(t *testing.T) {
	withSessions(t, true, &sessions{}, func(k *kit) {
		s := k.kernel.socket()
		k.accept(s)
		c := k.conn(s)
		must(t, c.ShutdownSend())
		k.settle()
		if s.finSent {
			t.Error("our end is sent before the handshake is over")
		}
		k.user.established = func(c *engine.Conn) { must(t, c.Read()) }
		k.deliver(s, "h")
		if string(s.out) != "H." || !s.finSent {
			t.Errorf("sent %q, our end %t", s.out, s.finSent)
		}
	})
}

// Output that can't be sent before the handshake is over has no deadline, and doesn't
// keep the other deadlines from being kept.
func TestDeadlinesInAHandshake(t *testing.T) {
	f := &sessions{}
	env := &engine.Env{Sessions: f, Category: engine.CategoryUnix, Timeouts: engine.Timeouts{Handshake: -1, Write: time.Second, Linger: 2 * time.Second}}
	drive(t, setup{env: env}, func(k *kit) {
		s := k.kernel.socket()
		k.accept(s)
		c := k.conn(s)
		must(t, c.Send([]byte("news")))
		s.splits = []int{0} // the handshake's answer has to wait once
		k.deliver(s, "w")
		k.fire(s, reactor.Out)
		c.SetTimeouts(engine.Timeouts{Idle: time.Hour})
		k.settle()
		before := k.clock.rung
		k.advance(time.Minute)
		if n := k.clock.rung - before; n > 3 || c.State() != engine.Open {
			t.Errorf("%d alarms in a minute; %v", n, c.State())
		}
		must(t, c.Shutdown())
		k.settle()
		k.advance(3 * time.Second)
		if reason, _ := c.Cause(); reason != engine.ReasonLinger {
			t.Errorf("%v for %v", c.State(), reason)
		}
	})
}

func TestBufferedThatPanics(t *testing.T) {
	f := &sessions{made: func(s *session) { s.panics = true }}
	withSessions(t, false, f, func(k *kit) {
		s := k.kernel.socket()
		k.accept(s)
		c := k.conn(s)
		k.deliver(s, "h")
		if reason, err := c.Cause(); reason != engine.ReasonHandshake || !strings.Contains(err.Error(), "in Buffered") {
			t.Errorf("cause %v: %v", reason, err)
		}
	})
}

// What was opened before a session's end is delivered, and reads that it can't answer are
// answered by the failure.
func TestPlaintextBeforeAFailure(t *testing.T) {
	tests := []struct {
		wire  string
		fin   bool
		asked int // by ReadFull; 0: by Read
		want  []string
	}{
		{"ABC#", false, 0, []string{"read 3", "closed tls_alert"}},
		{"ABC", true, 10, []string{"may-continue receiving 3: unexpected EOF", "read-error 3: unexpected EOF", "closed tls_truncated"}},
		{"ABC#", false, 10, []string{"may-continue receiving 3: not in my protocol", "read-error 3: not in my protocol", "closed tls_alert"}},
	}
	for _, tt := range tests {
		withSessions(t, false, &sessions{}, func(k *kit) {
			s, c := k.connectSession()
			if tt.asked > 0 {
				must(t, c.ReadFull(tt.asked))
			} else {
				must(t, c.Read())
			}
			s.fin = tt.fin
			k.deliver(s, tt.wire)
			s.fin = true // the peer has heard why, and ends its side
			k.fire(s, reactor.In|reactor.RdHup)
			k.user.want(c, tt.want...)
			if _, err := c.Cause(); tt.fin && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cause %v", err)
			}
		})
	}
}

// A write that the kernel has taken is complete, also if an alert went out with it.
func TestAlertTakesAWriteAlong(t *testing.T) {
	withSessions(t, true, &sessions{}, func(k *kit) {
		s, c := k.connectSession()
		s.splits = []int{0}
		must(t, c.Read())
		must(t, c.Send([]byte("abc")))
		k.settle()
		s.in = append(s.in, '#')
		k.fire(s, reactor.In|reactor.Out)
		s.fin = true
		k.fire(s, reactor.In|reactor.RdHup)
		if log := brief(k.user.log(c)); string(s.out) != "HABC?" || !strings.Contains(log, "written") || strings.Contains(log, "write-error") {
			t.Errorf("sent %q: %s", s.out, log)
		}
	})
}

// A drain knows of an end that the session was told of already.
func TestDrainBehindTheEnd(t *testing.T) {
	withSessions(t, false, &sessions{}, func(k *kit) {
		s, c := k.connectSession()
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Shutdown()) }
		must(t, c.Read())
		s.in, s.fin = []byte("+"), true
		k.fire(s, reactor.In|reactor.RdHup)
		if reason, _ := c.Cause(); c.State() < engine.Closed || reason == engine.ReasonLinger {
			t.Errorf("%v for %v", c.State(), reason)
		}
	})
}

// A session's peer can't send out of band: nobody would know that it was he.
func TestOutOfBandBesideASession(t *testing.T) {
	withSessions(t, false, &sessions{}, func(k *kit) {
		s, c := k.connectSession()
		s.oob = []byte("!")
		k.fire(s, reactor.Pri)
		k.user.want(c)
	})
}

// faults.md, TLS: garbage is answered by an alert. It must arrive: our end follows it, not a
// reset, however slowly the peer takes it, and for as long as a linger lasts.
func TestLastWords(t *testing.T) {
	env := func() *engine.Env {
		return &engine.Env{Sessions: &sessions{}, Category: engine.CategoryUnix, Timeouts: engine.Timeouts{Write: time.Second, Linger: 2 * time.Second}}
	}
	tests := map[string]struct {
		end    func(k *kit, s *socket, c *engine.Conn)
		linger string // SO_LINGER at the close
	}{
		"the peer ends": {func(k *kit, s *socket, _ *engine.Conn) {
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
		}, "off"},
		"the peer says nothing more": {func(k *kit, _ *socket, _ *engine.Conn) { k.advance(3 * time.Second) }, "on 0"},
		"the peer resets": {func(k *kit, s *socket, _ *engine.Conn) {
			s.broken = unix.ECONNRESET
			k.fire(s, reactor.In|reactor.Err|reactor.Hup)
		}, ""},
		"Abort": {func(k *kit, _ *socket, c *engine.Conn) {
			c.Abort(nil)
			k.settle()
		}, "on 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			drive(t, setup{env: env()}, func(k *kit) {
				s, c := k.connectSession()
				must(t, c.Read())
				s.splits = []int{0} // it can't be sent at once
				k.deliver(s, "#")
				if s.finSent || c.State() != engine.Open {
					t.Errorf("our end %t, %v, before the alert is sent", s.finSent, c.State())
				}
				k.fire(s, reactor.Out)
				if string(s.out) != "H?" || !s.finSent || c.State() >= engine.Closed {
					t.Errorf("sent %q, our end %t, %v", s.out, s.finSent, c.State())
				}
				s.in = append(s.in, "what's still coming"...) // is thrown away
				k.fire(s, reactor.In)
				tt.end(k, s, c)
				if reason, _ := c.Cause(); reason != engine.ReasonSession || c.State() < engine.Closed {
					t.Errorf("%v for %v", c.State(), reason)
				}
				if s.linger != tt.linger {
					t.Errorf("closed with a linger of %q, want %q", s.linger, tt.linger)
				}
			})
		})
	}
	t.Run("never sent", func(t *testing.T) {
		drive(t, setup{env: env()}, func(k *kit) {
			s, c := k.connectSession()
			must(t, c.Read())
			s.room = 0
			k.deliver(s, "#")
			k.advance(3 * time.Second)
			if c.State() < engine.Closed || s.finSent {
				t.Errorf("%v, our end %t", c.State(), s.finSent)
			}
		})
	})
}

// faults.md, TLS: a stall at each flight: an absolute deadline.
func TestHandshakeTimeout(t *testing.T) {
	env := &engine.Env{Sessions: &sessions{}, Category: engine.CategoryUnix, Timeouts: engine.Timeouts{Handshake: 5 * time.Second}}
	drive(t, setup{env: env}, func(k *kit) {
		s := k.kernel.socket()
		k.accept(s)
		c := k.conn(s)
		k.advance(4 * time.Second)
		k.deliver(s, "w") // the handshake goes on, and doesn't get to its end
		k.advance(time.Second - tick/2)
		if c.State() != engine.Open {
			t.Errorf("%v before its time", c.State())
		}
		k.advance(tick)
		if reason, err := c.Cause(); reason != engine.ReasonHandshakeTimeout || !errors.Is(err, os.ErrDeadlineExceeded) || c.State() != engine.Released {
			t.Errorf("%v for %v: %v", c.State(), reason, err)
		}
	})
	env = &engine.Env{Sessions: &sessions{}, Category: engine.CategoryUnix, Timeouts: engine.Timeouts{Handshake: 5 * time.Second}}
	drive(t, setup{env: env}, func(k *kit) {
		_, c := k.connectSession()
		k.advance(time.Hour)
		if c.State() != engine.Open {
			t.Errorf("%v when the handshake was over in time", c.State())
		}
	})
}

// A client that doesn't trust us sends an alert, and closes with input unread, which resets
// the connection: what it has said counts, although a goroutine has to think about it.
func TestResetInAHandshake(t *testing.T) {
	ends := map[string]struct {
		end  func(k *kit, f *sessions, c *engine.Conn)
		want engine.Reason
	}{
		"it's found": {func(_ *kit, f *sessions, _ *engine.Conn) {
			f.all[0].verdict = errors.New("the peer says no")
			off(f.all[0].host.Wake)
		}, engine.ReasonHandshake},
		"it takes too long": {func(k *kit, _ *sessions, _ *engine.Conn) { k.advance(11 * time.Second) }, engine.ReasonReset},
		"Abort":             {func(_ *kit, _ *sessions, c *engine.Conn) { c.Abort(nil) }, engine.ReasonReset},
		"the loop ends":     {func(k *kit, _ *sessions, _ *engine.Conn) { k.stop() }, engine.ReasonReset},
	}
	// Linux makes a reset's error known before its hang-up, and may be asked in between.
	events := map[string]reactor.Events{"": reactor.In | reactor.Err | reactor.Hup, ", the error first": reactor.In | reactor.Err}
	for name, tt := range ends {
		for order, event := range events {
			t.Run(name+order, func(t *testing.T) {
				f := &sessions{made: func(s *session) { s.slowly = true }}
				drive(t, setup{env: &engine.Env{Sessions: f, Category: engine.CategoryTCP}}, func(k *kit) {
					s := k.kernel.socket()
					k.accept(s)
					c := k.conn(s)
					s.in, s.broken = []byte("h"), unix.ECONNRESET
					s.soError = unix.ECONNRESET
					k.fire(s, event)
					if c.State() >= engine.Closed {
						t.Errorf("%v before it's known what the peer has said", c.State())
					}
					tt.end(k, f, c)
					if !k.poller.ended {
						k.settle()
					}
					if reason, err := c.Cause(); reason != tt.want || c.State() != engine.Released {
						t.Errorf("%v for %v: %v", c.State(), reason, err)
					}
				})
			})
		}
	}
}

// Behind the socket's end there's nothing to be had, whatever events say, so a handshake that
// a goroutine still thinks about doesn't keep the loop turning.
func TestEventsBehindTheEndOfAHandshake(t *testing.T) {
	opened := 0
	f := &sessions{made: func(s *session) { s.slowly, s.opened = true, func() { opened++ } }}
	withSessions(t, false, f, func(k *kit) {
		s := k.kernel.socket()
		k.accept(s)
		s.in, s.fin = []byte("h"), true
		k.fire(s, reactor.In|reactor.RdHup)
		opened = 0
		k.fire(s, reactor.In|reactor.RdHup|reactor.Hup)
		if opened > 1 {
			t.Errorf("Open was called %d times for one event", opened)
		}
	})
}
