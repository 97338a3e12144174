package engine_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// DESIGN, Reads are asked for: they're served in order.
func TestReadsAreServedInOrder(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		must(t, c.Read())
		must(t, c.ReadFull(3))
		must(t, c.ReadFull(0))
		must(t, c.Read())
		k.deliver(s, "ab")
		k.deliver(s, "c")
		k.user.want(c, "read 2")
		k.deliver(s, "defg")
		k.user.want(c, "read 2", "read 3", "read 0", "read 2")
		if got := string(k.user.input[c]); got != "abcdefg" {
			t.Errorf("read %q", got)
		}
		k.deliver(s, "unasked for")
		k.user.want(c, "read 2", "read 3", "read 0", "read 2")
	})
}

// DESIGN, Reads are asked for: no pending read, no call; an idle connection holds no
// buffer.
func TestWithoutAReadNothingIsReceived(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		k.deliver(s, "wait")
		k.fire(s, reactor.In|reactor.Out)
		if len(s.recvs) != 0 {
			t.Errorf("received %d times without a read", len(s.recvs))
		}
		must(t, c.Read()) // no event is needed now
		k.settle()
		k.user.want(c, "read 4")
		must(t, c.Read())
		k.settle()
		if n := k.outstanding(); n != 0 {
			t.Errorf("an idle connection with a pending read holds %d buffers", n)
		}
	})
}

// outstanding is the number of buffers that are held somewhere.
func (k *kit) outstanding() int64 {
	k.r.Cache(k.env.Allocator).Publish()
	return k.env.Allocator.Stats().Outstanding
}

// A ReadFull that waits for its first byte needs no memory either.
func TestIdleReadFullHoldsNoBuffer(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.ReadFull(4)) }
		must(t, c.ReadFull(4))
		k.deliver(s, "headbody")
		k.fire(s, reactor.In)
		k.user.want(c, "read 4", "read 4")
		if n := k.outstanding(); n != 0 {
			t.Errorf("a connection that waits for a header holds %d buffers", n)
		}
	})
}

// DESIGN, How a read ends: a call that returns an error makes no callback.
func TestReadsThatAreRefused(t *testing.T) {
	tests := []struct {
		name string
		prep func(k *kit, s *socket, c *engine.Conn)
		ask  func(c *engine.Conn) error
		want error
	}{
		{"negative", nil, func(c *engine.Conn) error { return c.ReadFull(-1) }, engine.ErrTooLarge},
		{"very negative", nil, func(c *engine.Conn) error { return c.ReadFull(math.MinInt) }, engine.ErrTooLarge},
		{"at MaxRead", nil, func(c *engine.Conn) error { return c.ReadFull(1 << 20) }, nil},
		{"above MaxRead", nil, func(c *engine.Conn) error { return c.ReadFull(1<<20 + 1) }, engine.ErrTooLarge},
		{"far above", nil, func(c *engine.Conn) error { return c.ReadFull(math.MaxInt) }, engine.ErrTooLarge},
		{"above a MaxRead of its own", func(_ *kit, _ *socket, c *engine.Conn) { c.SetFlow(engine.Flow{MaxRead: 10}) },
			func(c *engine.Conn) error { return c.ReadFull(11) }, engine.ErrTooLarge},
		{"without a MaxRead", func(_ *kit, _ *socket, c *engine.Conn) { c.SetFlow(engine.Flow{MaxRead: -1}) },
			func(c *engine.Conn) error { return c.ReadFull(1 << 30) }, nil},
		{"after the peer's end", func(k *kit, s *socket, c *engine.Conn) {
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
		}, (*engine.Conn).Read, engine.ErrReadClosed},
		{"while draining", func(k *kit, _ *socket, c *engine.Conn) { must(k.t, c.Shutdown()) }, (*engine.Conn).Read, engine.ErrClosed},
		{"closed", func(k *kit, _ *socket, c *engine.Conn) {
			c.Abort(nil)
			k.settle()
		}, (*engine.Conn).Read, engine.ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				s, c := k.connect()
				if tt.prep != nil {
					tt.prep(k, s, c)
				}
				before := k.user.log(c)
				if err := tt.ask(c); !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if tt.want != nil {
					k.settle()
					if after := k.user.log(c); len(after) > len(before) && tt.name != "while draining" {
						t.Errorf("and callbacks: %v", after[len(before):])
					}
				}
			})
		})
	}
}

// peers, rule 6: EAGAIN can come at any call. Nothing is lost, nothing comes twice.
func TestEAGAINAtAnyPoint(t *testing.T) {
	message := text(3000)
	asks := map[string]func(*engine.Conn) error{
		"Read":     (*engine.Conn).Read,
		"ReadFull": func(c *engine.Conn) error { return c.ReadFull(250) },
	}
	for name, ask := range asks {
		for at := range 14 {
			t.Run(fmt.Sprintf("%s/call %d", name, at), func(t *testing.T) {
				drive(t, setup{}, func(k *kit) {
					s, c := k.connect()
					k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, ask(c)) }
					must(t, ask(c))
					for range at {
						s.steps = append(s.steps, step{n: 217})
					}
					s.steps = append(s.steps, step{errno: unix.EAGAIN})
					s.in = message
					for range 40 {
						k.fire(s, reactor.In)
					}
					if got := k.user.input[c]; string(got) != string(message) {
						t.Errorf("%d bytes read of %d, or not the same", len(got), len(message))
					}
				})
			})
		}
	}
}

// A message arrives in two parts, split anywhere.
func TestReadFullOverEverySplit(t *testing.T) {
	const message = "sixteen bytes 16"
	for split := range len(message) + 1 {
		drive(t, setup{}, func(k *kit) {
			s, c := k.connect()
			must(t, c.ReadFull(len(message)))
			k.deliver(s, message[:split])
			k.deliver(s, message[split:]+"next")
			k.user.want(c, "read 16")
			must(t, c.Read())
			k.fire(s, reactor.In)
			if got := string(k.user.input[c]); got != message+"next" {
				t.Errorf("split at %d: %q", split, got)
			}
		})
	}
}

// conn.go: reads adapt to what comes.
func TestChunksAdapt(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		must(t, c.Read())
		sizes := func(events int) (last int) {
			for range events {
				k.fire(s, reactor.In)
			}
			return s.recvs[len(s.recvs)-1]
		}
		s.in = text(10)
		if first := sizes(1); first != 4<<10 {
			t.Errorf("the first read takes %d bytes, want 4096", first)
		}
		s.in = text(1 << 20)
		if top := sizes(1); top != 64<<10 {
			t.Errorf("with bytes without end a read takes %d, want 65536", top)
		}
		for range 20 {
			s.in = text(1)
			sizes(1)
		}
		s.in = text(1)
		if bottom := sizes(1); bottom != 2<<10 {
			t.Errorf("with single bytes a read takes %d, want 2048", bottom)
		}
	})
}

// DESIGN, How a read ends: memory grows with what has arrived, never with what was
// asked for.
func TestReadFullGrowsWithWhatArrives(t *testing.T) {
	const want = 1 << 20
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		must(t, c.ReadFull(want))
		got := 0
		for n := 1; got < want; n *= 2 {
			part := min(n, want-got)
			k.deliver(s, string(text(part)))
			got += part
			k.r.Cache(k.env.Allocator).Publish()
			if held, bound := k.env.Allocator.Stats().InUse, int64(4*got+(4<<10)); got < want && held > bound {
				t.Fatalf("%d bytes have arrived, %d are held", got, held)
			}
		}
		k.user.want(c, fmt.Sprintf("read %d", want))
	})
}

// DESIGN, How a read ends: OnConnectionClientClose once, however many reads are
// pending; a ReadFull cut short first gives io.ErrUnexpectedEOF with what there was.
func TestEndOfStreamAnswersReads(t *testing.T) {
	const cut = "may-continue receiving 3: unexpected EOF"
	tests := []struct {
		name      string
		ask       []int // ReadFull, or 0 for Read
		has       string
		survives  bool
		want      []string
		endsAfter bool
	}{
		{"none pending", nil, "", false, []string{"client-close"}, false},
		{"one", []int{0}, "", false, []string{"client-close"}, false},
		{"three", []int{0, 5, 0}, "", false, []string{"client-close"}, false},
		{"full, nothing there", []int{5}, "", false, []string{"client-close"}, false},
		{"full, cut", []int{5}, "abc", false, []string{cut, "read-error 3: unexpected EOF", "client-close"}, true},
		{"full, cut, may continue", []int{5}, "abc", true, []string{cut, "client-close"}, false},
		{"full, cut, others behind", []int{5, 5, 0}, "abc", true, []string{cut, "client-close"}, false},
		{"served before the end", []int{0, 5}, "ab", false, []string{"read 2", "client-close"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				k.user.mayContinue = func(err error) bool { return tt.survives }
				s, c := k.connect()
				for _, n := range tt.ask {
					if n == 0 {
						must(t, c.Read())
					} else {
						must(t, c.ReadFull(n))
					}
				}
				s.in = []byte(tt.has)
				s.fin = true
				k.fire(s, reactor.In|reactor.RdHup)
				if tt.endsAfter {
					k.user.want(c, append(tt.want, "closed peer_closed")...)
					return
				}
				k.user.want(c, tt.want...)
				if st := c.State(); st != engine.ReadClosed {
					t.Errorf("the state is %v", st)
				}
				must(t, c.Send([]byte("a reply"))) // peers, rule 4
				k.settle()
				if string(s.out) != "a reply" {
					t.Errorf("sent %q after the peer's end", s.out)
				}
			})
		})
	}
}

// DESIGN, How a read ends: RDHUP with no read to serve: a peek of 0 reports the end at
// once; unread data postpones it.
func TestHangUpWithoutARead(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		s.in = []byte("unread")
		s.fin = true
		k.fire(s, reactor.In|reactor.RdHup)
		k.fire(s, reactor.In|reactor.RdHup)
		k.user.want(c)
		if s.peeks == 0 || len(s.recvs) != 0 {
			t.Errorf("%d peeks and %d receives, want peeks only", s.peeks, len(s.recvs))
		}
		must(t, c.ReadFull(3))
		k.settle()
		k.user.want(c, "read 3") // three are left
		must(t, c.ReadFull(3))
		k.settle()
		k.user.want(c, "read 3", "read 3", "client-close")
	})
	drive(t, setup{}, func(k *kit) { // an event that was stale
		s, c := k.connect()
		k.fire(s, reactor.In|reactor.RdHup|reactor.Hup)
		k.user.want(c)
		peeks := s.peeks
		k.settle()
		if s.peeks != peeks || peeks != 1 {
			t.Errorf("%d peeks for one event", s.peeks)
		}
		must(t, c.Read())
		k.deliver(s, "alive")
		k.user.want(c, "read 5")
	})
}

// ReadFull of 0 completes with an empty buffer, whatever there is to read.
func TestReadFullOfNothing(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		must(t, c.ReadFull(0))
		must(t, c.Read())
		k.settle()
		k.user.want(c, "read 0")
		off(func() { must(t, c.ReadFull(0)) }) // behind the read
		k.settle()
		k.user.want(c, "read 0")
	})
}

// Buffers are lent: AddRef keeps one, and its end is its holder's business.
func TestReadBufferCanBeKept(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		var kept *buffers.Buffer
		k.user.read = func(_ *engine.Conn, b *buffers.Buffer) { kept = b.AddRef() }
		s, c := k.connect()
		must(t, c.Read())
		k.deliver(s, "keep me")
		c.Abort(nil)
		k.settle()
		if string(kept.Bytes()) != "keep me" {
			t.Errorf("kept %q", kept.Bytes())
		}
		kept.Release()
	})
}
