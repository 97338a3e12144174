package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// optional is a value in words, or a dash where there is none.
func optional(v float64, words func(float64) string) string {
	if math.IsNaN(v) {
		return "–"
	}
	return words(v)
}

func timeWords(ns float64) string { return duration(time.Duration(ns)) }

func rateWords(perSecond float64) string { return rate(perSecond) + "/s" }

func countWords(n float64) string { return count(uint64(n)) }

// throughput is replies per second, beside what was planned.
func throughput(r *result.Result, t timeline, total result.Total) *chart {
	received := func(c column) float64 { return perSecond(c, c.Received) }
	planned := r.Load.Rate // 0: a closed loop
	y := fromZero(max(t.highest(received), planned), false)
	c := t.chart("throughput", "Throughput", "replies per second")
	c.Desc = fmt.Sprintf("%s replies per second over the whole run; the highest was %s.", rate(total.Rate(total.Received)), rate(t.highest(received)))
	c.setY(y, scaled)
	points := t.points(y, received)
	c.line("received", "main", rateWords(total.Rate(total.Received)), points)
	c.fill(points)
	if planned > 0 {
		c.line("planned", "plan", rateWords(planned), []point{{0, y.at(planned)}, {1, y.at(planned)}})
	}
	t.instants(c, func(col column) []string {
		values := []string{optional(received(col), rateWords)}
		if planned > 0 {
			values = append(values, rateWords(planned))
		}
		return values
	})
	return c
}

// overTime are the lines of the percentiles. Their classes get darker and thicker with the
// part of the replies that they leave out.
var overTime = []struct {
	name, class string
	p           float64
}{
	{"p50", "low", 50}, {"p99", "mid", 99}, {"p99.9", "high", 99.9}, {"longest", "top", 100},
}

// latencies are percentiles of the round trip; nil if there was none.
func latencies(r *result.Result, t timeline, total result.Total) *chart {
	if !t.has(result.RoundTrip) {
		return nil
	}
	c := t.chart("latency", "Round trip over time", logarithmicTime)
	y := timeScale(t, result.RoundTrip, overTime[0].p)
	c.setY(y, tickDuration)
	whole := total.Histograms[result.RoundTrip]
	for _, l := range overTime {
		c.line(l.name, l.class, timeOrDash(whole, l.p),
			t.points(y, func(col column) float64 { return quantile(col, result.RoundTrip, l.p) }))
	}
	uncorrected := hasBoth(r, total)
	if uncorrected {
		c.line("p99 uncorrected", "other", timeOrDash(total.Histograms[result.RoundTripUncorrected], 99),
			t.points(y, func(col column) float64 { return quantile(col, result.RoundTripUncorrected, 99) }))
		c.Note = "Counted from when a message was planned to be sent (corrected); the dashed line counts from when it was sent."
	}
	c.Desc = fmt.Sprintf("Of the whole run: median %s, p99 %s, longest %s.",
		timeOrDash(whole, 50), timeOrDash(whole, 99), timeOrDash(whole, 100))
	t.instants(c, func(col column) []string {
		var values []string
		for _, l := range overTime {
			values = append(values, optional(quantile(col, result.RoundTrip, l.p), timeWords))
		}
		if uncorrected {
			values = append(values, optional(quantile(col, result.RoundTripUncorrected, 99), timeWords))
		}
		return values
	})
	return c
}

// timeScale has room for a metric, which there is, from a percentile to the longest.
func timeScale(t timeline, m result.Metric, from float64) scale {
	lowest := t.lowest(func(c column) float64 { return quantile(c, m, from) })
	highest := t.highest(func(c column) float64 { return quantile(c, m, 100) })
	return logarithmic(lowest, highest)
}

// logarithmicTime names an axis.
const logarithmicTime = "time, logarithmic"

func timeOrDash(h *result.Histogram, p float64) string {
	if h.Count() == 0 {
		return "–"
	}
	return duration(h.Percentile(p))
}

// hasBoth reports whether the corrected and the uncorrected round trip are different things.
func hasBoth(r *result.Result, total result.Total) bool {
	return r.Load.Mode == result.OpenLoop && total.Histograms[result.RoundTripUncorrected].Count() > 0
}

// connections is how many were open, and how fast they were made.
func connections(t timeline, total result.Total) *chart {
	open := func(c column) float64 { return float64(c.Open) }
	y := fromZero(t.highest(open), true)
	c := t.chart("connections", "Connections", "open")
	c.Desc = fmt.Sprintf("At most %s connections were open at a time.", count(uint64(t.highest(open))))
	c.setY(y, scaled)
	points := t.points(y, open)
	c.line("open", "main", "at most "+count(uint64(t.highest(open))), points)
	c.fill(points)
	made := func(col column) string { return rate(float64(col.Connected)/max(col.Length.Seconds(), 1e-9)) + "/s" }
	c.Series = append(c.Series,
		series{Name: "made", Class: "none", Value: count(sumOf(t, func(c column) uint64 { return c.Connected }))},
		series{Name: "ended", Class: "none", Value: count(sumOf(t, func(c column) uint64 { return c.Closed }))})
	t.instants(c, func(col column) []string {
		return []string{count(col.Open), made(col), rate(float64(col.Closed)/max(col.Length.Seconds(), 1e-9)) + "/s"}
	})
	return c
}

func sumOf(t timeline, value func(column) uint64) uint64 {
	var sum uint64
	for _, c := range t.columns {
		sum += value(c)
	}
	return sum
}

// hostiles are the connections of clients that misbehave on purpose; nil without any.
func hostiles(t timeline) *chart {
	var kinds []string
	highest := 0.0
	for _, c := range t.columns {
		for kind, n := range c.Hostile {
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
			highest = max(highest, float64(n))
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	slices.Sort(kinds)
	y := fromZero(highest, true)
	c := t.chart("hostile", "Hostile clients", "connections open")
	c.Note = "Connections that misbehave on purpose, beside those that are measured."
	c.Desc = fmt.Sprintf("%d kinds of hostile clients, at most %s connections of a kind.", len(kinds), count(uint64(highest)))
	c.setY(y, scaled)
	for i, kind := range kinds {
		of := func(c column) float64 { return float64(c.Hostile[kind]) }
		c.line(kind, fmt.Sprintf("kind%d", i%6), "at most "+count(uint64(t.highest(of))), t.points(y, of))
	}
	t.instants(c, func(col column) []string {
		var values []string
		for _, kind := range kinds {
			values = append(values, count(col.Hostile[kind]))
		}
		return values
	})
	return c
}

// errorsOverTime are the errors of all kinds in each interval; nil without any.
func errorsOverTime(t timeline) *chart {
	all := func(c column) float64 {
		sum := uint64(0)
		for _, n := range c.Errors {
			sum += n
		}
		return float64(sum)
	}
	highest := t.highest(all)
	if highest == 0 {
		return nil
	}
	y := fromZero(highest, true)
	c := t.chart("errors", "Errors over time", "errors")
	sum := uint64(0)
	var bars []bar
	for _, col := range t.columns {
		n := all(col)
		sum += uint64(n)
		from, to := t.x.at(float64(col.Start)), t.x.at(float64(col.Start+col.Length))
		gap := (to - from) / 8
		bars = append(bars, bar{from + gap, to - gap, 0, y.at(n)})
	}
	c.Desc = fmt.Sprintf("%s errors, at most %s in one interval.", count(sum), count(uint64(highest)))
	c.setY(y, scaled)
	c.bars("errors", "error", count(sum), bars)
	t.instants(c, func(col column) []string {
		kinds := slices.SortedFunc(maps.Keys(col.Errors), func(a, b result.ErrorKind) int {
			return cmp.Or(-cmp.Compare(col.Errors[a], col.Errors[b]), cmp.Compare(a, b))
		})
		words := countWords(all(col))
		if len(kinds) > 0 {
			words += ", most of them: " + errorName(kinds[0])
		}
		return []string{words}
	})
	return c
}

// lag is by how much the client itself was late; nil if nobody looked.
func lag(t timeline, total result.Total) *chart {
	if !t.has(result.Lag) {
		return nil
	}
	c := t.chart("lag", "Schedule lag", logarithmicTime)
	c.Note = "By how much the client itself woke too late. It should be far below the round trip."
	y := timeScale(t, result.Lag, 50)
	c.setY(y, tickDuration)
	var of []func(column) float64
	for _, l := range []struct {
		name, class string
		p           float64
	}{{"p50", "low", 50}, {"p99", "high", 99}} {
		value := func(col column) float64 { return quantile(col, result.Lag, l.p) }
		of = append(of, value)
		c.line(l.name, l.class, timeOrDash(total.Histograms[result.Lag], l.p), t.points(y, value))
	}
	c.Desc = fmt.Sprintf("Median %s, p99 %s.", timeOrDash(total.Histograms[result.Lag], 50), timeOrDash(total.Histograms[result.Lag], 99))
	t.instants(c, func(col column) []string {
		return []string{optional(of[0](col), timeWords), optional(of[1](col), timeWords)}
	})
	return c
}

// clientCPU is how many processors the client kept busy; nil if nobody looked.
func clientCPU(t timeline, total result.Total) *chart {
	busy := func(c column) float64 {
		if c.Length <= 0 {
			return math.NaN()
		}
		return c.ClientCPU.Seconds() / c.Length.Seconds()
	}
	highest := t.highest(busy)
	if highest == 0 {
		return nil
	}
	words := func(v float64) string { return digits(v, 3) }
	c := t.chart("cpu", "Client CPU", "processors busy")
	c.Note = "With none left to spare, the client measures itself."
	y := fromZero(highest, false)
	c.setY(y, scaled)
	points := t.points(y, busy)
	mean := words(total.ClientCPU.Seconds() / max(total.Time.Seconds(), 1e-9))
	c.line("busy", "main", mean, points)
	c.fill(points)
	c.Desc = fmt.Sprintf("%s processors on average, at most %s.", mean, words(highest))
	t.instants(c, func(col column) []string { return []string{optional(busy(col), words)} })
	return c
}
