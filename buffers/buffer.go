package buffers

import "sync/atomic"

// A Buffer is a view of a shared block of memory: its content is a window of the
// block, and other Buffers may look at other windows, or the same, of the same
// block. Buffers come from an Allocator, a Cache or other Buffers; the zero value
// can't be used.
//
// One Buffer belongs to one goroutine at a time. Only AddRef, Release and methods
// that read may be called from several at once, each of which holds a reference.
type Buffer struct {
	_ noCopy

	// p is the content. Its capacity reaches to the end of the block, so that the
	// window's offset in the block is the block's size less cap(p). Nil once b is
	// released.
	p []byte

	blk   *block     // nil: a view without memory
	alloc *Allocator // also after the release, for the accounts of misuse

	// refs counts the holders of this view: 0 once it is released. Like a block's it
	// is stored plainly by a sole owner.
	refs int32

	debug    bool // the allocator's
	reserved int  // what the last Reserve promised
	user     any
	next     *Buffer // guarded by the owner of the free list that the view is in

	released atomic.Pointer[stack] // in debug mode: by whom
}

// noCopy lets go vet find copies of what must not be copied.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// AddRef takes another reference and returns b. Each reference is given up by one
// Release, from any goroutine.
func (b *Buffer) AddRef() *Buffer {
	if atomic.LoadInt32(&b.refs) <= 0 {
		b.misuse("AddRef")
		return b
	}
	atomic.AddInt32(&b.refs, 1)
	return b
}

// Release gives one reference up. With the last one the view ends: b must not be
// used any more, and the memory is reused when no other view and no queue holds
// it.
func (b *Buffer) Release() {
	if b.drop() {
		b.end(nil)
	}
}

// Bytes returns the content. It may be changed in place, by one who knows that no
// other view sees it, but not appended to; it is valid until the last Release and
// until the next Append, Reserve or Compact.
func (b *Buffer) Bytes() []byte {
	// Written out, and falling through, so that it can be inlined: a released Buffer
	// has no bytes.
	if atomic.LoadInt32(&b.refs) <= 0 {
		b.misuse("Bytes")
	}
	return b.p[:len(b.p):len(b.p)]
}

// Len returns the number of bytes of content.
func (b *Buffer) Len() int {
	if b.dead() {
		b.misuse("Len")
		return 0
	}
	return len(b.p)
}

// Cap returns how long the content can become without moving: it reaches from the
// start of the view to the end of its block. The room behind the content may be
// used, by Append and Reserve, only while no one else looks at the block.
func (b *Buffer) Cap() int {
	if b.dead() {
		b.misuse("Cap")
		return 0
	}
	return cap(b.p)
}

// UserData returns what SetUserData stored, else nil. It goes with the Buffer into
// a queue and comes back with its completion. Slices and splits start without.
func (b *Buffer) UserData() any {
	if b.dead() {
		b.misuse("UserData")
		return nil
	}
	return b.user
}

// SetUserData stores v with this view.
func (b *Buffer) SetUserData(v any) {
	if b.dead() {
		b.misuse("SetUserData")
		return
	}
	b.user = v
}

// Slice returns a new view of the bytes from i to j, with a reference of its own
// that the caller must release. It may go to another goroutine. As long as it
// exists, Append and Reserve on b panic.
func (b *Buffer) Slice(i, j int) *Buffer {
	if b.dead() {
		b.misuse("Slice")
		return newView(nil, b.alloc, nil, noBytes)
	}
	if i < 0 || j < i || j > len(b.p) {
		panicRange("Slice", j, len(b.p))
	}
	return b.view(b.p[i:j])
}

// Split takes the first n bytes off b and returns them as a new view, as Slice
// does. What remains in b is what followed them.
func (b *Buffer) Split(n int) *Buffer {
	if b.dead() {
		b.misuse("Split")
		return newView(nil, b.alloc, nil, noBytes)
	}
	if n < 0 || n > len(b.p) {
		panicRange("Split", n, len(b.p))
	}
	v := b.view(b.p[:n])
	b.p = b.p[n:]
	return v
}

// dead reports whether b has been released and not been handed out again since.
func (b *Buffer) dead() bool { return atomic.LoadInt32(&b.refs) <= 0 }

// sole reports whether the caller's is the only reference on this view.
func (b *Buffer) sole() bool { return atomic.LoadInt32(&b.refs) == 1 }

// view makes another view of b's block.
func (b *Buffer) view(p []byte) *Buffer {
	if b.blk != nil {
		b.blk.acquire(b.sole())
	}
	return newView(nil, b.alloc, b.blk, p)
}

// drop gives one reference on the view up and reports whether it was the last; if
// so the caller must end it. A count of 1 is the caller's own, and nobody else can
// change it: no locked instruction is needed. In debug mode it is done atomically,
// so that two releases at the same time are noticed too.
func (b *Buffer) drop() (last bool) {
	if atomic.LoadInt32(&b.refs) == 1 && !b.debug {
		b.refs = 0
		return true
	}
	return b.dropCounted()
}

func (b *Buffer) dropCounted() (last bool) {
	if !b.dead() { // else it may be in a free list, whose owner changes it plainly
		n := atomic.AddInt32(&b.refs, -1)
		if n >= 0 {
			return n == 0
		}
		atomic.AddInt32(&b.refs, 1)
	}
	b.misuse("Release")
	return false
}

// end takes leave of a view without references. Everything in b is written before
// the block is dropped: from then on someone else may hand b out again.
func (b *Buffer) end(k *Cache) {
	if b.user != nil {
		b.user = nil
	}
	b.p = nil
	b.reserved = 0
	if b.debug {
		b.released.Store(new(callers()))
	}
	blk := b.blk
	if blk == nil || b != &blk.first {
		freeView(k, b)
	}
	if blk != nil && blk.drop() {
		putAway(k, blk)
	}
}

// putAway stores a block that nobody holds: in k's free list if that is possible.
func putAway(k *Cache, blk *block) {
	if k != nil && k.a == blk.alloc {
		k.put(blk)
		return
	}
	blk.alloc.give(blk)
}

// newView makes a view of p, which is a part of blk. The new view takes over a
// reference on blk from the caller. blk is nil for a view without memory.
func newView(k *Cache, a *Allocator, blk *block, p []byte) *Buffer {
	var v *Buffer
	switch {
	case a.debug: // never reused, so that a stale pointer stays recognisable
	case k != nil && k.views != nil:
		v = k.views
		k.views = v.next
		v.next = nil
		k.nviews--
	default:
		v, _ = a.views.Get().(*Buffer)
	}
	if v == nil {
		v = new(Buffer)
	}
	v.p = p
	v.blk = blk
	v.alloc = a
	v.debug = a.debug
	v.refs = 1
	return v
}

func freeView(k *Cache, v *Buffer) {
	v.blk = nil
	switch {
	case v.debug:
	case k != nil && k.nviews < maxSpare:
		v.next = k.views
		k.views = v
		k.nviews++
	default:
		v.alloc.views.Put(v)
	}
}

// noBytes is the content of a view without memory.
var noBytes = []byte{}
