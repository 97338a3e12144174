package engine_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// sequence does what a string of choices says to one connection, and knows what must
// have come of it.
type sequence struct {
	*kit
	ops      []byte
	s        *socket
	c        *engine.Conn
	sent     []byte // by the peer
	accepted []byte // by writes
	writes   int
	reads    int
	waiting  bool // Recv was made to say EAGAIN with bytes there: an event is to follow
}

func (q *sequence) next(n int) int {
	if len(q.ops) == 0 {
		return 0
	}
	b := q.ops[0]
	q.ops = q.ops[1:]
	return int(b) % n
}

// size is a number of bytes, mostly small.
func (q *sequence) size() int { return q.next(1<<8) << (q.next(11)) }

// from calls f on the loop, in a callback, or elsewhere.
func (q *sequence) from(f func()) {
	switch q.next(3) {
	case 0:
		f()
	case 1:
		_ = q.c.Post(func(*engine.Conn) { f() })
	default:
		off(f)
	}
}

func (q *sequence) wrote(err error, n int, p []byte) {
	if err == nil {
		q.writes += n
		q.accepted = append(q.accepted, p...)
	}
}

func (q *sequence) write() {
	p := text(q.size())
	for i := range p {
		p[i] += byte(q.writes)
	}
	how, cut := q.next(4), len(p)/3
	q.from(func() {
		switch how {
		case 0, 1:
			q.wrote(q.c.Send(p), 1, p)
		case 2:
			b := q.buffer(string(p))
			q.wrote(q.c.Write(b), 1, p)
			b.Release()
		default:
			bs := []*buffers.Buffer{q.buffer(string(p[:cut])), q.buffer(""), q.buffer(string(p[cut:]))}
			q.wrote(q.c.Writev(bs...), 3, p)
			for _, b := range bs {
				b.Release()
			}
		}
	})
}

func (q *sequence) read() {
	n := q.next(4) * q.size()
	q.from(func() {
		err := error(nil)
		if n == 0 {
			err = q.c.Read()
		} else {
			err = q.c.ReadFull(n)
		}
		if err == nil {
			q.reads++
		}
	})
}

func (q *sequence) deliver() {
	if q.s.fin || q.s.broken != 0 {
		return
	}
	p := text(q.size())
	for i := range p {
		p[i] += byte(len(q.sent))
	}
	q.sent = append(q.sent, p...)
	q.s.in = append(q.s.in, p...)
	q.event(q.s, reactor.In)
}

func (q *sequence) step() {
	s, c := q.s, q.c
	open := q.kernel.open[s.fd]
	switch q.next(24) {
	case 0, 1, 2, 3:
		q.write()
	case 4, 5, 6, 7:
		q.read()
	case 8, 9, 10:
		if open {
			q.deliver()
		}
	case 11, 12, 13:
		if s.room < math.MaxInt/2 {
			s.room += q.size()
		}
		q.event(s, reactor.Out)
	case 14:
		s.room = 0
	case 15: // stale, repeated, invented
		q.event(s, reactor.Events(q.next(int(everything)+1)))
	case 16:
		for range q.next(4) {
			s.steps = append(s.steps, step{n: 1 + q.size()})
		}
	case 17:
		s.steps = append(s.steps, step{errno: unix.EAGAIN})
		q.waiting = true
	case 18:
		s.splits = append(s.splits, q.next(100))
	case 19:
		f := engine.Flow{High: 1 + q.size(), Low: 1 + q.size()}
		q.from(func() { c.SetFlow(f) })
	case 20:
		on := []*engine.Conn{nil, c}[q.next(2)]
		q.from(func() { c.SetReadGate(on) })
	case 21:
		q.advance(time.Duration(q.next(100)) * time.Millisecond)
	case 22:
		q.turn()
	default:
		q.rarely()
	}
	if q.next(2) == 0 {
		q.settle()
	}
}

// rarely has what brings the end nearer.
func (q *sequence) rarely() {
	if q.next(8) > 0 {
		return
	}
	switch q.next(6) {
	case 0:
		q.from(func() { _ = q.c.ShutdownSend() })
	case 1:
		q.from(func() { _ = q.c.Shutdown() })
	case 2:
		q.from(func() { q.c.Abort(nil) })
	case 3, 4:
		q.s.fin = true
		q.event(q.s, reactor.In|reactor.RdHup)
	default:
		q.s.broken, q.s.soError = unix.ECONNRESET, unix.ECONNRESET
		q.event(q.s, everything&^reactor.Pri)
	}
}

func runSequence(t *testing.T, ops []byte, track bool) {
	category := engine.Category(len(ops) % 2)
	drive(t, setup{env: &engine.Env{Track: track, Category: category, Timeouts: engine.Timeouts{Write: -1, Linger: -1}}}, func(k *kit) {
		q := &sequence{kit: k, ops: ops}
		q.s, q.c = k.connect()
		for len(q.ops) > 0 {
			q.step()
		}
		// The network becomes good, and the peer takes everything.
		q.s.steps, q.s.splits, q.s.room = nil, nil, math.MaxInt
		for range 3 {
			k.fire(q.s, reactor.In|reactor.Out)
		}
		q.check()
		// … and ends.
		q.s.fin = true
		k.fire(q.s, reactor.In|reactor.Out|reactor.RdHup|reactor.Hup)
		q.c.Release()
		k.settle()
		if st := q.c.State(); st != engine.Released {
			t.Errorf("state %v in the end", st)
		}
		q.check()
		if n := strings.Count(strings.Join(k.user.log(q.c), "\n")+"\n", "writ"); track && n < q.writes {
			t.Errorf("%d writes of %d were answered", n, q.writes)
		}
	})
}

// check compares what was moved with what was asked for.
func (q *sequence) check() {
	q.t.Helper()
	if got := q.user.input[q.c]; !bytes.HasPrefix(q.sent, got) {
		q.t.Errorf("read %d bytes that aren't the first of the %d sent", len(got), len(q.sent))
	}
	if !bytes.HasPrefix(q.accepted, q.s.out) {
		q.t.Errorf("sent %d bytes that aren't the first of the %d accepted", len(q.s.out), len(q.accepted))
	}
	reason, _ := q.c.Cause()
	if clean := reason <= engine.ReasonDrain; clean && len(q.s.out) != len(q.accepted) {
		q.t.Errorf("a clean end (%v) with %d bytes sent of %d", reason, len(q.s.out), len(q.accepted))
	}
	answered := 0
	for _, entry := range q.user.log(q.c) {
		if strings.HasPrefix(entry, "read ") || strings.HasPrefix(entry, "read-error") {
			answered++
		}
	}
	if answered > q.reads {
		q.t.Errorf("%d reads were answered of %d", answered, q.reads)
	}
	if st := q.c.State(); (st == engine.Open || st == engine.WriteClosed) && reason == engine.ReasonNone && answered < q.reads && len(q.s.in) > 0 {
		q.t.Errorf("a read waits, and there are %d bytes to read", len(q.s.in))
	}
}

// peers, rules 6 and 7: whatever happens, in whatever order, no byte is lost, repeated or
// reordered, and everything is answered once.
func TestRandomSequences(t *testing.T) {
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		ops := make([]byte, 200+random.IntN(600))
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		runSequence(t, ops, seed%3 > 0)
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func FuzzConn(f *testing.F) {
	f.Add([]byte{8, 9, 9, 0, 4, 1, 1, 0, 0}, true)
	f.Add([]byte{0, 100, 8, 2, 1, 14, 0, 0, 11, 200, 3, 1, 23, 0, 1, 2}, false)
	f.Fuzz(func(t *testing.T, ops []byte, track bool) {
		runSequence(t, ops[:min(len(ops), 2000)], track)
	})
}
