package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
)

// What's next on a plain connection is what the whole predicate says, whatever the
// connection is like: of all that plainLocked lets through, and by chance beyond.
func TestNextOfPlain(t *testing.T) {
	alloc := buffers.New(buffers.Config{})
	r := rand.New(rand.NewPCG(1, 2))
	one := func(choices ...int) int { return choices[r.IntN(len(choices))] }
	seen := map[work]int{}
	for range 200_000 {
		env := &Env{Flow: defaultFlow, Timeouts: Timeouts{Read: time.Duration(r.IntN(2)), Write: time.Duration(r.IntN(2)), Linger: time.Duration(r.IntN(2))}}
		c := &Conn{
			shard: &Shard{env: env}, flow: &env.Flow,
			state: Open, flags: flags(r.Uint32())&^uncommon | established | writable,
			read: readOp{kind: readKind(r.IntN(int(readSome) + 1)), need: int32(r.IntN(2))},
		}
		c.refs.Store(int32(r.IntN(2)))
		if r.IntN(4) == 0 {
			c.reason = Reason(r.IntN(int(reasonCount)))
		}
		if r.IntN(4) == 0 {
			c.state = State(r.IntN(int(Released) + 1))
		}
		if r.IntN(4) == 0 {
			c.flags = flags(r.Uint32())
		}
		if r.IntN(4) == 0 {
			c.flags.clear(established)
		}
		if r.IntN(8) == 0 {
			c.ext = &ext{timers: make([]*Timer, 1)}
		}
		for range r.IntN(3) {
			n := one(0, 1, env.Flow.Low, env.Flow.Low+1, flushAt-1, flushAt, env.Flow.High, env.Flow.High+1)
			b := alloc.Get(n)
			b.Commit(len(b.Reserve(n)))
			c.out.Append(nil, b, r.IntN(2) == 0)
			b.Release()
		}
		if c.plainLocked() {
			before := c.flags
			plain, left := c.nextOfPlainLocked(), c.flags
			c.flags = before
			if want := c.nextOfAnyLocked(); plain != want || left != c.flags {
				t.Fatalf("%s\n%v and %v are left, want %v and %v", c.Describe(), plain, left, want, c.flags)
			}
			seen[plain]++
		}
		c.out.Release(nil)
	}
	for _, w := range []work{nothing, doRead, doFlush, doArm, doShutdown} {
		if seen[w] == 0 {
			t.Errorf("%v never came", w)
		}
	}
	t.Log(seen)
}
