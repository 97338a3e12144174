package buffers

import (
	"sync"
	"sync/atomic"
)

// Stats is what an Allocator has done and what is outstanding. The figures are
// exact when nothing happens and every Cache has been published; while things
// happen they may be a moment apart from each other.
type Stats struct {
	Gets        uint64 // blocks handed out; a Buffer that grows into a larger one counts
	Puts        uint64 // blocks given back
	Misses      uint64 // blocks that had to be allocated, as far as the shared pools let it be known
	Outstanding int64  // Gets less Puts
	InUse       int64  // bytes: the capacity of the outstanding blocks, each counted once
	Pooled      int64  // bytes in the free lists of the Caches
	Quarantined int64  // bytes that Config.Debug keeps from reuse
	Misuses     uint64 // releases of a released Buffer and other uses of one
	Leaked      uint64 // followed Buffers that were dropped without a Release
}

// Stats adds up all counters.
func (a *Allocator) Stats() Stats {
	s := a.counters.sum()
	for c := range a.shared {
		p := &a.shared[c]
		gets, puts := p.gets.Load(), p.puts.Load()
		s.Gets += gets
		s.Outstanding += int64(gets - puts)
		s.InUse += int64(gets-puts) * int64(sizeOf(uint(c)))
		s.Misses += p.misses.Load()
	}
	gets, puts := a.large.gets.Load(), a.large.puts.Load()
	s.Gets += gets
	s.Outstanding += int64(gets - puts)
	s.InUse += a.large.inUse.Load()
	s.Misses += a.large.misses.Load()
	s.Puts = uint64(int64(s.Gets) - s.Outstanding)
	s.Quarantined = a.quarantine.bytes()
	s.Misuses = a.misuses.Load()
	s.Leaked = a.leaked.Load()
	return s
}

// Publish makes what k has done since the last time visible in Stats. Call it now
// and then, such as once per turn of a loop: it stores what has changed, mostly
// one value. It also applies a Trim.
func (k *Cache) Publish() {
	if k.epoch != k.a.epoch.Load() {
		k.settle()
	}
	c := k.count
	if c.gets.Load() != k.gets {
		c.gets.Store(k.gets)
	}
	if n := int64(k.gets - k.puts); c.outstanding.Load() != n {
		c.outstanding.Store(n)
	}
	if c.inUse.Load() != k.inUse {
		c.inUse.Store(k.inUse)
	}
	if c.pooled.Load() != k.held {
		c.pooled.Store(k.held)
	}
}

// counter is the public side of a Cache's figures: one writer, any reader.
type counter struct {
	gets        atomic.Uint64
	outstanding atomic.Int64
	inUse       atomic.Int64
	pooled      atomic.Int64
	_           [32]byte
}

// registry knows the counters of all Caches, and the totals of the closed ones.
type registry struct {
	mu     sync.Mutex
	open   map[*counter]struct{}
	closed Stats
}

func (r *registry) add() *counter {
	c := new(counter)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[*counter]struct{})
	}
	r.open[c] = struct{}{}
	return c
}

func (r *registry) remove(c *counter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	c.addTo(&r.closed)
}

func (r *registry) sum() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.closed
	for c := range r.open {
		c.addTo(&s)
	}
	return s
}

func (c *counter) addTo(s *Stats) {
	s.Gets += c.gets.Load()
	s.Outstanding += c.outstanding.Load()
	s.InUse += c.inUse.Load()
	s.Pooled += c.pooled.Load()
}
