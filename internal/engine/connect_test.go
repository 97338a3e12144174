package engine_test

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

func target(port uint16) sys.Addr {
	return sys.Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), port)}
}

// dialing begins a connection.
func (k *kit) dialing(d engine.Dial) *engine.Conn {
	k.t.Helper()
	c, err := k.env.Connect(&d)
	must(k.t, err)
	k.settle()
	return c
}

// attempt is the descriptor that's tried now.
func (k *kit) attempt() *socket { return k.kernel.made[len(k.kernel.made)-1] }

// DESIGN, Connecting: success counts once the peer has an address; a stale event looks like
// it.
func TestConnect(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}, Hold: true, Origin: "there"})
		s := k.attempt()
		if c.State() != engine.Connecting || c.Inbound() || c.Origin() != "there" || c.RemoteAddr() != target(1) {
			t.Errorf("%v, inbound %t, %q, %v", c.State(), c.Inbound(), c.Origin(), c.RemoteAddr())
		}
		must(t, c.Send([]byte("early")))
		must(t, c.Read())
		for _, stale := range []reactor.Events{reactor.Out, reactor.Hup | reactor.Out, reactor.Err} {
			k.fire(s, stale)
		}
		k.user.want(c, "created", "connecting 10.0.0.1:1")
		s.connecting = false
		k.fire(s, reactor.Out)
		k.deliver(s, "answer")
		k.user.want(c, "created", "connecting 10.0.0.1:1", "established", "read 6")
		if string(s.out) != "early" || c.State() != engine.Open {
			t.Errorf("sent %q, %v", s.out, c.State())
		}
		c.Release()
	})
}

// What an event tells beside the success counts: no further edge comes for it.
func TestConnectAndDataInOneEvent(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.established = func(c *engine.Conn) { must(t, c.Read()) }
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}})
		s := k.attempt()
		s.connecting, s.in, s.fin = false, []byte("hello"), true
		k.fire(s, reactor.In|reactor.Out|reactor.RdHup)
		k.user.want(c, "created", "connecting 10.0.0.1:1", "established", "read 5", "client-close", "closed peer_closed", "released")
	})
}

// Addresses are tried in their order; each has its own descriptor, which is closed.
func TestConnectTriesTheNextAddress(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.kernel.connects = []sys.Errno{unix.ENETUNREACH, unix.EINPROGRESS, 0}
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1), target(2), target(3)}, Owner: "mine"})
		second := k.attempt()
		second.soError = unix.ECONNREFUSED
		k.fire(second, reactor.Out|reactor.Err|reactor.Hup)
		k.user.want(c, "created", "connecting 10.0.0.1:1", "created", "connecting 10.0.0.1:2", "created", "connecting 10.0.0.1:3",
			"established")
		if c.RemoteAddr() != target(3) || c.Owner() != "mine" {
			t.Errorf("connected to %v", c.RemoteAddr())
		}
		if n := len(k.kernel.leaked()); n != 3 { // the listener, its reserve, the connection
			t.Errorf("descriptors %v are open", k.kernel.leaked())
		}
	})
}

func TestConnectFails(t *testing.T) {
	broken := errors.New("no such host")
	tests := []struct {
		name string
		dial engine.Dial
		make func(k *kit)
		fail func(k *kit)
		want []string
		why  engine.Reason
		is   error
	}{
		{
			"refused", engine.Dial{Addrs: []sys.Addr{target(1)}}, nil,
			func(k *kit) {
				k.attempt().soError = unix.ECONNREFUSED
				k.fire(k.attempt(), reactor.Err)
			},
			[]string{"created", "connecting 10.0.0.1:1", "connect-failed 10.0.0.1:1: connection refused", "failed refused", "released"},
			engine.ReasonRefused, unix.ECONNREFUSED,
		},
		{
			"unreachable", engine.Dial{Addrs: []sys.Addr{target(1)}}, func(k *kit) { k.kernel.connects = []sys.Errno{unix.ENETUNREACH} },
			nil, nil, engine.ReasonConnect, unix.ENETUNREACH,
		},
		{
			"not found", engine.Dial{Failure: broken}, nil, nil,
			[]string{"connect-failed @: no such host", "failed address", "released"}, engine.ReasonAddress, broken,
		},
		{"no address", engine.Dial{}, nil, nil, nil, engine.ReasonAddress, nil},
		{
			"no descriptor", engine.Dial{Addrs: []sys.Addr{target(1)}}, func(k *kit) { k.kernel.socketErr = unix.EMFILE }, nil,
			[]string{"connect-failed 10.0.0.1:1: too many open files", "failed open", "released"}, engine.ReasonOpen, unix.EMFILE,
		},
		{
			"not registered", engine.Dial{Addrs: []sys.Addr{target(1)}}, func(k *kit) { k.poller.refuse = unix.ENOSPC },
			func(k *kit) { k.poller.refuse = nil }, nil, engine.ReasonOpen, unix.ENOSPC,
		},
		{
			"too slow", engine.Dial{Addrs: []sys.Addr{target(1), target(2)}, Timeout: time.Second}, nil,
			func(k *kit) { k.advance(2 * time.Second) }, nil, engine.ReasonConnect, os.ErrDeadlineExceeded,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				if tt.make != nil {
					tt.make(k)
				}
				c := k.dialing(tt.dial)
				if tt.fail != nil {
					tt.fail(k)
				}
				if tt.want != nil {
					k.user.want(c, tt.want...)
				}
				reason, err := c.Cause()
				if reason != tt.why || tt.is != nil && !errors.Is(err, tt.is) || c.State() != engine.Released {
					t.Errorf("%v for %v: %v", c.State(), reason, err)
				}
				if n := k.mux.Group.Stats()[0].Connections; n != 0 {
					t.Errorf("%d connections are placed", n)
				}
			})
		})
	}
}

// DESIGN, Connecting: EAGAIN of a Unix connect retries by timer.
func TestConnectToAFullQueue(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.kernel.connects = []sys.Errno{unix.EAGAIN, unix.EAGAIN, 0}
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{{Path: "@full"}}})
		k.fire(k.attempt(), reactor.Out|reactor.Hup) // what an unconnected socket reports
		k.user.want(c, "created", "connecting @full")
		k.advance(time.Second)
		k.user.want(c, "created", "connecting @full", "established")
		if c.RemoteAddr().Path != "@full" {
			t.Errorf("connected to %v", c.RemoteAddr())
		}
	})
}

// Whatever ends a connection that's being made, its consumer hears of it.
func TestConnectIsEnded(t *testing.T) {
	ends := map[string]func(k *kit, c *engine.Conn){
		"aborted":    func(_ *kit, c *engine.Conn) { c.Abort(errTest) },
		"shut down":  func(_ *kit, c *engine.Conn) { must(t, c.Shutdown()) },
		"loop ended": func(k *kit, _ *engine.Conn) { k.stop() },
	}
	for name, end := range ends {
		for _, errno := range []sys.Errno{unix.EINPROGRESS, unix.EAGAIN} {
			drive(t, setup{}, func(k *kit) {
				k.kernel.connects = []sys.Errno{errno}
				c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}})
				end(k, c)
				k.settle()
				if log := k.user.log(c); len(log) != 5 || log[4] != "released" {
					t.Errorf("%s: %s", name, brief(log))
				}
			})
		}
	}
	drive(t, setup{}, func(k *kit) { // by its own callback
		k.user.connecting = func(c *engine.Conn) { c.Abort(errTest) }
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1), target(2)}})
		k.user.want(c, "created", "connecting 10.0.0.1:1", "connect-failed 10.0.0.1:1: of a test", "failed local_abort", "released")
	})
	drive(t, setup{}, func(k *kit) { // after a drain
		k.env.Refuse.Store(true)
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}})
		if reason, _ := c.Cause(); reason != engine.ReasonDrainAbort || c.State() != engine.Released {
			t.Errorf("%v for %v", c.State(), reason)
		}
	})
	drive(t, setup{}, func(k *kit) {
		k.stop()
		if _, err := k.env.Connect(&engine.Dial{}); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("after the loop's end: %v", err)
		}
	})
}

// The time-out holds for what follows a full queue, too.
func TestConnectTimeoutAfterAFullQueue(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.kernel.connects = []sys.Errno{unix.EAGAIN, unix.EINPROGRESS}
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}, Timeout: time.Second})
		k.advance(5 * time.Second)
		if reason, err := c.Cause(); reason != engine.ReasonConnect || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v for %v: %v", c.State(), reason, err)
		}
	})
}

// Read gates work with a connection that's still being made, on both sides.
func TestReadGateWhileConnecting(t *testing.T) {
	env := &engine.Env{Flow: engine.Flow{High: 3, Low: 1, MaxPending: 1000}}
	drive(t, setup{env: env}, func(k *kit) {
		s, c := k.connect()
		o := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}, Hold: true})
		c.SetReadGate(o)
		must(t, o.Send([]byte("more than High")))
		must(t, c.Read())
		k.deliver(s, "waits")
		k.user.want(c)
		k.attempt().connecting = false
		k.fire(k.attempt(), reactor.Out) // connected, and everything is sent
		k.user.want(c, "read 5")
		o.Release()
	})
	drive(t, setup{}, func(k *kit) {
		_, gating := k.connect()
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}, Hold: true})
		c.SetReadGate(gating)
		must(t, c.Read())
		k.attempt().connecting = false
		k.fire(k.attempt(), reactor.Out)
		gating.Release()
		k.settle()
		if gating.State() != engine.Open {
			t.Errorf("the gating connection is %v, and a read waits for it", gating.State())
		}
		c.Release()
	})
}

// What an attempt's socket was called isn't what the connection is called.
func TestLocalAddrOfTheLastAttempt(t *testing.T) {
	drive(t, setup{env: &engine.Env{Wildcard: true}}, func(k *kit) {
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1), target(2)}, Hold: true})
		first := c.LocalAddr()
		k.attempt().soError = unix.ECONNREFUSED
		k.fire(k.attempt(), reactor.Err)
		k.attempt().connecting = false
		k.fire(k.attempt(), reactor.Out)
		if c.State() != engine.Open || c.LocalAddr() == first {
			t.Errorf("%v, from %v", c.State(), c.LocalAddr())
		}
		c.Release()
	})
}

// A descriptor that somebody holds isn't closed with its attempt.
func TestAttemptThatIsHeld(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1), target(2)}})
		raw, err := c.SyscallConn()
		must(t, err)
		first := k.attempt()
		must(t, raw.Control(func(fd uintptr) {
			first.soError = unix.ECONNREFUSED
			k.fire(first, reactor.Err)
			if int(fd) != first.fd || !k.kernel.open[first.fd] {
				t.Errorf("descriptor %d is closed in Control", fd)
			}
		}))
		if k.kernel.open[first.fd] {
			t.Error("the descriptor isn't closed after Control")
		}
		c.Abort(nil)
	})
}
