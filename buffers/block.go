package buffers

import (
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

// A block is a piece of memory and the count of those who look at it: every
// live view holds one reference, and so does every segment of a chain. Blocks,
// not bare memory, are what the free lists of a Cache keep.
type block struct {
	// refs is 1 while the block is in a free list. It is changed by plain stores
	// where the caller is known to be the only holder (a new reference can only be
	// made from an existing one, so nobody else can be looking), atomically
	// elsewhere.
	refs int32

	class uint8

	// Immutable while the block is handed out, except that a sole view that grows
	// exchanges the memory.
	mem []byte                     // len and cap are the block's size
	bb  *bytebufferpool.ByteBuffer // what mem came in; nil for oversize

	next  *block      // guarded by the owner of the free list that the block is in
	trace *allocation // set while the leak detector follows this block
	alloc *Allocator

	// first is the view that Get hands out, so that a Get needs no second object.
	// Its blk and alloc always point here.
	first Buffer
}

// open hands the block out as its first view. The caller is its sole owner.
func (blk *block) open() *Buffer {
	b := &blk.first
	b.p = blk.mem[:0]
	b.refs = 1
	return b
}

// acquire takes a reference for another view or segment. sole says that the
// caller's own reference is in the hands of this goroutine alone: a view that was
// shared by AddRef is one reference on the block, but has several holders.
func (blk *block) acquire(sole bool) {
	if sole && atomic.LoadInt32(&blk.refs) == 1 {
		blk.refs = 2
		return
	}
	atomic.AddInt32(&blk.refs, 1)
}

// drop gives one reference up. If it was the last the caller must put the block
// away, whose count is then 1 again.
func (blk *block) drop() (last bool) {
	if atomic.LoadInt32(&blk.refs) == 1 {
		return true
	}
	if atomic.AddInt32(&blk.refs, -1) > 0 {
		return false
	}
	blk.refs = 1
	return true
}

// shared reports whether others look at the block as well as the caller.
func (blk *block) shared() bool { return atomic.LoadInt32(&blk.refs) != 1 }

// exchange swaps the memory of two blocks that both have the caller as their only
// holder.
func (blk *block) exchange(o *block) {
	blk.mem, o.mem = o.mem, blk.mem
	blk.bb, o.bb = o.bb, blk.bb
	blk.class, o.class = o.class, blk.class
	if blk.trace != nil {
		blk.trace.size.Store(int64(len(blk.mem)))
	}
}
