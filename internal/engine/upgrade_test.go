package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// upgradeTo is an Upgrade of a server.
func upgradeTo(f *sessions) engine.Upgrade { return engine.Upgrade{Sessions: f, Role: engine.Server} }

// DESIGN, TLS: an upgrade takes effect after the output queued before it; pending reads are
// cancelled; what's written from then on waits for the handshake.
func TestUpgrade(t *testing.T) {
	for _, track := range []bool{false, true} {
		f := &sessions{}
		drive(t, setup{env: &engine.Env{Track: track}}, func(k *kit) {
			s, c := k.connect()
			must(t, c.Read())
			must(t, c.ReadFull(5))
			s.splits = []int{2, 0} // the output before it has to wait
			must(t, c.Send([]byte("go ahead")))
			must(t, c.Upgrade(upgradeTo(f)))
			if err := c.Upgrade(upgradeTo(f)); !errors.Is(err, engine.ErrMode) {
				t.Errorf("a second Upgrade: %v, want ErrMode", err)
			}
			must(t, c.Send([]byte("secret")))
			must(t, c.Read())
			k.settle()
			k.deliver(s, "h") // is left in the socket until then
			if string(s.out) != "go" || len(f.all) != 0 {
				t.Errorf("sent %q, %d sessions", s.out, len(f.all))
			}
			k.fire(s, reactor.Out)
			if string(s.out) != "go aheadHSECRET" {
				t.Errorf("sent %q", s.out)
			}
			k.deliver(s, "ABC")
			log := k.user.log(c)
			want := "read-error 0: sluice: canceled, read-error 0: sluice: canceled, upgraded, read 3"
			if track {
				want = "read-error 0: sluice: canceled, read-error 0: sluice: canceled, written 0, upgraded, written 0, read 3"
			}
			log = without(log, "blocked", "ready")
			if got := strings.Join(log, ", "); got != want {
				t.Errorf("\n got: %s\nwant: %s", got, want)
			}
			k.deliver(s, ".")
			must(t, c.Shutdown())
			k.settle()
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
			if reason, _ := c.Cause(); reason != engine.ReasonLocalShutdown || c.State() != engine.Closed {
				t.Errorf("%v for %v", c.State(), reason)
			}
		})
	}
}

func without(log []string, words ...string) (rest []string) {
	for _, entry := range log {
		if entry != words[0] && entry != words[1] {
			rest = append(rest, entry)
		}
	}
	return rest
}

// DESIGN, TLS: plaintext already delivered is passed on as Prefix; what a pending read had got
// isn't lost either.
func TestUpgradeWithAPrefix(t *testing.T) {
	f := &sessions{}
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		must(t, c.ReadFull(10))
		k.deliver(s, "A")
		u := upgradeTo(f)
		u.Prefix = []byte("h")
		k.user.upgraded = func(c *engine.Conn) { must(t, c.Read()) }
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		must(t, c.Upgrade(u))
		k.settle()
		k.deliver(s, "BC")
		if got := string(k.user.input[c]); got != "abc" {
			t.Errorf("read %q", got)
		}
	})
	// In the ISocket view, too.
	f = &sessions{}
	drive(t, setup{memory: true}, func(k *kit) {
		s, c := k.connect()
		must(t, c.Recv(make([]byte, 10), false))
		k.deliver(s, "hA")
		must(t, c.Upgrade(upgradeTo(f)))
		k.settle()
		p := make([]byte, 3)
		must(t, c.Recv(p, false))
		k.deliver(s, "BC")
		k.user.want(c, "canceled 10", "upgraded", "received 3 of 3")
		if string(p) != "abc" {
			t.Errorf("received %q", p)
		}
	})
}

// How an upgrade can end: it's the connection's end, which it was established for.
func TestUpgradeThatFails(t *testing.T) {
	tests := map[string]struct {
		f    *sessions
		do   func(k *kit, s *socket, c *engine.Conn)
		want engine.Reason
		sent string
	}{
		"no session": {&sessions{err: errTest}, func(*kit, *socket, *engine.Conn) {}, engine.ReasonHandshake, "before"},
		"garbage": {&sessions{}, func(k *kit, s *socket, _ *engine.Conn) {
			s.in, s.fin = []byte("G"), true
			k.fire(s, reactor.In|reactor.RdHup)
		}, engine.ReasonHandshake, "before?"},
		"garbage right behind its handshake": {&sessions{}, func(k *kit, s *socket, c *engine.Conn) {
			s.in, s.fin = []byte("h#"), true
			k.fire(s, reactor.In|reactor.RdHup)
			k.user.want(c, "upgraded", "closed tls_alert") // it was ready, and is told of
		}, engine.ReasonSession, "beforeH?"},
		"the end": {&sessions{}, func(k *kit, s *socket, _ *engine.Conn) {
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
		}, engine.ReasonHandshake, "before"},
		"Shutdown": {&sessions{}, func(k *kit, s *socket, c *engine.Conn) {
			must(k.t, c.Send([]byte("secret")))
			must(k.t, c.Shutdown())
			k.settle()
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
		}, engine.ReasonLocalShutdown, "before"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				s, c := k.connect()
				must(t, c.Send([]byte("before")))
				must(t, c.Upgrade(upgradeTo(tt.f)))
				k.settle()
				tt.do(k, s, c)
				if reason, _ := c.Cause(); reason != tt.want || c.State() != engine.Closed {
					t.Errorf("%v for %v", c.State(), reason)
				}
				if string(s.out) != tt.sent {
					t.Errorf("sent %q, want %q", s.out, tt.sent)
				}
			})
		})
	}
}

// What was written for a session isn't sent without one, whatever happens before it's there.
func TestUpgradeSendsNoSecrets(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		s.room = 3
		must(t, c.Send([]byte("before")))
		must(t, c.Upgrade(upgradeTo(&sessions{})))
		must(t, c.Send(make([]byte, 300<<10)))
		must(t, c.Send([]byte("secret")))
		must(t, c.Shutdown())
		k.settle()
		s.room = 1 << 20
		k.fire(s, reactor.Out)
		if string(s.out) != "before" || !s.finSent {
			t.Errorf("sent %q, our end %t", s.out, s.finSent)
		}
	})
}

// When an upgrade can't be: nothing changes.
func TestUpgradeRefused(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		must(t, c.ShutdownSend())
		if err := c.Upgrade(upgradeTo(&sessions{})); !errors.Is(err, engine.ErrMode) {
			t.Errorf("after ShutdownSend: %v", err)
		}
		c.Abort(nil)
		if err := c.Upgrade(upgradeTo(&sessions{})); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("after Abort: %v", err)
		}
	})
	withSessions(t, false, &sessions{}, func(k *kit) {
		_, c := k.connectSession()
		if err := c.Upgrade(upgradeTo(&sessions{})); !errors.Is(err, engine.ErrMode) {
			t.Errorf("with a session: %v", err)
		}
	})
}
