package buffers

import "strconv"

// A Cache is a free list in front of the shared pools of an Allocator. It belongs
// to one goroutine at a time. What it hands out may be released anywhere, and it
// takes back what came from elsewhere.
//
// A Cache must be closed: its Allocator would otherwise go on counting what is in
// it as pooled.
type Cache struct {
	// Immutable.
	a     *Allocator
	count *counter // what Publish writes, others read

	// Owned by the goroutine that uses the Cache.
	epoch  uint32 // of the last Trim that was applied
	closed bool
	lists  [classes]freeList
	held   int64 // bytes in lists, ≤ lease
	lease  int64 // of a.leased
	gets   uint64
	puts   uint64
	inUse  int64 // bytes of Gets less bytes of puts: negative if others' blocks end here

	views     *Buffer // spare views and segments, at most maxSpare each
	segments  *segment
	nviews    int
	nsegments int
}

// freeList has the blocks of one class, last used first.
type freeList struct {
	head *block
	n    int
	low  int // the smallest n since the last sweep
}

// maxSpare bounds how many objects without memory a Cache keeps of each kind.
const maxSpare = 512

// NewCache makes a Cache.
func (a *Allocator) NewCache() *Cache {
	return &Cache{a: a, count: a.counters.add(), epoch: a.epoch.Load()}
}

// Allocator returns the Allocator that k is in front of.
func (k *Cache) Allocator() *Allocator { return k.a }

// Get is Allocator.Get from the free list.
func (k *Cache) Get(n int) *Buffer {
	blk := k.take(n)
	if k.a.leaks != LeaksOff {
		k.follow(blk)
	}
	return blk.open()
}

// Release is b.Release, but a block whose last reference this was stays in the
// free list. A nil Cache releases to the shared pools.
func (k *Cache) Release(b *Buffer) {
	if b.drop() {
		b.end(k)
	}
}

// take is Get without a view: one counted block.
func (k *Cache) take(n int) *block {
	c := classOf(n)
	if c < classes && k.epoch == k.a.epoch.Load() {
		l := &k.lists[c]
		if blk := l.head; blk != nil && n >= 0 {
			size := int64(sizeOf(c))
			l.pop(blk)
			k.held -= size
			k.inUse += size
			k.gets++
			return blk
		}
	}
	return k.takeShared(c, n)
}

func (k *Cache) takeShared(c uint, n int) *block {
	k.settle()
	if n < 0 {
		panic("buffers: size " + strconv.Itoa(n) + " is negative")
	}
	blk := k.a.load(c, n)
	k.gets++
	k.inUse += int64(len(blk.mem))
	return blk
}

// put takes a block back that nobody holds and that came from k's allocator.
func (k *Cache) put(blk *block) {
	size := int64(len(blk.mem))
	k.inUse -= size
	k.puts++
	if k.puts%sweepInterval == 0 {
		k.sweep()
	}
	if blk.trace != nil || blk.class == oversize || k.epoch != k.a.epoch.Load() || k.held+size > k.lease {
		if !k.admit(blk) {
			k.a.store(blk)
			return
		}
	}
	k.held += size
	k.lists[blk.class].push(blk)
}

// admit is the slow part of put. It reports whether the free list may keep blk.
func (k *Cache) admit(blk *block) bool {
	k.settle()
	if blk.trace != nil {
		k.a.unfollow(blk)
	}
	return blk.class != oversize && k.extend(int64(len(blk.mem)))
}

func (l *freeList) push(blk *block) {
	blk.next = l.head
	l.head = blk
	l.n++
}

// pop removes the first block, blk.
func (l *freeList) pop(blk *block) {
	l.head = blk.next
	blk.next = nil
	l.n--
	if l.n < l.low {
		l.low = l.n
	}
}

// Close gives everything back to the shared pools. k must not be used afterwards,
// except that it may be closed again.
func (k *Cache) Close() {
	if k.closed {
		return
	}
	k.empty()
	k.Publish()
	k.a.counters.remove(k.count)
	k.closed = true
	k.epoch = k.a.epoch.Load() - 1 // so that the next operation finds out
}
