package buffers

// How the free lists are kept small. All Caches of an Allocator together hold at
// most Config.MaxPooled bytes. So that this costs nothing per operation, a Cache
// leases quota in chunks, and gives it back when it holds less. What wasn't used
// for a while goes back to the shared pools, by halves.

const (
	leaseChunk = 256 << 10

	// sweepInterval is how many puts, of all classes, there are between two sweeps:
	// a power of two.
	sweepInterval = 1024

	// maxSwept bounds the blocks of one class that one sweep gives back, and so the
	// time that it takes.
	maxSwept = 256
)

// extend makes sure that k may hold size bytes more, and reports whether it may. If more
// was released here than taken, it first gives back what it doesn't need: what others take
// from the shared pools would pile up until the next sweep.
func (k *Cache) extend(size int64) bool {
	if k.held+size <= k.lease {
		return true
	}
	if k.inUse < 0 && k.a.leased.Load() < k.a.maxPooled {
		k.sweep()
	}
	if need := k.held + size - k.lease; need > 0 {
		k.lease += k.a.grant(need)
	}
	return k.held+size <= k.lease
}

// grant leases at least need bytes, a whole chunk if there is as much, else
// nothing.
func (a *Allocator) grant(need int64) int64 {
	for {
		leased := a.leased.Load()
		left := a.maxPooled - leased
		if need > left {
			return 0
		}
		n := min(max(need, leaseChunk), left)
		if a.leased.CompareAndSwap(leased, leased+n) {
			return n
		}
	}
}

// settle applies a Trim that came since the last operation.
func (k *Cache) settle() {
	if k.closed {
		panic("buffers: use of a closed Cache")
	}
	if e := k.a.epoch.Load(); e != k.epoch {
		k.epoch = e
		k.empty()
	}
}

// sweep gives back half of the blocks that weren't needed since the last sweep,
// one at least, so that a class that is no longer used empties.
func (k *Cache) sweep() {
	k.settle()
	for c := range k.lists {
		l := &k.lists[c]
		k.shed(uint(c), min((l.low+1)/2, maxSwept))
		l.low = l.n
	}
	keep := (k.held + 2*leaseChunk - 1) / leaseChunk * leaseChunk
	k.unlease(keep)
	k.Publish()
}

// empty gives everything back.
func (k *Cache) empty() {
	for c := range k.lists {
		k.shed(uint(c), k.lists[c].n)
		k.lists[c].low = 0
	}
	k.unlease(0)
	k.views, k.nviews = nil, 0
	k.segments, k.nsegments = nil, 0
}

// shed moves n blocks of class c to the shared pool.
func (k *Cache) shed(c uint, n int) {
	l := &k.lists[c]
	for range n {
		blk := l.head
		l.pop(blk)
		k.held -= int64(len(blk.mem))
		k.a.store(blk)
	}
}

// unlease gives back what is leased above keep.
func (k *Cache) unlease(keep int64) {
	if k.lease > keep {
		k.a.leased.Add(keep - k.lease)
		k.lease = keep
	}
}
