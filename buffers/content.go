package buffers

import (
	"strconv"
	"unsafe"
)

// This file has what changes a view's content: Append, Reserve and Commit behind
// it, Consume in front of it, and Compact.

// Append adds a copy of p to the content, in a larger block if there is no room.
// It panics if anyone else looks at the block: another view, or a queue that b was
// written to. p may be a part of b.
func (b *Buffer) Append(p []byte) {
	if !b.writable("Append") {
		return
	}
	b.reserved = 0
	if len(p) <= cap(b.p)-len(b.p) {
		b.p = append(b.p, p...)
		return
	}
	old := b.makeRoom(len(p), p)
	b.p = append(b.p, p...)
	if old != nil {
		b.alloc.give(old) // only now: p may have been in there
	}
}

// Reserve returns exactly n writable bytes behind the content, in a larger block
// if there is no room. They become content by Commit; another Append or Reserve
// takes them back. It panics where Append does.
func (b *Buffer) Reserve(n int) []byte {
	if n < 0 {
		panic("buffers: Reserve of " + strconv.Itoa(n) + " bytes")
	}
	if !b.writable("Reserve") {
		return make([]byte, n)
	}
	if n > cap(b.p)-len(b.p) {
		if old := b.makeRoom(n, nil); old != nil {
			b.alloc.give(old)
		}
	}
	b.reserved = n
	end := len(b.p)
	return b.p[end : end+n : end+n]
}

// Commit makes the first n of the reserved bytes content. The rest is no longer
// reserved. It panics if n is more than what was reserved.
func (b *Buffer) Commit(n int) {
	if b.dead() {
		b.misuse("Commit")
		return
	}
	if n < 0 || n > b.reserved {
		panic("buffers: Commit of " + strconv.Itoa(n) + " bytes, " +
			strconv.Itoa(b.reserved) + " were reserved")
	}
	b.p = b.p[:len(b.p)+n]
	b.reserved = 0
}

// Consume drops the first n bytes from this view. Other views keep theirs.
func (b *Buffer) Consume(n int) {
	if b.dead() {
		b.misuse("Consume")
		return
	}
	if n < 0 || n > len(b.p) {
		panicRange("Consume", n, len(b.p))
	}
	b.p = b.p[n:]
}

// Compact saves memory when little content holds a large block. If the content
// fits into a smaller size class, it is copied into a new Buffer, which gets b's
// user data and which the caller holds one reference on; the caller's reference on
// b is released. Otherwise b itself is returned and nothing changes. Contents above
// 1 MiB have no class: they move if that saves half of the block. Use it as
//
//	b = b.Compact()
func (b *Buffer) Compact() *Buffer {
	if b.dead() {
		b.misuse("Compact")
		return b
	}
	if b.blk == nil {
		return b
	}
	if c := classOf(len(b.p)); c == uint(b.blk.class) {
		if c != oversize || len(b.p) > len(b.blk.mem)/2 {
			return b
		}
	}
	v := b.alloc.Copy(b.p)
	v.user = b.user
	b.Release()
	return v
}

// writable reports whether b's content may grow. It panics if the block is shared.
func (b *Buffer) writable(op string) bool {
	if b.dead() {
		b.misuse(op)
		return false
	}
	if b.blk != nil && b.blk.shared() {
		panic("buffers: " + op + " to a shared or queued Buffer (take a Slice or Copy)")
	}
	return true
}

// makeRoom makes room for n bytes behind the content, of a view that is the only
// one of its block. add is what will be appended, or nil. If the content went to
// other memory the old one is returned, still intact, for the caller to give back.
func (b *Buffer) makeRoom(n int, add []byte) (old *block) {
	if b.blk == nil {
		b.blk = b.alloc.take(n)
		b.alloc.follow(b.blk)
		b.p = b.blk.mem[:0]
		return nil
	}
	mem := b.blk.mem
	need := len(b.p) + n

	// Moving to the front of the same block must pay for itself: it copies no more
	// than what Consume has set free since the last time.
	if need <= len(mem) && len(mem)-cap(b.p) >= len(b.p) && !within(add, mem) {
		b.p = mem[:copy(mem, b.p)]
		return nil
	}
	old = b.alloc.take(grown(len(mem), need))
	b.p = append(old.mem[:0], b.p...)
	b.blk.exchange(old)
	return old
}

// within reports whether p begins inside mem.
func within(p, mem []byte) bool {
	d := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	return len(p) > 0 && d < uintptr(len(mem))
}

func panicRange(op string, n, length int) {
	panic("buffers: " + op + " of " + strconv.Itoa(n) + " bytes from a Buffer of " + strconv.Itoa(length))
}
