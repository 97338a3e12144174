package buffers

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

// Config configures an Allocator. The zero value is useful.
type Config struct {
	// MaxPooled bounds the bytes that the free lists of all Caches of the Allocator
	// keep together. 0 means 64 MiB, a negative value that nothing is kept. The
	// shared pools behind the Caches aren't counted: the garbage collector empties
	// them.
	MaxPooled int64

	// Leaks selects how many Buffers the leak detector follows.
	Leaks Level

	// Debug makes misuse of a Buffer panic and overwrites released memory. It costs
	// much more than it seems to: use it in tests.
	Debug bool

	// OnLeak is called for each followed Buffer that became unreachable without
	// having been released. It runs on a goroutine of the runtime and must not
	// block. If nil, such Buffers are only counted in Stats.Leaked.
	OnLeak func(LeakReport)
}

const defaultMaxPooled = 64 << 20

// An Allocator hands out Buffers and reuses their memory. Its methods may be
// called from any goroutine. An Allocator needs no closing; its Caches do.
type Allocator struct {
	// Immutable.
	maxPooled int64
	leaks     Level
	debug     bool
	onLeak    func(LeakReport)

	// epoch counts the calls of Trim. Every operation of a Cache reads it, so it
	// shares a line with nothing that is written more often.
	epoch atomic.Uint32
	_     [64]byte

	// Each is safe by itself.
	shared   [classes]sharedPool
	large    largeCount
	blocks   sync.Pool // *block without memory
	views    sync.Pool // *Buffer
	segments sync.Pool // *segment

	// Atomic.
	leased  atomic.Int64 // what all Caches together may hold, ≤ maxPooled
	misuses atomic.Uint64
	leaked  atomic.Uint64

	// Guarded by their own locks.
	counters   registry
	tracker    tracker
	quarantine quarantine
}

// sharedPool is what all goroutines share for one size class. Counting costs one
// atomic addition for each Get and Put, since the bytes follow from the class.
type sharedPool struct {
	pool   bytebufferpool.Pool
	gets   atomic.Uint64 // those that didn't go through a Cache
	puts   atomic.Uint64
	misses atomic.Uint64 // all
	_      [64]byte
}

// largeCount counts oversize blocks, which have no pool.
type largeCount struct {
	gets   atomic.Uint64 // those that didn't go through a Cache
	puts   atomic.Uint64
	inUse  atomic.Int64  // bytes, likewise
	misses atomic.Uint64 // all
}

// New makes an Allocator.
func New(c Config) *Allocator {
	a := &Allocator{
		maxPooled: c.MaxPooled,
		leaks:     min(c.Leaks, LeaksAll),
		debug:     c.Debug,
		onLeak:    c.OnLeak,
	}
	if a.maxPooled == 0 {
		a.maxPooled = defaultMaxPooled
	}
	if a.maxPooled < 0 || a.debug {
		// In debug mode every released block has to pass through the quarantine.
		a.maxPooled = 0
	}
	return a
}

// Get returns an empty Buffer with room for at least n bytes. The caller holds its
// one reference.
func (a *Allocator) Get(n int) *Buffer {
	blk := a.take(n)
	a.follow(blk)
	return blk.open()
}

// Copy returns a Buffer with a copy of p.
func (a *Allocator) Copy(p []byte) *Buffer {
	b := a.Get(len(p))
	b.p = append(b.p, p...)
	return b
}

// Trim makes the Caches give back what their free lists hold, each at its next
// operation. The shared pools can't be trimmed: two garbage collections empty
// them. In debug mode Trim also checks all memory in quarantine, and panics if
// something was written to it after its release.
func (a *Allocator) Trim() {
	a.epoch.Add(1)
	if a.debug {
		a.quarantine.flush(a)
	}
}

// take is Get without a view: one counted block.
func (a *Allocator) take(n int) *block {
	if n < 0 {
		panic("buffers: size " + strconv.Itoa(n) + " is negative")
	}
	c := classOf(n)
	if c == oversize {
		a.large.gets.Add(1)
		a.large.inUse.Add(int64(n))
	} else {
		a.shared[c].gets.Add(1)
	}
	return a.load(c, n)
}

// give is the counterpart of take. The caller was the last holder.
func (a *Allocator) give(blk *block) {
	if c := blk.class; c == oversize {
		a.large.puts.Add(1)
		a.large.inUse.Add(-int64(len(blk.mem)))
	} else {
		a.shared[c].puts.Add(1)
	}
	a.store(blk)
}

// load finds or makes a block of class c with room for n bytes. It doesn't count
// it as handed out.
func (a *Allocator) load(c uint, n int) *block {
	blk, _ := a.blocks.Get().(*block)
	if blk == nil {
		blk = &block{alloc: a, refs: 1}
		blk.first.blk = blk
		blk.first.alloc = a
		blk.first.debug = a.debug
	}
	blk.class = uint8(c)
	if c == oversize {
		a.large.misses.Add(1)
		blk.mem = make([]byte, n)
		return blk
	}
	// A pool that hasn't calibrated itself yet makes buffers without room, and one
	// that calibrated itself on a handful of calls may make too small ones.
	s := &a.shared[c]
	size := sizeOf(c)
	bb := s.pool.Get()
	if cap(bb.B) < size {
		s.misses.Add(1)
		bb.B = make([]byte, size)
	}
	blk.bb = bb
	blk.mem = bb.B[:size:size]
	return blk
}

// store puts a block away that nobody looks at any more. It doesn't count it as
// given back.
func (a *Allocator) store(blk *block) {
	if blk.trace != nil {
		a.unfollow(blk)
	}
	if a.debug {
		a.quarantine.add(a, blk)
		return
	}
	a.recycle(uint(blk.class), blk.mem, blk.bb)
	blk.mem, blk.bb = nil, nil
	a.blocks.Put(blk)
}

// recycle returns memory to its shared pool. Its length is the class size, from
// which the pool's calibration learns what to make.
func (a *Allocator) recycle(c uint, mem []byte, bb *bytebufferpool.ByteBuffer) {
	if c == oversize {
		return
	}
	bb.B = mem
	a.shared[c].pool.Put(bb)
}
