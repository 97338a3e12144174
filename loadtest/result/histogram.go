package result

import (
	"fmt"
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

// A Histogram has times, sparsely: a few bytes for each different one. Its text is
// HdrHistogram's V2 compressed encoding in base64, which other tools read.
type Histogram struct {
	packed *hdr.PackedHistogram
}

// NewHistogram returns an empty one.
func NewHistogram() *Histogram {
	return &Histogram{hdr.NewPacked(int64(histogramLow), int64(histogramHigh), histogramDigits)}
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
	h.packed.MergeFrom(r.dense)
	r.dense.Reset()
}

// Record counts a time. What is out of range counts as the nearest that isn't.
func (h *Histogram) Record(d time.Duration) {
	_ = h.packed.RecordValue(int64(min(max(d, histogramLow), histogramHigh)))
}

// Merge adds another's counts; nil has none.
func (h *Histogram) Merge(o *Histogram) {
	if o != nil {
		h.packed.Merge(o.packed)
	}
}

// Count is how many times there are.
func (h *Histogram) Count() uint64 {
	if h == nil {
		return 0
	}
	return uint64(h.packed.TotalCount())
}

// Percentile is the time that p in a hundred didn't exceed; 0 if there is none.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.packed.ValueAtPercentile(p))
}

// Max is the longest, within the precision; 0 if there is none.
func (h *Histogram) Max() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.packed.Max())
}

// Min is the shortest, within the precision; 0 if there is none.
func (h *Histogram) Min() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.packed.Min())
}

// Mean is the average, within the precision; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(math.Round(h.packed.Mean()))
}

// StdDev is the standard deviation, within the precision; 0 if there is none.
func (h *Histogram) StdDev() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(math.Round(h.packed.StdDev()))
}

// Buckets calls f with each time that occurred, ascending, and how often, until f returns
// false.
func (h *Histogram) Buckets(f func(d time.Duration, n uint64) bool) {
	if h.Count() == 0 {
		return
	}
	h.packed.ForEachBucket(func(value, count int64) bool { return f(time.Duration(value), uint64(count)) })
}

// MarshalText implements encoding.TextMarshaler.
func (h *Histogram) MarshalText() ([]byte, error) { return h.packed.Encode() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Histogram) UnmarshalText(text []byte) error {
	packed, err := hdr.DecodePacked(text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	// Into one of ours: a foreign one may have another range.
	own := NewHistogram()
	if dropped := own.packed.Merge(packed); dropped > 0 {
		return fmt.Errorf("histogram: %d values are beyond %v", dropped, histogramHigh)
	}
	*h = *own
	return nil
}
