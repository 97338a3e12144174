package report

import (
	"math"
	"slices"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// maxColumns is how many columns a chart over time has at most: more than one for every
// three pixels can't be told apart.
const maxColumns = 240

// A timeline is the run in columns, ready to be drawn.
type timeline struct {
	columns []column
	x       scale
	bands   []band
}

// A column is one interval, or several that follow each other.
type column struct {
	result.Interval
	timed time.Duration // the part of it in which messages were sent
}

func newTimeline(r *result.Result) timeline {
	slots := withoutShortDrain(bySlot(r), r.Load.Interval)
	each := (len(slots) + maxColumns - 1) / maxColumns
	var t timeline
	for len(slots) > 0 {
		n := 1
		for n < min(each, len(slots)) && slots[n].Phase == slots[0].Phase {
			n++
		}
		t.columns = append(t.columns, join(slots[:n], true))
		slots = slots[n:]
	}
	var end time.Duration
	for _, c := range t.columns {
		end = max(end, c.Start+c.Length)
	}
	t.x = elapsed(end)
	t.bands = t.shade()
	return t
}

// bySlot joins the intervals that began within half of one: a short phase and what came after
// it, or what several hosts had at the same time in different phases. What anyone measured
// counts as measured.
func bySlot(r *result.Result) []column {
	var slots []column
	for _, i := range r.Intervals {
		c := column{Interval: i, timed: i.Length}
		if i.Phase == result.Drain {
			c.timed = 0
		}
		last := len(slots) - 1
		if last < 0 || (i.Start-slots[last].Start)*2 >= max(r.Load.Interval, 1) || i.Phase == slots[last].Phase {
			slots = append(slots, c)
			continue
		}
		inTurn := !overlap(slots[last].Interval, i)
		if inTurn && slots[last].Phase == result.Connecting {
			slots[last].timed = 0
		}
		joined := join([]column{slots[last], c}, inTurn)
		if slots[last].Phase == result.Measure || i.Phase == result.Measure {
			joined.Phase = result.Measure
		}
		slots[last] = joined
	}
	return slots
}

// overlap reports whether two intervals were at the same time, for the most part.
func overlap(a, b result.Interval) bool {
	both := min(a.Start+a.Length, b.Start+b.Length) - max(a.Start, b.Start)
	return both*2 > min(a.Length, b.Length)
}

// withoutShortDrain joins the last replies to the column before them. By themselves they're
// so few that their percentiles would be a spike.
func withoutShortDrain(slots []column, interval time.Duration) []column {
	last := len(slots) - 1
	if last < 1 || slots[last].Phase != result.Drain || slots[last].Length*2 >= interval {
		return slots
	}
	before := slots[last-1]
	joined := join(slots[last-1:], true)
	joined.Length, joined.Open, joined.Hostile = before.Length, before.Open, before.Hostile
	joined.ClientCPU = before.ClientCPU
	return append(slots[:last-1:last-1], joined)
}

// drawn are the metrics that are drawn over time.
var drawn = []result.Metric{result.RoundTrip, result.RoundTripUncorrected, result.Lag}

// join makes one of several: one after the other, or all at the same time. Its histograms are
// those that are drawn.
func join(all []column, inTurn bool) column {
	sum := all[0]
	sum.Histograms = histograms(all)
	if len(all) == 1 {
		return sum
	}
	sum.Errors = map[result.ErrorKind]uint64{}
	sum.Counts = result.Counts{}
	for _, c := range all {
		open := sum.Open
		sum.Add(c.Counts)
		sum.Open = c.Open
		if !inTurn {
			sum.Open += open
		}
		for k, n := range c.Errors {
			sum.Errors[k] += n
		}
	}
	last := all[len(all)-1]
	sum.Hostile = last.Hostile
	sum.Length = last.Start + last.Length - sum.Start
	sum.timed = 0
	for _, c := range all {
		if inTurn {
			sum.timed += c.timed
		} else {
			sum.timed = max(sum.timed, c.timed)
		}
	}
	return sum
}

func histograms(all []column) map[result.Metric]*result.Histogram {
	if len(all) == 1 {
		one := map[result.Metric]*result.Histogram{}
		for _, m := range drawn {
			one[m] = all[0].Histograms[m].Expand()
		}
		return one
	}
	var sum result.Sum
	for _, c := range all {
		sum.Add(c.Interval, drawn...)
	}
	return sum.Histograms()
}

// shade marks what doesn't count.
func (t timeline) shade() []band {
	names := map[result.Phase]string{result.Warmup: "warm-up", result.Drain: "drain"}
	var all []band
	var before result.Phase
	for _, c := range t.columns {
		from, to := 100*t.x.at(float64(c.Start)), 100*t.x.at(float64(c.Start+c.Length))
		switch {
		case names[c.Phase] == "":
		case c.Phase == before:
			all[len(all)-1].Width = round(to - all[len(all)-1].From)
		default:
			all = append(all, band{From: round(from), Width: round(to - from), Label: names[c.Phase]})
		}
		before = c.Phase
	}
	return all
}

// middle is the place of a column.
func (t timeline) middle(c column) float64 { return t.x.at(float64(c.Start + c.Length/2)) }

// points are the places of one value per column, as a number or NaN.
func (t timeline) points(y scale, value func(column) float64) []point {
	all := make([]point, len(t.columns))
	for i, c := range t.columns {
		v := value(c)
		if !math.IsNaN(v) {
			v = y.at(v)
		}
		all[i] = point{t.middle(c), v}
	}
	return all
}

// has reports whether there's anything of a metric to draw.
func (t timeline) has(m result.Metric) bool {
	return slices.ContainsFunc(t.columns, func(c column) bool { return c.Histograms[m].Count() > 0 })
}

// highest is the largest of the values, and lowest the smallest.
func (t timeline) highest(value func(column) float64) float64 {
	highest := 0.0
	for _, c := range t.columns {
		if v := value(c); v > highest {
			highest = v
		}
	}
	return highest
}

func (t timeline) lowest(value func(column) float64) float64 {
	lowest := math.Inf(1)
	for _, c := range t.columns {
		if v := value(c); v < lowest {
			lowest = v
		}
	}
	return lowest
}

// chart begins one over this time.
func (t timeline) chart(id, title, yName string) *chart {
	c := &chart{ID: id, Title: title, YName: yName, Height: 200, Bands: t.bands}
	c.setX(t.x, func(at float64) string { return elapsedLabel(time.Duration(at)) })
	return c
}

// instants gives every column its values.
func (t timeline) instants(c *chart, values func(column) []string) {
	for _, col := range t.columns {
		what := elapsedLabel(col.Start) + " – " + elapsedLabel(col.Start+col.Length)
		c.instant(t.middle(col), what, values(col)...)
	}
}

func elapsedLabel(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return span(d)
}

// perSecond is a number of a column as a rate, or NaN where no time counts.
func perSecond(c column, n uint64) float64 {
	if c.timed <= 0 {
		return math.NaN()
	}
	return float64(n) / c.timed.Seconds()
}

// quantile is a percentile of a column, or NaN where there was nothing.
func quantile(c column, m result.Metric, p float64) float64 {
	if c.Histograms[m].Count() == 0 {
		return math.NaN()
	}
	return float64(c.Histograms[m].Percentile(p))
}
