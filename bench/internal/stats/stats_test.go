package stats_test

import (
	"slices"
	"testing"

	"github.com/sluice-net/sluice/bench/internal/stats"
)

func TestSummarize(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   stats.Summary
	}{
		{"none", nil, stats.Summary{}},
		{"one", []float64{3}, stats.Summary{Median: 3, Min: 3, Max: 3}},
		{"odd", []float64{9, 1, 4}, stats.Summary{Median: 4, Min: 1, Max: 9}},
		{"even", []float64{4, 1, 9, 2}, stats.Summary{Median: 3, Min: 1, Max: 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.values)
			if got := stats.Summarize(tt.values); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if !slices.Equal(before, tt.values) {
				t.Errorf("values reordered: %v", tt.values)
			}
		})
	}
}

// The median of the ratios isn't the ratio of the medians: here the machine
// slowed down for one repetition, and both servers with it.
func TestRatiosArePairwise(t *testing.T) {
	got, err := stats.Ratios([]float64{1, 20, 3}, []float64{2, 40, 6})
	if err != nil {
		t.Fatal(err)
	}
	if s := stats.Summarize(got); s != (stats.Summary{Median: 0.5, Min: 0.5, Max: 0.5}) {
		t.Errorf("got %+v", s)
	}
}

func TestRatiosRefuse(t *testing.T) {
	if _, err := stats.Ratios([]float64{1}, []float64{1, 2}); err == nil {
		t.Error("different lengths accepted")
	}
	if _, err := stats.Ratios([]float64{1}, []float64{0}); err == nil {
		t.Error("base 0 accepted")
	}
}
