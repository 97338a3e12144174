package engine_test

import (
	"errors"
	"io"
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
	env := &engine.Env{Sessions: f, Category: engine.CategoryUnix, Timeouts: engine.Timeouts{Write: time.Second, Linger: 2 * time.Second}}
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
		if reason, err := c.Cause(); reason != engine.ReasonSession || !strings.Contains(err.Error(), "in Buffered") {
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
		{"ABC#", false, 0, []string{"read 3", "closed session"}},
		{"ABC", true, 10, []string{"may-continue receiving 3: unexpected EOF", "read-error 3: unexpected EOF", "closed truncated"}},
		{"ABC#", false, 10, []string{"may-continue receiving 3: not in my protocol", "read-error 3: not in my protocol", "closed session"}},
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
