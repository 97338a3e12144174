package report

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// nines is how far the distribution's axis goes: 5 is p99.999.
const nines = 5

// percentiles are those that are listed, up to the end of the axis.
var percentiles = []float64{50, 90, 99, 99.9, 99.99, 99.999}

func percentileName(p float64) string { return "p" + strconv.FormatFloat(p, 'f', -1, 64) }

// distribution is the round trip by percentile, each nine as wide as the one before.
func distribution(r *result.Result, total result.Total) *chart {
	corrected, uncorrected := total.Histograms[result.RoundTrip], total.Histograms[result.RoundTripUncorrected]
	if corrected.Count() == 0 {
		return nil
	}
	lowest, highest := corrected.Min(), corrected.Max()
	both := hasBoth(r, total)
	if both {
		lowest, highest = min(lowest, uncorrected.Min()), max(highest, uncorrected.Max())
	}
	y := logarithmic(float64(lowest), float64(highest))
	c := &chart{ID: "distribution", Title: "Round trip by percentile", Height: 280, YName: logarithmicTime, XName: "percentile of the round trips"}
	c.setY(y, tickDuration)
	c.setX(scale{high: nines, ticks: []float64{0, -math.Log10(0.5), 1, 2, 3, 4, 5}}, func(v float64) string {
		return strconv.FormatFloat(100*(1-math.Pow(10, -v)), 'g', 6, 64)
	})
	c.X[0].Minor = true // it's close to the second
	c.line("corrected", "main", "", distributionPoints(corrected, y))
	if both {
		c.line("uncorrected", "other", "", distributionPoints(uncorrected, y))
		c.Note = "Corrected counts from when a message was planned, uncorrected from when it was sent. Where they part, the server kept messages from being sent."
	} else {
		c.Series[0].Name = "round trip"
	}
	c.Series[0].Value = ""
	c.Desc = fmt.Sprintf("Median %s, p99 %s, p99.999 %s.", timeOrDash(corrected, 50), timeOrDash(corrected, 99), timeOrDash(corrected, 99.999))
	for i := range 10*nines + 1 {
		x := float64(i) / (10 * nines)
		p := 100 * (1 - math.Pow(10, -x*nines))
		values := []string{beyond(corrected, p)}
		if both {
			values = append(values, beyond(uncorrected, p))
		}
		c.instant(x, "p"+digits(p, nineDigits(p)), values...)
	}
	return c
}

// nineDigits is how many digits tell a percentile from the ones beside it.
func nineDigits(p float64) int { return 3 + int(-math.Log10(1-p/100+1e-9)) }

// beyond is a percentile, or a dash if there weren't enough times for one.
func beyond(h *result.Histogram, p float64) string {
	if !enough(h, p) {
		return "–"
	}
	return duration(h.Percentile(p))
}

// enough reports whether at least one time is beyond the percentile.
func enough(h *result.Histogram, p float64) bool {
	return float64(h.Count())*(1-p/100) >= 0.999
}

// distributionPoints end where there's only one time left.
func distributionPoints(h *result.Histogram, y scale) []point {
	const steps = 60 * nines
	var all []point
	for i := range steps + 1 {
		x := float64(i) / steps
		p := 100 * (1 - math.Pow(10, -x*nines))
		if !enough(h, p) {
			break
		}
		at := h.Percentile(max(p, 1e-9))
		if i == 0 {
			at = h.Min()
		}
		all = append(all, point{x, y.at(float64(at))})
	}
	return all
}

// percentileRow is a line of the table below the distribution.
type percentileRow struct {
	Name, Corrected, Uncorrected string
	Beyond                       string // how many were longer
}

func percentileRows(r *result.Result, total result.Total) []percentileRow {
	corrected, uncorrected := total.Histograms[result.RoundTrip], total.Histograms[result.RoundTripUncorrected]
	if corrected.Count() == 0 {
		return nil
	}
	both := hasBoth(r, total)
	other := func(text string) string {
		if both {
			return text
		}
		return ""
	}
	var rows []percentileRow
	for _, p := range percentiles {
		row := percentileRow{percentileName(p), beyond(corrected, p), other(beyond(uncorrected, p)), "–"}
		if enough(corrected, p) {
			row.Beyond = scaledWords(uint64(math.Round(float64(corrected.Count()) * (1 - p/100))))
		}
		rows = append(rows, row)
	}
	return append(rows,
		percentileRow{"longest", duration(corrected.Max()), other(longest(uncorrected)), ""},
		percentileRow{"mean", duration(corrected.Mean()), other(mean(uncorrected)), ""})
}

func longest(h *result.Histogram) string { return words(h, h.Max()) }

func mean(h *result.Histogram) string { return words(h, h.Mean()) }

func words(h *result.Histogram, d time.Duration) string {
	if h.Count() == 0 {
		return "–"
	}
	return duration(d)
}
