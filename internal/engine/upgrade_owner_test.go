package engine_test

import (
	"errors"
	"testing"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"golang.org/x/sys/unix"
)

// DESIGN, Buffers: what's lent is the caller's again when the call returns: an upgrade that has
// to wait keeps a copy of its Prefix, and writes nothing behind it.
func TestUpgradeCopiesItsPrefix(t *testing.T) {
	f := &sessions{}
	drive(t, setup{memory: true}, func(k *kit) {
		s, c := k.connect()
		must(t, c.Recv(make([]byte, 10), false))
		k.deliver(s, "B")
		s.splits = []int{0} // the output before it has to wait
		must(t, c.Send([]byte("go")))
		block := []byte("hAxxxx")
		u := upgradeTo(f)
		u.Prefix = block[:2]
		must(t, c.Upgrade(u))
		copy(block, "######")
		k.settle()
		k.fire(s, reactor.Out)
		p := make([]byte, 2)
		must(t, c.Recv(p, false))
		k.settle()
		if string(p) != "ab" {
			t.Errorf("received %q, want %q", p, "ab")
		}
		if string(block) != "######" {
			t.Errorf("the caller's memory is %q", block)
		}
	})
}

// An out-of-band byte takes its place in the output before an upgrade, and none can be sent
// behind it.
func TestUpgradeBehindOutOfBand(t *testing.T) {
	for _, shutdown := range []bool{false, true} {
		f := &sessions{}
		drive(t, setup{}, func(k *kit) {
			s, c := k.connect()
			s.splits = []int{0}
			must(t, c.Send([]byte("go")))
			must(t, c.SendOOB('!'))
			must(t, c.Upgrade(upgradeTo(f)))
			must(t, c.Send([]byte("secret")))
			if err := c.SendOOB('?'); !errors.Is(err, engine.ErrMode) {
				t.Errorf("SendOOB behind an Upgrade: %v, want ErrMode", err)
			}
			k.settle()
			if shutdown {
				must(t, c.Shutdown())
			}
			k.fire(s, reactor.Out)
			k.deliver(s, "h")
			want := "go!HSECRET"
			if shutdown {
				want = "go!"
			}
			if string(s.out) != want || string(s.urgent) != "!" {
				t.Errorf("sent %q, out of band %q, want %q and %q", s.out, s.urgent, want, "!")
			}
		})
	}
}

// What happens while NewSession runs, without the lock, finds a session in the way.
func TestWhileASessionIsMade(t *testing.T) {
	f := &sessions{}
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		f.made = func(*session) {
			if err := c.Upgrade(upgradeTo(f)); !errors.Is(err, engine.ErrMode) {
				t.Errorf("a second Upgrade: %v, want ErrMode", err)
			}
			must(t, c.Send([]byte("secret")))
			must(t, c.Shutdown())
		}
		must(t, c.Upgrade(upgradeTo(f)))
		k.settle()
		s.fin = true
		k.fire(s, reactor.In|reactor.RdHup)
		if string(s.out) != "" || c.State() != engine.Closed {
			t.Errorf("%v, sent %q", c.State(), s.out)
		}
	})
	for i, s := range f.all {
		if s.aborts != 1 {
			t.Errorf("session %d was aborted %d times", i, s.aborts)
		}
	}
}

// seed-contract.md 1: UpgradeToTLSSocket: the user is replaced. The one before is told of what
// he asked for, and the next of what follows, even if that's the end before the session's
// beginning.
func TestUpgradeChangesTheOwner(t *testing.T) {
	for _, ending := range []bool{false, true} {
		f := &sessions{}
		drive(t, setup{env: &engine.Env{Track: true}, memory: true}, func(k *kit) {
			s, c := k.connect()
			must(t, c.Recv(make([]byte, 1), false))
			s.splits = []int{0}
			must(t, c.Send(nil)) // is sent when all before it is
			must(t, c.Send([]byte("go")))
			u := upgradeTo(f)
			u.Owner = named("next")
			must(t, c.Upgrade(u))
			must(t, c.Recv(make([]byte, 2), false))
			must(t, c.RecvCancel())
			must(t, c.Recv(make([]byte, 3), false))
			k.settle()
			if ending {
				c.Abort(nil)
				k.settle()
				k.user.want(c, "written 0", "canceled 1", "canceled 2 for next", "canceled 3 for next",
					"may-continue sending 0: aborted for next", "write-error 0: aborted for next", "closed local_abort for next")
				return
			}
			k.fire(s, reactor.Out)
			k.deliver(s, "hABC")
			c.Abort(nil)
			k.settle()
			k.user.want(c, "written 0", "canceled 1", "written 0", "canceled 2 for next", "upgraded for next", "received 3 of 3 for next", "closed local_abort for next")
		})
	}
}

// DESIGN, How a read ends: a call that returns nil is answered once: a write for a session that
// there won't be, too.
func TestUpgradeThatIsShutDownFailsItsWrites(t *testing.T) {
	for _, track := range []bool{false, true} {
		drive(t, setup{env: &engine.Env{Track: track}}, func(k *kit) {
			s, c := k.connect()
			must(t, c.Upgrade(upgradeTo(&sessions{})))
			k.settle()
			must(t, c.Send([]byte("secret")))
			must(t, c.Shutdown())
			k.settle()
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
			k.user.want(c, "may-continue sending 0: use of closed network connection", "write-error 0: use of closed network connection", "closed local_shutdown")
			if len(s.out) > 0 {
				t.Errorf("sent %q", s.out)
			}
		})
	}
}

// What came with the handshake's end, before a reset, is the session's, and told as such.
func TestUpgradeThatIsReset(t *testing.T) {
	for _, early := range []bool{false, true} { // the read is asked for at once, or when it's told
		drive(t, setup{}, func(k *kit) {
			s, c := k.connect()
			must(t, c.Upgrade(upgradeTo(&sessions{})))
			k.settle()
			if early {
				must(t, c.Read())
			} else {
				k.user.upgraded = func(c *engine.Conn) { must(t, c.Read()) }
			}
			s.in, s.broken, s.soError = []byte("hABC"), unix.ECONNRESET, unix.ECONNRESET
			k.fire(s, reactor.In|reactor.Err|reactor.Hup)
			log := k.user.log(c)
			if len(log) < 2 || log[0] != "upgraded" || log[1] != "read 3" {
				t.Errorf("%q, want upgraded and then the read", log)
			}
		})
	}
}
