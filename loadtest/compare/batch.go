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

// A run is a result with what is asked for by several metrics.
type run struct {
	measured []result.Interval
	sums     map[section][]*result.Histogram
}

// A section is a way to split a metric.
type section struct {
	of      result.Metric
	batches int
}

func newRun(r *result.Result) *run {
	all := &run{sums: map[section][]*result.Histogram{}}
	for _, i := range r.Intervals {
		if i.Phase == result.Measure && i.Length > 0 {
			all.measured = append(all.measured, i)
		}
	}
	return all
}

// histograms are those of a metric by batch. A night's are summed up once for all percentiles.
func (r *run) histograms(s section) []*result.Histogram {
	if all, ok := r.sums[s]; ok {
		return all
	}
	var sum result.Sum
	for _, b := range split(r.measured, s.batches) {
		for _, i := range b {
			sum.Add(i, s.of)
		}
		r.sums[s] = append(r.sums[s], sum.Histograms()[s.of])
	}
	return r.sums[s]
}

// estimate is the metric of a run with its uncertainty; or a reason why there's none.
func (m metric) estimate(r *run, figure float64) (e estimate, reason string) {
	if len(r.measured) < minBatches {
		return e, fmt.Sprintf("%d measured intervals are too few: measure longer", len(r.measured))
	}
	for n := min(maxBatches, len(r.measured)); n >= minBatches; n-- {
		batches := split(r.measured, n)
		if m.kind != percentile {
			return m.estimateRatio(figure, batches), ""
		}
		if m.enough(batches) {
			return m.estimatePercentile(figure, r.histograms(section{m.of, n})), ""
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
func (m metric) estimatePercentile(figure float64, each []*result.Histogram) estimate {
	n := len(each)
	values := make([]float64, n)
	before := []*result.Histogram{result.NewHistogram()} // the first 0, 1, 2 … batches
	for i, h := range each {
		values[i] = m.logarithm(h)
		before = append(before, sum(before[i], h))
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
