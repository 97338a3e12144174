package stats

import "math/bits"

// The buckets of a Histogram: each doubling of the value is cut into 64.
const (
	bucketBits = 6
	maxBits    = 40
	buckets    = (maxBits-bucketBits-1)<<bucketBits + 2<<bucketBits
)

// A Histogram counts durations, in nanoseconds, in buckets that are at most 1.6 % wide, up
// to 18 minutes. Adding to it allocates nothing. It belongs to one goroutine.
type Histogram struct {
	counts [buckets]uint64
	n      uint64
}

// Add counts one value. What is out of range is counted at its end.
func (h *Histogram) Add(ns int64) {
	v := uint64(min(max(ns, 0), 1<<maxBits-1))
	h.counts[bucket(v)]++
	h.n++
}

// Count returns how many values were added.
func (h *Histogram) Count() uint64 { return h.n }

// Reset forgets everything.
func (h *Histogram) Reset() { *h = Histogram{} }

// Quantile returns a value that a share of q (0 to 1) doesn't exceed, or 0 of none.
func (h *Histogram) Quantile(q float64) float64 {
	rank := uint64(q * float64(h.n))
	var seen uint64
	for i, count := range h.counts {
		if seen += count; seen > rank || count > 0 && seen == h.n {
			return middle(i)
		}
	}
	return 0
}

// bucket: values below 128 have one each; above, the exponent chooses 64 of them, and the
// six bits behind the highest one among those.
func bucket(v uint64) int {
	e := max(0, bits.Len64(v)-bucketBits-1)
	return e<<bucketBits + int(v>>e)
}

// middle is the value in the middle of a bucket.
func middle(i int) float64 {
	e := max(0, i>>bucketBits-1)
	low := uint64(i-e<<bucketBits) << e
	return float64(low) + float64(uint64(1)<<e-1)/2
}
