package buffers

import (
	"bytes"
	"strconv"
	"sync"

	"github.com/valyala/bytebufferpool"
)

const (
	poison = 0xDB

	// What the quarantine holds at most.
	maxQuarantined      = 1024
	maxQuarantinedBytes = 16 << 20
)

// misuse accounts for op on a released Buffer: by a panic in debug mode, else by a
// counter.
func (b *Buffer) misuse(op string) {
	a := b.alloc
	if a == nil {
		panic("buffers: " + op + " on a Buffer that no Allocator made")
	}
	a.misuses.Add(1)
	if !a.debug {
		return
	}
	msg := "buffers: " + op + " on a released Buffer"
	if s := b.released.Load(); s != nil {
		msg += ", which was released by\n" + s.String()
	}
	panic(msg)
}

// quarantine keeps released memory from reuse for a while, in debug mode, and
// finds out whether anyone wrote to it meanwhile. Memory enters overwritten with
// the poison and leaves in the order in which it came, to the shared pools. The
// blocks and views that it belonged to are never reused: a stale pointer to one
// remains recognisable.
type quarantine struct {
	mu    sync.Mutex
	size  int64
	queue []quarantined
}

type quarantined struct {
	class    uint
	mem      []byte
	bb       *bytebufferpool.ByteBuffer
	released stack
}

// add overwrites the memory of blk, which nobody holds, and locks it up.
func (q *quarantine) add(a *Allocator, blk *block) {
	e := quarantined{class: uint(blk.class), mem: blk.mem, bb: blk.bb, released: callers()}
	blk.mem, blk.bb = nil, nil
	for i := range e.mem {
		e.mem[i] = poison
	}
	var out []quarantined
	q.mu.Lock()
	q.queue = append(q.queue, e)
	q.size += int64(len(e.mem))
	for len(q.queue) > maxQuarantined || q.size > maxQuarantinedBytes {
		out = append(out, q.queue[0])
		q.size -= int64(len(q.queue[0].mem))
		q.queue[0] = quarantined{}
		q.queue = q.queue[1:]
	}
	q.mu.Unlock()
	discharge(a, out)
}

// flush lets everything out.
func (q *quarantine) flush(a *Allocator) {
	q.mu.Lock()
	out := q.queue
	q.queue, q.size = nil, 0
	q.mu.Unlock()
	discharge(a, out)
}

func (q *quarantine) bytes() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}

// discharge checks memory and returns it to the shared pools. It panics, without a
// lock held, at the first that was written to.
func discharge(a *Allocator, out []quarantined) {
	for i := range out {
		e := &out[i]
		if at := e.damage(); at >= 0 {
			a.misuses.Add(1)
			panic("buffers: write after release at byte " + strconv.Itoa(at) + " of a block of " +
				strconv.Itoa(len(e.mem)) + ", which was released by\n" + e.released.String())
		}
		a.recycle(e.class, e.mem, e.bb)
	}
}

// damage is the index of the first byte that isn't poison any more, else -1.
func (e *quarantined) damage() int {
	for p := e.mem; len(p) > 0; {
		n := min(len(p), len(poisoned))
		if !bytes.Equal(p[:n], poisoned[:n]) {
			i := 0
			for p[i] == poison {
				i++
			}
			return len(e.mem) - len(p) + i
		}
		p = p[n:]
	}
	return -1
}

var poisoned = bytes.Repeat([]byte{poison}, 512)
