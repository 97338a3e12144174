package reactor

import (
	"slices"
	"sync/atomic"
	"time"
)

// CallBounds are the classes of how long calls take.
var CallBounds = []time.Duration{
	10 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Histogram counts durations by classes. Observe is for one goroutine, such as a loop;
// any goroutine may add up what's there.
type Histogram struct {
	bounds []time.Duration // the classes' upper bounds, which belong to them
	counts []atomic.Uint64 // one more: what's beyond
	sum    atomic.Int64
}

// NewHistogram makes one with these bounds, which rise and aren't changed any more.
func NewHistogram(bounds []time.Duration) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts d; below 0 counts as 0.
func (h *Histogram) Observe(d time.Duration) { h.observe(d, 1, d) }

// observe counts d as one of several, which are so long together.
func (h *Histogram) observe(d time.Duration, several int, together time.Duration) {
	i, _ := slices.BinarySearch(h.bounds, d)
	h.counts[i].Store(h.counts[i].Load() + uint64(several))
	h.sum.Store(h.sum.Load() + int64(max(together, 0)))
}

// Durations are what Histograms have counted. The zero value is the sum of none.
type Durations struct {
	Bounds []time.Duration // the classes' upper bounds, which belong to them; not to be changed
	Counts []uint64        // of each class, and of what's beyond the last
	Sum    time.Duration
}

// Count is how many they are.
func (d Durations) Count() (n uint64) {
	for _, c := range d.Counts {
		n += c
	}
	return n
}

// Plus is the sum of two with the same bounds.
func (d Durations) Plus(o Durations) Durations {
	if d.Counts == nil {
		return o
	}
	sum := Durations{Bounds: d.Bounds, Counts: slices.Clone(d.Counts), Sum: d.Sum + o.Sum}
	for i, n := range o.Counts {
		sum.Counts[i] += n
	}
	return sum
}

// Durations are what h has counted.
func (h *Histogram) Durations() Durations {
	d := Durations{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		d.Counts[i] = h.counts[i].Load()
	}
	return d
}
