package engine_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// echo makes the recorder an echo server.
func (k *kit) echo() {
	k.user.established = func(c *engine.Conn) {
		c.AddRef()
		must(k.t, c.Read())
	}
	k.user.read = func(c *engine.Conn, b *buffers.Buffer) {
		must(k.t, c.Write(b))
		must(k.t, c.Read())
	}
}

// DESIGN, Flow: by default output of a connection's own Read callbacks suspends its reads
// above High, until it's down at Low: the plainest echo is bounded.
func TestEchoIsBounded(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{High: 10_000, Low: 4000}}}, func(k *kit) {
		k.user.silent = true
		k.echo()
		s, c := k.connect()
		s.room = 0
		s.in = text(1 << 20)
		k.fire(s, reactor.In)
		if n := c.Pending(); n <= 10_000 || n > 10_000+64<<10 {
			t.Fatalf("%d bytes are pending for a peer that doesn't read", n)
		}
		left, recvs := len(s.in), len(s.recvs)
		drain := func(to int) {
			s.room = c.Pending() - to
			k.fire(s, reactor.Out)
		}
		drain(4001)
		if len(s.in) != left || len(s.recvs) != recvs {
			t.Error("reads went on above Low")
		}
		drain(4000)
		if len(s.in) == left {
			t.Error("reads didn't go on at Low")
		}
		for len(s.in) > 0 || c.Pending() > 0 {
			drain(0)
		}
		if string(s.out) != string(text(1<<20)) {
			t.Errorf("echoed %d bytes, or not the same", len(s.out))
		}
	})
}

// … and only that output: two peers that push at each other don't deadlock.
func TestOutputOfOthersDoesNotSuspendReads(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{High: 1000}}}, func(k *kit) {
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		s, c := k.connect()
		must(t, c.Read())
		s.room = 0
		must(t, c.Post(func(c *engine.Conn) { must(t, c.Send(text(5000))) }))
		off(func() { must(t, c.Send(text(5000))) })
		k.settle()
		k.deliver(s, "pushed")
		k.user.want(c, "blocked", "read 6")
	})
}

// DESIGN, Flow: OnWriteReady follows each OnWriteBlocked exactly once, unless closed
// first.
func TestBlockedAndReady(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{High: 1000, Low: 100}}}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		pend := func(n int) {
			for c.Pending() < n {
				must(t, c.Send(text(min(100, n-c.Pending()))))
			}
			s.room = c.Pending() - n
			k.fire(s, reactor.Out)
		}
		for _, n := range []int{500, 1000, 1001, 2000, 1000, 500, 1500, 101, 100, 0, 1000, 1001, 100, 3000} {
			pend(n)
		}
		k.user.want(c, "blocked", "ready", "blocked", "ready", "blocked")
		c.Abort(nil)
	})
}

// A connection is told on its loop, whoever filled its output.
func TestBlockedByAnotherGoroutine(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{High: 1000, Low: 100}}}, func(k *kit) {
		s, c := k.connect()
		s.room = 500
		off(func() { must(t, c.Send(text(2000))) })
		k.user.want(c)
		k.settle()
		k.user.want(c, "blocked")
		s.room = math.MaxInt
		k.fire(s, reactor.Out)
		k.user.want(c, "blocked", "ready")
	})
}

// DESIGN, Flow: over MaxPending Send and Write return ErrOutputFull and queue nothing.
func TestMaxPending(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{High: -1, MaxPending: 1000}}}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		must(t, c.Send(text(900)))
		b, c2 := k.buffer(string(text(101))), k.buffer(string(text(60)))
		defer b.Release()
		defer c2.Release()
		for name, err := range map[string]error{
			"Send":   c.Send(text(101)),
			"Write":  c.Write(b),
			"Writev": c.Writev(c2, c2),
		} {
			if !errors.Is(err, engine.ErrOutputFull) {
				t.Errorf("%s: %v, want ErrOutputFull", name, err)
			}
		}
		if c.Pending() != 900 {
			t.Errorf("%d bytes are pending", c.Pending())
		}
		must(t, c.Send(text(100))) // what fits, fits
		s.room = 1000
		k.fire(s, reactor.Out)
		if err := c.Send(text(1001)); !errors.Is(err, engine.ErrOutputFull) {
			t.Errorf("more than MaxPending at once: %v", err)
		}
		c.SetFlow(engine.Flow{MaxPending: -1})
		must(t, c.Send(text(1<<20)))
	})
}

// Reads that wait for output go on when that can't go any more: the peer is gone, and
// what it sent before is still good.
func TestGatedReadsEndWithAReset(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{High: 1000, Low: 100}}}, func(k *kit) {
		k.echo()
		s, c := k.connect()
		s.room = 0
		k.deliver(s, string(text(5000)))
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		read := len(k.user.input[c])
		s.in = append(s.in, "the last"...)
		s.soError = unix.ECONNRESET
		k.fire(s, everything&^reactor.Pri)
		if got := k.user.input[c]; read == 5008 || !strings.HasSuffix(string(got), "the last") {
			t.Errorf("%d bytes were read before the reset, %d in all", read, len(got))
		}
	})
}

// write.go: a million tiny pieces are bounded too, and empty ones.
func TestTinyPiecesAreBounded(t *testing.T) {
	for _, size := range []int{0, 1} {
		drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
			s, c := k.connect()
			s.room = 0
			must(t, c.Send([]byte("first")))
			piece := k.buffer(string(text(size)))
			defer piece.Release()
			n := 0
			for ; n < 1<<20; n++ {
				if err := c.Write(piece); err != nil {
					if !errors.Is(err, engine.ErrOutputFull) {
						t.Error(err)
					}
					break
				}
			}
			if n < 1000 || n > 1<<20/64+1 {
				t.Errorf("%d pieces of %d bytes were queued", n, size)
			}
		})
	}
}

// write.go: while output is blocked, what would keep a mostly empty block waiting is
// copied, so that small writes hold about what they have.
func TestBlockedOutputIsCompact(t *testing.T) {
	for _, track := range []bool{false, true} {
		drive(t, setup{env: &engine.Env{Track: track}}, func(k *kit) {
			s, c := k.connect()
			s.room = 0
			must(t, c.Send([]byte("blocked")))
			for range 2000 {
				b := k.env.Allocator.Get(4096)
				b.Append(text(100))
				must(t, c.Write(b))
				b.Release()
			}
			k.r.Cache(k.env.Allocator).Publish()
			held := k.env.Allocator.Stats().InUse
			bound := int64(3 * c.Pending())
			if track {
				bound = 2001 * 512 // a block of the smallest size each, for its completion
			}
			if held > bound {
				t.Errorf("track %t: %d bytes are held for %d that are pending", track, held, c.Pending())
			}
			s.room = math.MaxInt
			k.fire(s, reactor.Out)
			if len(s.out) != 7+2000*100 {
				t.Errorf("%d bytes sent", len(s.out))
			}
		})
	}
}

// DESIGN, Flow: OnWriteReady means that there's room. A consumer that goes on writing then,
// however small its pieces are, doesn't keep its loop busy while nothing can be sent.
func TestRefusedWritesDoNotSpin(t *testing.T) {
	for _, size := range []int{0, 1, 30} {
		for _, track := range []bool{false, true} {
			drive(t, setup{env: &engine.Env{Track: track, Flow: engine.Flow{High: 9000, Low: 8000, MaxPending: 10_000}}}, func(k *kit) {
				s, c := k.connect()
				s.room = 0
				piece := k.buffer(string(text(size)))
				defer piece.Release()
				fill := func(c *engine.Conn) {
					for range 1000 {
						if c.Write(piece) != nil {
							return
						}
					}
				}
				k.user.ready = fill
				must(t, c.Send([]byte("first")))
				k.settle()
				fill(c)
				k.settle() // or fails, if the loop wakes itself for ever
				if n := len(k.user.log(c)); n > 20 {
					t.Errorf("size %d, track %t: %d callbacks, and nothing was sent", size, track, n)
				}
				k.user.ready = nil
				s.room = math.MaxInt
				k.fire(s, reactor.Out)
				if n := c.Pending(); n != 0 {
					t.Errorf("%d bytes are pending", n)
				}
			})
		}
	}
}

// A snapshot: what's done to a buffer after Write doesn't change what's sent.
func TestWriteTakesASnapshot(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		b := k.buffer("first part, second part")
		must(t, c.Write(b))
		b.Consume(12)
		must(t, c.Write(b))
		b.Release()
		s.room = math.MaxInt
		k.fire(s, reactor.Out)
		if got := string(s.out); got != "first part, second partsecond part" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestSetFlowTakesEffectAtOnce(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		must(t, c.Send(text(5000)))
		k.settle()
		k.user.want(c)
		off(func() { c.SetFlow(engine.Flow{High: 4000, Low: 2000}) })
		k.settle()
		k.user.want(c, "blocked")
		off(func() { c.SetFlow(engine.Flow{High: 9000, Low: 6000}) })
		k.settle()
		k.user.want(c, "blocked", "ready")
		c.SetFlow(engine.Flow{High: 10, Low: 100}) // Low is cut
		k.settle()
		s.room = 4990
		k.fire(s, reactor.Out)
		k.user.want(c, "blocked", "ready", "blocked", "ready")
	})
}
