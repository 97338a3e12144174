package compare

import (
	"fmt"
	"math"

	"github.com/sluice-net/sluice/loadtest/result"
)

// How many batches a run is put into. Fewer than 8 say too little about the noise; more than
// 20 make them shorter, and so more alike, for hardly a narrower interval.
const (
	minBatches = 8
	maxBatches = 20
)

// beyond is how many times must be beyond a percentile in each batch.
const beyond = 5

// resolution is the relative width of a histogram's buckets.
const resolution = 1e-3

// estimate is the metric of a run with its uncertainty; or a reason why there's none.
func (m metric) estimate(r *result.Result, figure float64) (e estimate, reason string) {
	var intervals []result.Interval
	for _, i := range r.Intervals {
		if i.Phase == result.Measure && i.Length > 0 {
			intervals = append(intervals, i)
		}
	}
	if len(intervals) < minBatches {
		return e, fmt.Sprintf("%d measured intervals are too few: measure longer", len(intervals))
	}
	for n := min(maxBatches, len(intervals)); n >= minBatches; n-- {
		batches := split(intervals, n)
		if m.kind != percentile {
			return m.estimateRatio(figure, batches), ""
		}
		if m.enough(batches) {
			return m.estimatePercentile(figure, batches), ""
		}
	}
	if m.p == 50 {
		return e, "too few, or in too few of the intervals: measure longer, or make more of them"
	}
	return e, fmt.Sprintf("too few for this percentile, or in too few of the intervals: each eighth of the time needs %.0f", beyond/(1-m.p/100))
}

// split makes n batches, in their order.
func split(intervals []result.Interval, n int) [][]result.Interval {
	batches := make([][]result.Interval, n)
	for i := range batches {
		batches[i] = intervals[i*len(intervals)/n : (i+1)*len(intervals)/n]
	}
	return batches
}

func (m metric) enough(batches [][]result.Interval) bool {
	for _, b := range batches {
		var n uint64
		for _, i := range b {
			n += i.Histograms[m.of].Count()
		}
		if float64(n)*(1-m.p/100) < beyond*0.999 {
			return false
		}
	}
	return true
}

func (m metric) estimateRatio(figure float64, batches [][]result.Interval) estimate {
	var values []float64
	for _, b := range batches {
		var counts result.Result
		for _, i := range b {
			i.Histograms = nil
			counts.Intervals = append(counts.Intervals, i)
		}
		values = append(values, *m.figure(counts.Total()))
	}
	return estimateOf(figure, values)
}

// estimatePercentile works on logarithms. What the batches' percentiles say of the variance
// is too little if the percentile of all is owed to one of them; that shows in leaving each
// out in turn (the jackknife), and the larger of both counts.
func (m metric) estimatePercentile(figure float64, batches [][]result.Interval) estimate {
	n := len(batches)
	values := make([]float64, n)
	before := []*result.Histogram{result.NewHistogram()} // the first 0, 1, 2 … batches
	each := make([]*result.Histogram, n)
	var batch result.Sum
	for i, b := range batches {
		for _, interval := range b {
			batch.Add(interval, m.of)
		}
		each[i] = batch.Histograms()[m.of]
		values[i] = m.logarithm(each[i])
		before = append(before, sum(before[i], each[i]))
	}
	without := make([]float64, n)
	after := result.NewHistogram()
	for i := n - 1; i >= 0; i-- {
		without[i] = m.logarithm(sum(before[i], after))
		after.Merge(each[i])
	}
	e := estimateOf(math.Log(figure), values)
	e.variance = max(e.variance, jackknife(without)/independence(values))
	e.variance += resolution * resolution / 12
	return e
}

func (m metric) logarithm(h *result.Histogram) float64 { return math.Log(float64(h.Percentile(m.p))) }

func sum(a, b *result.Histogram) *result.Histogram {
	s := result.NewHistogram()
	s.Merge(a)
	s.Merge(b)
	return s
}
