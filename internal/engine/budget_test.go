package engine_test

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// DESIGN, Budgets: a firehose yields after TurnBudget bytes or 64 operations, is kicked
// again, and others get their turn between.
func TestFirehoseYields(t *testing.T) {
	tests := []struct {
		name   string
		budget int
		size   int // of each receive
		most   int // bytes per turn
	}{
		{"default budget, large reads", 0, 64 << 10, 256<<10 + 64<<10},
		{"small budget", 10_000, 64 << 10, 10_000 + 64<<10},
		{"small reads: operations", 0, 100, 64 * 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{budget: tt.budget, env: &engine.Env{Category: engine.CategoryUnix}}, func(k *kit) {
				got := 0
				k.user.read = func(c *engine.Conn, b *buffers.Buffer) {
					got += b.Len()
					must(t, c.Read())
				}
				k.user.silent = true
				s, c := k.connect()
				other, quiet := k.connect()
				must(t, c.Read())
				must(t, quiet.Read())
				s.in = text(4 << 20)
				for range 1 << 16 {
					s.steps = append(s.steps, step{n: tt.size})
				}
				k.event(s, reactor.In)
				for range 10 {
					if got == 0 || got > tt.most {
						t.Fatalf("%d bytes in one turn, want 1 to %d", got, tt.most)
					}
					got = 0
					other.in = []byte("x")
					k.event(other, reactor.In)
					if got != 1 {
						t.Fatal("another connection didn't get its turn")
					}
					got = 0
					if !k.turn() {
						t.Fatal("the firehose wasn't kicked")
					}
				}
			})
		})
	}
}

func TestOutputYields(t *testing.T) {
	drive(t, setup{budget: 100 << 10, env: &engine.Env{Flow: engine.Flow{MaxPending: -1}}}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		off(func() { must(t, c.Send(text(2<<20))) })
		k.settle()
		s.room = 4 << 20
		k.event(s, reactor.Out)
		for turns := 0; len(s.out) < 2<<20; turns++ {
			before := len(s.out)
			if !k.turn() {
				t.Fatalf("no further turn with %d bytes sent", len(s.out))
			}
			if n := len(s.out) - before; n > 3*(256<<10) {
				t.Fatalf("%d bytes in one turn", n)
			}
		}
	})
}

// hose makes a connection whose peer sends without end, to a consumer that always reads.
func (k *kit) hose() (*socket, *engine.Conn) {
	k.user.silent = true
	k.user.read = hosed(k)
	s, c := k.connect()
	s.endless = true
	must(k.t, c.Read())
	k.event(s, reactor.In)
	return s, c
}

func hosed(k *kit) func(*engine.Conn, *buffers.Buffer) {
	return func(c *engine.Conn, _ *buffers.Buffer) { must(k.t, c.Read()) }
}

// turns runs a number of turns of a loop that's never idle.
func (k *kit) turns(n int) {
	k.t.Helper()
	for range n {
		if !k.turn() {
			k.t.Fatal("the loop has nothing to do")
		}
	}
}

// pass moves the clock on by d, second by second, on a loop that's never idle.
func (k *kit) pass(d time.Duration) {
	k.t.Helper()
	for range d / time.Second {
		k.clock.now += time.Second
		for a := k.clock.first(); a != nil && a.at <= k.clock.now; a = k.clock.first() {
			a.set = false
			a.f()
		}
		k.turn()
		k.turn()
	}
}

// DESIGN, The way of a byte: output is flushed at the end of a dispatch. Input without
// end doesn't keep a small reply waiting.
func TestFirehoseDoesNotHoldOutputBack(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.hose()
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) {
			k.user.read = hosed(k) // once
			must(t, c.Send([]byte("acknowledged")))
			must(t, c.Read())
		}
		k.turns(3)
		if string(s.out) != "acknowledged" {
			t.Errorf("after 3 turns %d bytes are sent and %d pending", len(s.out), c.Pending())
		}
		s.endless = false
		k.settle()
	})
}

// DESIGN, headline 2 and Flow: a peer that sends without end and never reads is subject
// to the write deadline like any other, and its consumer hears that output is blocked.
func TestFirehoseThatNeverReads(t *testing.T) {
	drive(t, setup{env: &engine.Env{Timeouts: engine.Timeouts{Write: 5 * time.Second}}}, func(k *kit) {
		blocked := false
		k.user.blocked = func(*engine.Conn) { blocked = true }
		s, c := k.hose()
		s.room = 0
		off(func() { must(t, c.Send(text(100<<10))) })
		k.turns(3)
		if !blocked {
			t.Error("output is above High, and the consumer wasn't told")
		}
		k.pass(10 * time.Second)
		if c.State() != engine.Closed {
			t.Errorf("state %v after twice the write time-out", c.State())
		}
		s.endless = false
		k.settle()
	})
}

// DESIGN, States: a connection that's shut down ends within its time-outs, whatever the
// peer goes on sending.
func TestFirehoseDoesNotHoldTheEndBack(t *testing.T) {
	for _, output := range []int{0, 100} {
		drive(t, setup{env: &engine.Env{Timeouts: engine.Timeouts{Write: 5 * time.Second, Linger: 5 * time.Second}}}, func(k *kit) {
			s, c := k.hose()
			s.room = 0
			if output > 0 {
				must(t, c.Send(text(output)))
			}
			must(t, c.Shutdown())
			k.turns(3)
			if output == 0 && !s.finSent {
				t.Error("our end isn't sent")
			}
			k.pass(10 * time.Second)
			if c.State() != engine.Closed {
				t.Errorf("with %d bytes of output: state %v after twice its time-outs", output, c.State())
			}
			s.endless = false
			k.settle()
		})
	}
}

// The out-of-band byte is brought ahead of the stream.
func TestFirehoseDoesNotHoldUrgentDataBack(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		var got string
		k.user.outOfBand = func(_ *engine.Conn, b *buffers.Buffer) { got = string(b.Bytes()) }
		s, _ := k.hose()
		s.oob = []byte("!")
		k.event(s, reactor.In|reactor.Pri)
		k.turns(3)
		if got != "!" {
			t.Error("the out-of-band byte waits for the end of the stream")
		}
		s.endless = false
		k.settle()
	})
}

// Posts that post themselves keep neither their connection nor others from input.
func TestPostsDoNotHoldReadsBack(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		other, quiet := k.connect()
		must(t, c.Read())
		must(t, quiet.Read())
		stop := false
		var again func(c *engine.Conn)
		again = func(c *engine.Conn) {
			if !stop {
				must(t, c.Post(again))
			}
		}
		must(t, c.Post(again))
		k.turns(1)
		other.in, s.in = []byte("x"), []byte("y")
		k.event(other, reactor.In)
		k.event(s, reactor.In)
		k.turns(3)
		stop = true
		k.user.want(quiet, "read 1")
		k.user.want(c, "read 1")
		k.settle()
	})
}
