package result

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Compress returns the same times in a tenth of the memory. Whatever is asked of them then
// expands them each time: for several questions [Histogram.Expand] them first.
func (h *Histogram) Compress() *Histogram {
	if h.Count() == 0 || h.sparse == nil {
		return h
	}
	c := codecs.Get().(*codec)
	defer codecs.Put(c)
	return &Histogram{compressed: c.encode(h.buckets()), count: h.Count()}
}

// buckets are those of an expanded one.
func (h *Histogram) buckets() []bucket {
	all := make([]bucket, 0, h.sparse.Populated())
	h.sparse.ForEachBucket(func(value, count int64) bool {
		all = append(all, bucket{value, count})
		return true
	})
	return all
}

// equal reports whether two are the same. Of one that's compressed and one that isn't it
// doesn't know.
func (h *Histogram) equal(o *Histogram) bool {
	switch {
	case h.Count() == 0 || o.Count() == 0:
		return h.Count() == o.Count()
	case h.Count() != o.Count() || (h.sparse == nil) != (o.sparse == nil):
		return false
	case h.sparse == nil:
		return bytes.Equal(h.compressed, o.compressed)
	default:
		return slices.Equal(h.buckets(), o.buckets())
	}
}

// Expand returns the same times as they're quickest to read: h itself, if it's expanded
// already. nil has none.
func (h *Histogram) Expand() *Histogram {
	switch {
	case h == nil:
		return NewHistogram()
	case h.sparse != nil:
		return h
	}
	c := codecs.Get().(*codec)
	defer codecs.Put(c)
	c.mustDecode(h.compressed)
	expanded := NewHistogram()
	for _, b := range c.buckets {
		_ = expanded.sparse.RecordValues(b.value, b.count) // in range
	}
	return expanded
}

// clone is independent of h.
func (h *Histogram) clone() *Histogram {
	switch {
	case h == nil:
		return nil
	case h.sparse == nil:
		return &Histogram{compressed: h.compressed, count: h.count}
	}
	return &Histogram{sparse: h.sparse.Clone()}
}

// expand makes h ready for changes.
func (h *Histogram) expand() {
	if h.sparse == nil {
		*h = *h.Expand()
	}
}

// MarshalText implements encoding.TextMarshaler.
func (h *Histogram) MarshalText() ([]byte, error) {
	if h = h.Compress(); h.sparse != nil {
		return h.sparse.Encode() // there's nothing in it
	}
	return base64.StdEncoding.AppendEncode(nil, h.compressed), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. The histogram is compressed afterwards.
func (h *Histogram) UnmarshalText(text []byte) error {
	encoded, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	c := codecs.Get().(*codec)
	defer codecs.Put(c)
	switch err := c.decode(encoded); {
	case errors.Is(err, errForeign):
		return h.convert(text)
	case err != nil:
		return fmt.Errorf("histogram: %w", err)
	}
	*h = Histogram{compressed: encoded}
	for _, b := range c.buckets {
		if h.count += uint64(b.count); int64(h.count) < 0 {
			return fmt.Errorf("histogram: %w: nothing has so many times", errCorrupt)
		}
	}
	return nil
}

// convert takes a histogram with another range.
func (h *Histogram) convert(text []byte) error {
	foreign, err := hdr.DecodePacked(text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	own := NewHistogram()
	if dropped := own.sparse.Merge(foreign); dropped > 0 {
		return fmt.Errorf("histogram: %d values are beyond %v", dropped, histogramHigh)
	}
	*h = *own.Compress()
	return nil
}

// Compress returns the interval with its histograms compressed. Those that are equal share
// their memory: in a closed loop the round trips are the same, corrected or not, and in a
// reply of one piece the first byte came with the last. The interval itself stays as it is.
func (i Interval) Compress() Interval {
	all := map[Metric]*Histogram{}
	for m, h := range i.Histograms {
		if h.Count() == 0 {
			continue
		}
		for other, compressed := range all {
			if i.Histograms[other].equal(h) {
				all[m] = compressed.clone()
				break
			}
		}
		if all[m] == nil {
			all[m] = h.Compress()
		}
	}
	i.Histograms = all
	return i
}
