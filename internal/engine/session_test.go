package engine_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// session is a toy: the handshake is a 'h' that's answered by 'H', before which 'w' is
// answered by 'W'; bytes are in upper case on the wire, '.' is its clean end, '#' a
// mistake, '*' is answered by '*'. '+' yields a byte for each call of Open, three times.
type session struct {
	host     engine.SessionHost
	ready    bool
	more     int
	ended    error
	sealErr  error
	closes   int
	aborts   int
	startErr error
	opened   func() // called by Open
	hoards   bool   // consumes nothing
	slowly   bool   // consumes nothing before allowed
	allowed  bool
	panics   bool  // in Buffered
	verdict  error // of Open, whatever comes
}

type sessions struct {
	all  []*session
	made func(*session)
	err  error
}

func (f *sessions) NewSession(engine.Role, string) (engine.Session, error) {
	if f.err != nil {
		return nil, f.err
	}
	s := &session{}
	if f.made != nil {
		f.made(s)
	}
	f.all = append(f.all, s)
	return s, nil
}

func (s *session) Start(h engine.SessionHost) error {
	s.host = h
	return s.startErr
}

func (s *session) Open(dst, src, reply *buffers.Chain, fin bool) error {
	if s.opened != nil {
		s.opened()
	}
	if s.verdict != nil {
		return s.verdict
	}
	if s.hoards || s.slowly && !s.allowed {
		return nil
	}
	put := func(q *buffers.Chain, p string) { q.AppendCopy(nil, s.host.Allocator(), []byte(p), false, false) }
	if s.more > 0 {
		s.more--
		put(dst, "+")
	}
	for src.Len() > 0 && s.ended == nil {
		b := src.Front()[0]
		src.Consume(nil, 1)
		switch {
		case !s.ready && b == 'w':
			put(reply, "W")
		case !s.ready && b == 'h':
			s.ready = true
			put(reply, "H")
		case !s.ready || b == '#':
			put(reply, "?")
			s.ended = errors.New("not in my protocol")
		case b == '.':
			s.ended = io.EOF
		case b == '*':
			put(reply, "*")
		case b == '+':
			s.more = 3
		default:
			put(dst, string(bytes.ToLower([]byte{b})))
		}
	}
	switch {
	case s.ended != nil:
		return s.ended
	case fin && s.more > 0:
		return nil
	case fin:
		return io.ErrUnexpectedEOF
	default:
		return nil
	}
}

func (s *session) Seal(dst, src *buffers.Chain, limit int) error {
	for src.Len() > 0 && dst.Len() < limit && s.sealErr == nil {
		p := src.Front()
		dst.AppendCopy(nil, s.host.Allocator(), bytes.ToUpper(p), false, false)
		src.Consume(nil, len(p))
	}
	return s.sealErr
}

func (s *session) CloseWrite(dst *buffers.Chain) error {
	s.closes++
	dst.AppendCopy(nil, s.host.Allocator(), []byte("."), false, false)
	return nil
}

func (s *session) Ready() bool { return s.ready }

func (s *session) Buffered() bool {
	if s.panics {
		panic("in Buffered")
	}
	return s.more > 0
}

func (s *session) Abort(error) { s.aborts++ }

// withSessions runs body with sessions, each of which must be aborted once in the end.
func withSessions(t *testing.T, track bool, f *sessions, body func(k *kit)) {
	t.Helper()
	drive(t, setup{env: &engine.Env{Sessions: f, Track: track, Category: engine.CategoryUnix}}, body)
	for i, s := range f.all {
		if s.aborts != 1 {
			t.Errorf("session %d was aborted %d times", i, s.aborts)
		}
	}
}

// connectSession makes a connection, up to the end of its handshake.
func (k *kit) connectSession() (*socket, *engine.Conn) {
	k.t.Helper()
	s := k.kernel.socket()
	k.accept(s)
	k.deliver(s, "h")
	return s, k.conn(s)
}

// DESIGN, TLS: the seam: the handshake comes before Established, opened bytes answer
// reads, sealed ones follow what the socket takes.
func TestSession(t *testing.T) {
	for _, track := range []bool{false, true} {
		f := &sessions{}
		withSessions(t, track, f, func(k *kit) {
			s := k.kernel.socket()
			k.accept(s)
			c := k.conn(s)
			k.user.want(c, "created")
			k.deliver(s, "hHELLO")
			k.user.want(c)
			if string(s.out) != "H" {
				t.Errorf("the handshake's answer is %q", s.out)
			}
			must(t, c.Read())
			must(t, c.ReadFull(5))
			k.settle()
			k.deliver(s, "W")
			k.deliver(s, "ORLD!")
			k.user.want(c, "read 5", "read 5")
			must(t, c.Read())
			k.settle()
			if got := string(k.user.input[c]); got != "helloworld!" {
				t.Errorf("read %q", got)
			}
			s.splits = []int{0, 3, 0, 1}
			b := k.buffer("sealed")
			must(t, c.Write(b))
			must(t, c.Send([]byte(" and sent")))
			b.Release()
			for range 4 {
				k.fire(s, reactor.Out)
			}
			if string(s.out) != "HSEALED AND SENT" {
				t.Errorf("sent %q", s.out)
			}
			want := []string{"read 5", "read 5", "read 1"}
			if track {
				want = append(want, "written 6", "written 0")
			}
			k.user.want(c, want...)
			if n := k.count(engine.CountReceivedBytes); n != 11 {
				t.Errorf("%d bytes counted as received, want the application's 11", n)
			}
			if n := k.count(engine.CountSentBytes); n != 15 {
				t.Errorf("%d bytes counted as sent, want the application's 15", n)
			}
			must(t, c.Shutdown())
			k.settle()
			if string(s.out[16:]) != "." || !s.finSent || f.all[0].closes != 1 {
				t.Errorf("the end: %q, FIN %t, %d CloseWrites", s.out[16:], s.finSent, f.all[0].closes)
			}
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
			k.user.want(c, append(want, "closed local_shutdown")...)
		})
	}
}

// DESIGN, TLS: at FIN io.EOF means a clean end, and truncation is told apart.
func TestEndOfASession(t *testing.T) {
	tests := []struct {
		name   string
		in     string
		fin    bool
		reason engine.Reason
		want   []string
	}{
		{"clean", "AB.", false, engine.ReasonNone, []string{"read 2", "client-close"}},
		{"clean, with FIN", "AB.", true, engine.ReasonNone, []string{"read 2", "client-close"}},
		{"truncated", "AB", true, engine.ReasonTruncated, []string{
			"read 2", "may-continue receiving 0: unexpected EOF", "read-error 0: unexpected EOF", "closed tls_truncated",
		}},
		{"broken", "A#", false, engine.ReasonSession, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withSessions(t, false, &sessions{}, func(k *kit) {
				k.user.read = func(c *engine.Conn, _ *buffers.Buffer) {
					if err := c.Read(); err != nil && !errors.Is(err, engine.ErrReadClosed) {
						t.Error(err)
					}
				}
				s, c := k.connectSession()
				must(t, c.Read())
				s.in, s.fin = []byte(tt.in), tt.fin
				k.fire(s, reactor.In|reactor.RdHup)
				if reason, _ := c.Cause(); reason != tt.reason {
					t.Errorf("cause %v, want %v", reason, tt.reason)
				}
				if tt.want != nil {
					k.user.want(c, tt.want...)
				}
				if tt.reason == engine.ReasonSession && string(s.out) != "H?" {
					t.Errorf("sent %q: the peer isn't told what's wrong", s.out)
				}
			})
		})
	}
}

// A session that fails before it's ready: never established, no closure.
func TestHandshakeThatFails(t *testing.T) {
	broken := errors.New("no session today")
	tests := []struct {
		name   string
		f      *sessions
		in     string
		fin    bool
		reason engine.Reason
	}{
		{"no session", &sessions{err: broken}, "", false, engine.ReasonHandshake},
		{"no start", &sessions{made: func(s *session) { s.startErr = broken }}, "", false, engine.ReasonHandshake},
		{"garbage", &sessions{}, "GET /", false, engine.ReasonHandshake},
		{"end", &sessions{}, "", true, engine.ReasonHandshake},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withSessions(t, false, tt.f, func(k *kit) {
				s := k.kernel.socket()
				k.accept(s)
				c := k.conn(s)
				s.in, s.fin = []byte(tt.in), tt.fin
				if c.State() != engine.Released {
					k.fire(s, reactor.In)
				}
				if c.State() != engine.Released { // it's telling the peer why
					s.fin = true
					k.fire(s, reactor.In|reactor.RdHup)
				}
				k.user.want(c, "created", "failed "+tt.reason.String(), "released")
				if reason, _ := c.Cause(); reason != tt.reason {
					t.Errorf("cause %v, want %v", reason, tt.reason)
				}
			})
		})
	}
}

// Session.Buffered: the session still holds bytes, and no event will come for them.
func TestSessionHoldsBytes(t *testing.T) {
	withSessions(t, false, &sessions{}, func(k *kit) {
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		s, c := k.connectSession()
		must(t, c.Read())
		k.deliver(s, "+")
		if got := string(k.user.input[c]); got != "+++" {
			t.Errorf("read %q", got)
		}
	})
}

// What's written before the handshake is over waits for it, and costs nothing meanwhile.
// Before there's a session at all it may be refused.
func TestWriteBeforeTheHandshakeIsOver(t *testing.T) {
	withSessions(t, true, &sessions{}, func(k *kit) {
		want, completions := "H", []string{}
		wrote := func(err error, p string) {
			if err == nil {
				want += p
				completions = append(completions, "written 0")
			}
		}
		k.user.created = func(c *engine.Conn) { wrote(c.Send([]byte("early ")), "EARLY ") }
		s := k.kernel.socket()
		k.accept(s) // settles: it doesn't wake itself for ever
		c := k.conn(s)
		off(func() {
			err := c.Send([]byte("bird"))
			must(t, err)
			wrote(err, "BIRD")
		})
		k.settle()
		if len(s.out) != 0 {
			t.Errorf("sent %q before the handshake", s.out)
		}
		k.deliver(s, "h")
		if string(s.out) != want {
			t.Errorf("sent %q, want %q", s.out, want)
		}
		k.user.want(c, completions...)
	})
}

// SessionHost.Wake has Open called again, from anywhere.
func TestSessionWake(t *testing.T) {
	f := &sessions{}
	withSessions(t, false, f, func(k *kit) {
		_, c := k.connectSession()
		must(t, c.Read())
		k.settle()
		f.all[0].more = 1
		off(f.all[0].host.Wake)
		k.settle()
		k.user.want(c, "read 1")
		h := f.all[0].host
		if h.LocalAddr() != c.LocalAddr() || h.RemoteAddr() != c.RemoteAddr() {
			t.Errorf("addresses %v and %v", h.LocalAddr(), h.RemoteAddr())
		}
		c.Abort(nil)
		k.settle()
		off(h.Wake) // too late, and harmless
		k.settle()
	})
}

// What a session has taken and not sent is still answered when it fails.
func TestSessionThatCannotSeal(t *testing.T) {
	f := &sessions{}
	withSessions(t, true, f, func(k *kit) {
		_, c := k.connectSession()
		f.all[0].sealErr = errors.New("out of keys")
		must(t, c.Send([]byte("x")))
		k.settle()
		k.user.want(c, "may-continue sending 0: out of keys", "write-error 0: out of keys", "closed tls_alert")
	})
	f = &sessions{}
	withSessions(t, true, f, func(k *kit) {
		s, c := k.connectSession()
		s.room = 3
		b := k.buffer("sealed, not sent")
		must(t, c.Write(b))
		b.Release()
		k.settle()
		must(t, c.Send([]byte("queued")))
		c.Abort(errTest)
		k.settle()
		k.user.want(c, "may-continue sending 16: of a test", "write-error 16: of a test",
			"write-error 0: of a test", "closed local_abort")
	})
}

// An out-of-band byte has no place in a session.
func TestNoOOBInASession(t *testing.T) {
	withSessions(t, false, &sessions{}, func(k *kit) {
		_, c := k.connectSession()
		if err := c.SendOOB('!'); !errors.Is(err, engine.ErrMode) {
			t.Errorf("%v, want ErrMode", err)
		}
	})
}

// A panic in a session is what a peer has brought about: that connection only.
func TestSessionThatPanics(t *testing.T) {
	f := &sessions{}
	withSessions(t, false, f, func(k *kit) {
		_, bystander := k.connectSession()
		s, c := k.connectSession()
		must(t, c.Read())
		f.all[1].opened = func() { panic("a malformed record") }
		k.deliver(s, "A")
		if reason, err := c.Cause(); reason != engine.ReasonSession || !strings.Contains(err.Error(), "a malformed record") {
			t.Errorf("cause %v: %v", reason, err)
		}
		if bystander.State() != engine.Open {
			t.Errorf("another connection is %v", bystander.State())
		}
	})
}

// Ciphertext above 32 KiB that yields no plaintext closes the connection.
func TestSessionThatHoards(t *testing.T) {
	f := &sessions{}
	withSessions(t, false, f, func(k *kit) {
		s, c := k.connectSession()
		must(t, c.Read())
		f.all[0].hoards = true
		n := 0
		for ; n < 100 && c.State() == engine.Open; n++ {
			k.deliver(s, string(text(1<<10)))
		}
		if reason, _ := c.Cause(); reason != engine.ReasonSession || n > 33 {
			t.Errorf("cause %v after %d KiB", reason, n)
		}
	})
}

// faults.md, TLS: a ClientHello in 1-byte segments: what a session leaves takes memory by its
// length, not by the number of its pieces, before the handshake is over and after.
func TestWhatASessionLeavesIsSmall(t *testing.T) {
	for _, before := range []string{"", "h"} {
		f := &sessions{}
		withSessions(t, false, f, func(k *kit) {
			s := k.kernel.socket()
			k.accept(s)
			c := k.conn(s)
			k.deliver(s, before)
			f.all[0].hoards = true
			must(t, c.ReadFull(10))
			k.settle()
			for range 2000 {
				k.deliver(s, "x")
			}
			if n := k.env.Allocator.Stats().InUse; n > 40<<10 || c.State() != engine.Open {
				t.Errorf("after %q, with 2000 bytes: %d bytes of memory; %v", before, n, c.State())
			}
		})
	}
}

func TestSessionSpawns(t *testing.T) {
	f := &sessions{}
	withSessions(t, false, f, func(k *kit) {
		k.connectSession()
		ran := false
		f.all[0].host.Spawn(func() { ran = true })
		for _, g := range k.spawned {
			g()
		}
		if !ran {
			t.Error("what was spawned isn't the reactor's to start")
		}
	})
}
