package stats

import (
	"fmt"
	"slices"
)

// A Summary describes one figure over the repetitions.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Summarize returns the zero Summary for no values. It keeps the order of
// values.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	median := sorted[mid]
	if len(sorted)%2 == 0 {
		median = (sorted[mid-1] + sorted[mid]) / 2
	}
	return Summary{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// Ratios divides values by base, repetition by repetition.
func Ratios(values, base []float64) ([]float64, error) {
	if len(values) != len(base) {
		return nil, fmt.Errorf("stats: %d values against %d of the base", len(values), len(base))
	}
	ratios := make([]float64, len(values))
	for i := range values {
		if base[i] == 0 {
			return nil, fmt.Errorf("stats: base is 0 in repetition %d", i+1)
		}
		ratios[i] = values[i] / base[i]
	}
	return ratios, nil
}
