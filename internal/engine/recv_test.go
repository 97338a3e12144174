package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// ISocket: Recv waits for exactly its length, partial for a byte, in the order of the
// calls, in the memory that was given.
func TestRecv(t *testing.T) {
	drive(t, setup{memory: true}, func(k *kit) {
		s, c := k.connect()
		full, some, none := make([]byte, 5), make([]byte, 100), make([]byte, 0)
		must(t, c.Recv(full, false))
		must(t, c.Recv(some, true))
		must(t, c.Recv(none, true))
		k.deliver(s, "hel")
		k.user.want(c)
		k.deliver(s, "lo wor")
		k.user.want(c, "received 5 of 5", "received 4 of 100", "received 0 of 0")
		if string(full) != "hello" || string(some[:4]) != " wor" {
			t.Errorf("the memory has %q and %q", full, some[:4])
		}
		if n := k.count(engine.CountReads); n != 3 {
			t.Errorf("%d reads are counted", n)
		}
	})
}

// ISocket: RecvCancel ends with RecvCanceled(p), and no byte is lost.
func TestRecvCancel(t *testing.T) {
	drive(t, setup{memory: true}, func(k *kit) {
		s, c := k.connect()
		if err := c.RecvCancel(); !errors.Is(err, engine.ErrMode) {
			t.Errorf("RecvCancel with nothing to cancel: %v, want ErrMode", err)
		}
		first, second := make([]byte, 5), make([]byte, 6)
		must(t, c.Recv(first, false))
		must(t, c.Recv(second, true))
		k.deliver(s, "hel")
		must(t, c.RecvCancel())
		k.settle()
		k.user.want(c, "canceled 5", "canceled 6")
		again := make([]byte, 2)
		must(t, c.Recv(again, false))
		k.settle()
		must(t, c.Recv(first, false))
		k.deliver(s, "lo wo")
		k.user.want(c, "canceled 5", "canceled 6", "received 2 of 2", "received 5 of 5")
		if string(again)+string(first) != "hello w" {
			t.Errorf("received %q and %q", again, first)
		}
		off(func() { // from elsewhere it's the same
			must(t, c.Recv(second, false))
			must(t, c.RecvCancel())
		})
		k.settle()
		must(t, c.Recv(second, true))
		k.settle()
		k.user.want(c, "canceled 5", "canceled 6", "received 2 of 2", "received 5 of 5", "canceled 6", "received 1 of 6")
	})
}

// The peer's end isn't told before what a canceled Recv had got was read.
func TestRecvCancelBeforeTheEnd(t *testing.T) {
	drive(t, setup{memory: true}, func(k *kit) {
		s, c := k.connect()
		must(t, c.Recv(make([]byte, 5), false))
		k.deliver(s, "hel")
		must(t, c.RecvCancel())
		s.fin = true
		k.fire(s, reactor.In|reactor.RdHup)
		k.user.want(c, "canceled 5")
		p := make([]byte, 5)
		must(t, c.Recv(p, true))
		k.settle()
		k.user.want(c, "canceled 5", "received 3 of 5", "client-close")
		if string(p[:3]) != "hel" {
			t.Errorf("received %q", p[:3])
		}
		if err := c.Recv(p, true); !errors.Is(err, engine.ErrReadClosed) {
			t.Errorf("Recv behind the end: %v, want ErrReadClosed", err)
		}
	})
}

// DESIGN, How a read ends: in the ISocket view each unanswered Recv is canceled, whatever
// the end.
func TestRecvAtTheEnd(t *testing.T) {
	tests := map[string]struct {
		end  func(k *kit, s *socket, c *engine.Conn)
		want []string
	}{
		"the peer's": {func(k *kit, s *socket, _ *engine.Conn) {
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
		}, []string{"client-close", "canceled 5", "canceled 6"}},
		"Shutdown": {func(_ *kit, _ *socket, c *engine.Conn) { must(t, c.Shutdown()) }, []string{"canceled 5", "canceled 6"}},
		"Abort": {
			func(_ *kit, _ *socket, c *engine.Conn) { c.Abort(nil) },
			[]string{"canceled 5", "canceled 6", "closed local_abort"},
		},
		"reset": {func(k *kit, s *socket, _ *engine.Conn) {
			s.in = append(s.in, "lo, you"...)
			s.broken = unix.ECONNRESET
			k.fire(s, reactor.In|reactor.Err|reactor.Hup)
		}, []string{"received 5 of 5", "canceled 6", "reset: connection reset by peer", "closed reset"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			drive(t, setup{memory: true}, func(k *kit) {
				s, c := k.connect()
				p := make([]byte, 5)
				must(t, c.Recv(p, false))
				must(t, c.Recv(make([]byte, 6), false))
				k.deliver(s, "hel")
				tt.end(k, s, c)
				k.settle()
				k.user.want(c, tt.want...)
			})
		})
	}
}

// What's asked for before there's a connection is answered once it has failed.
func TestRecvWhileConnecting(t *testing.T) {
	drive(t, setup{memory: true}, func(k *kit) {
		c := k.dialing(engine.Dial{Hold: true})
		k.user.want(c, "connect-failed @: there's no address to connect to", "failed address")
		c.Release()
	})
	drive(t, setup{memory: true}, func(k *kit) {
		c := k.dialing(engine.Dial{Addrs: []engine.Addr{target(1)}, Hold: true})
		must(t, c.Recv(make([]byte, 5), true))
		must(t, c.RecvCancel())
		k.settle()
		must(t, c.Recv(make([]byte, 6), true))
		k.attempt().soError = unix.ECONNREFUSED
		k.fire(k.attempt(), reactor.Err)
		k.user.want(c, "created", "connecting 10.0.0.1:1", "canceled 5", "canceled 6",
			"connect-failed 10.0.0.1:1: connection refused", "failed refused")
		c.Release()
	})
}

// One vocabulary to a connection: without Env.Memory there's no Recv.
func TestRecvNeedsAMemoryConsumer(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		if err := c.Recv(make([]byte, 1), true); !errors.Is(err, engine.ErrMode) {
			t.Errorf("Recv: %v, want ErrMode", err)
		}
		must(t, c.Read())
		if err := c.RecvCancel(); !errors.Is(err, engine.ErrMode) {
			t.Errorf("RecvCancel: %v, want ErrMode", err)
		}
	})
}

// Promise 1: whatever is asked for and canceled, every byte comes once and in order.
func TestRecvLosesNothing(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			drive(t, setup{memory: true}, func(k *kit) {
				s, c := k.connect()
				var got, sent []byte
				k.user.received = func(_ *engine.Conn, p []byte, n int) { got = append(got, p[:n]...) }
				for range 100 {
					switch rnd.IntN(4) {
					case 0, 1:
						must(t, c.Recv(make([]byte, rnd.IntN(20)), rnd.IntN(2) == 0))
					case 2:
						if err := c.RecvCancel(); err != nil && !errors.Is(err, engine.ErrMode) {
							t.Fatal(err)
						}
					default:
						p := make([]byte, rnd.IntN(30))
						for i := range p {
							p[i] = byte(len(sent) + i)
						}
						sent = append(sent, p...)
						s.in = append(s.in, p...)
						k.event(s, reactor.In)
					}
				}
				k.settle()
				_ = c.RecvCancel() // those that would wait for more than there is
				for range len(sent) {
					must(t, c.Recv(make([]byte, 1000), true))
					k.settle()
				}
				if !bytes.Equal(got, sent) {
					t.Fatalf("received %d bytes %v,\nof %d: %v", len(got), got, len(sent), sent)
				}
			})
		})
	}
}
