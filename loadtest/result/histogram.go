package result

import (
	"math"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// The range and precision of every histogram, so that any two can be merged.
const (
	histogramLow    = time.Nanosecond
	histogramHigh   = time.Hour
	histogramDigits = 3
)

// A Histogram has times. Its text is HdrHistogram's V2 compressed encoding in base64, which
// other tools read. In memory it's expanded, a few bytes for each different time, or
// compressed to a tenth of that, which is what a long run keeps; both have the same methods.
type Histogram struct {
	sparse     *hdr.PackedHistogram // nil: it's compressed
	compressed []byte               // its text before base64; shared and never changed
	count      uint64               // of what is compressed
}

// NewHistogram returns an empty one.
func NewHistogram() *Histogram {
	return &Histogram{sparse: hdr.NewPacked(int64(histogramLow), int64(histogramHigh), histogramDigits)}
}

// A Recorder is a histogram for the hot path: 260 KB, and a few nanoseconds for a value.
type Recorder struct {
	dense *hdr.Histogram
}

// NewRecorder returns an empty one.
func NewRecorder() *Recorder {
	return &Recorder{hdr.New(int64(histogramLow), int64(histogramHigh), histogramDigits)}
}

// Record counts a time. What is out of range counts as the nearest that isn't.
func (r *Recorder) Record(d time.Duration) {
	_ = r.dense.RecordValue(int64(min(max(d, histogramLow), histogramHigh))) // in range by now
}

// MoveTo adds what was recorded to h, and is empty afterwards.
func (r *Recorder) MoveTo(h *Histogram) {
	if r.dense.TotalCount() == 0 {
		return
	}
	h.expand()
	h.sparse.MergeFrom(r.dense)
	r.dense.Reset()
}

// Record counts a time. What is out of range counts as the nearest that isn't.
func (h *Histogram) Record(d time.Duration) {
	h.expand()
	_ = h.sparse.RecordValue(int64(min(max(d, histogramLow), histogramHigh)))
}

// Merge adds another's counts; nil has none.
func (h *Histogram) Merge(o *Histogram) {
	if o.Count() > 0 {
		h.expand()
		h.sparse.Merge(o.Expand().sparse)
	}
}

// Count is how many times there are.
func (h *Histogram) Count() uint64 {
	switch {
	case h == nil:
		return 0
	case h.sparse == nil:
		return h.count
	default:
		return uint64(h.sparse.TotalCount())
	}
}

// Percentile is the time that p in a hundred didn't exceed; 0 if there is none.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.Expand().sparse.ValueAtPercentile(p))
}

// Max is the longest, within the precision; 0 if there is none.
func (h *Histogram) Max() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.Expand().sparse.Max())
}

// Min is the shortest, within the precision; 0 if there is none.
func (h *Histogram) Min() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.Expand().sparse.Min())
}

// Mean is the average, within the precision; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(math.Round(h.Expand().sparse.Mean()))
}

// StdDev is the standard deviation, within the precision; 0 if there is none.
func (h *Histogram) StdDev() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(math.Round(h.Expand().sparse.StdDev()))
}

// Buckets calls f with each time that occurred, ascending, and how often, until f returns
// false.
func (h *Histogram) Buckets(f func(d time.Duration, n uint64) bool) {
	if h.Count() == 0 {
		return
	}
	h.Expand().sparse.ForEachBucket(func(value, count int64) bool { return f(time.Duration(value), uint64(count)) })
}
