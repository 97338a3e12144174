package stats_test

import (
	"math"
	"testing"

	"github.com/sluice-net/sluice/bench/internal/stats"
)

func TestQuantile(t *testing.T) {
	var h stats.Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("median of nothing: %v", got)
	}
	for i := range int64(100_000) {
		h.Add((i * 7919) % 100_000)
	}
	for _, q := range []float64{0.001, 0.5, 0.99, 0.999, 1} {
		want := q * 100_000
		if got := h.Quantile(q); math.Abs(got-want) > 0.01*want+1 {
			t.Errorf("quantile %v: got %v, want about %v", q, got, want)
		}
	}
	if h.Count() != 100_000 {
		t.Errorf("count %d", h.Count())
	}
	h.Reset()
	if h.Count() != 0 || h.Quantile(1) != 0 {
		t.Error("Reset has left something")
	}
}

// A bucket is at most 1.6 % wide, wherever it is, and nothing is out of range.
func TestHistogramIsExactEnough(t *testing.T) {
	for v := int64(1); v > 0 && v < 1<<40; v = v*5/4 + 1 {
		var h stats.Histogram
		h.Add(v)
		if got := h.Quantile(0.5); math.Abs(got-float64(v)) > 0.008*float64(v) {
			t.Errorf("%d is counted as %v", v, got)
		}
	}
	var h stats.Histogram
	h.Add(-1)
	h.Add(math.MaxInt64)
	if h.Quantile(0) != 0 || h.Quantile(1) < 1<<39 {
		t.Errorf("ends: %v, %v", h.Quantile(0), h.Quantile(1))
	}
}
