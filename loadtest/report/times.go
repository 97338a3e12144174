package report

import (
	"fmt"
	"math"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// maxBars is how many bars a histogram has at most.
const maxBars = 40

// A timesCard is the histogram of a metric, with its figures.
type timesCard struct {
	Chart   *chart
	Count   string
	Figures []figure
}

// A figure is a number with its name.
type figure struct{ Name, Value string }

// metricNames are the metrics in people's words.
var metricNames = map[result.Metric]string{
	result.Connect:              "Connect",
	result.HandshakeFull:        "Full TLS handshake",
	result.HandshakeResumed:     "Resumed TLS handshake",
	result.FirstByte:            "First byte of a reply",
	result.RoundTrip:            "Round trip",
	result.RoundTripUncorrected: "Round trip, uncorrected",
	result.Lag:                  "Schedule lag",
}

// times are the metrics that have no chart of their own. Connections are mostly made
// while the load warms up, so that is counted in.
func times(r *result.Result, total result.Total) []timesCard {
	connecting := []result.Metric{result.Connect, result.HandshakeFull, result.HandshakeResumed}
	var sum result.Sum
	for _, i := range r.Intervals {
		sum.Add(i, connecting...)
	}
	whole := sum.Histograms()
	var cards []timesCard
	for _, m := range connecting {
		if h := whole[m]; h.Count() > 0 {
			cards = append(cards, newTimesCard(m, h, r))
		}
	}
	if h := total.Histograms[result.FirstByte]; h.Count() > 0 {
		cards = append(cards, newTimesCard(result.FirstByte, h, r))
	}
	return cards
}

func newTimesCard(m result.Metric, h *result.Histogram, r *result.Result) timesCard {
	card := timesCard{Chart: histogram(m, h), Count: count(h.Count())}
	for _, p := range []float64{50, 99, 99.9} {
		card.Figures = append(card.Figures, figure{percentileName(p), beyond(h, p)})
	}
	card.Figures = append(card.Figures, figure{"longest", duration(h.Max())})
	switch m {
	case result.HandshakeFull, result.HandshakeResumed:
		var busiest float64
		for _, i := range r.Intervals {
			if i.Length > 0 && i.Phase != result.Drain {
				busiest = max(busiest, float64(i.Histograms[m].Count())/i.Length.Seconds())
			}
		}
		card.Figures = append(card.Figures, figure{"most in a second", rate(busiest)})
	case result.Connect, result.FirstByte, result.RoundTrip, result.RoundTripUncorrected, result.Lag:
	}
	return card
}

// histogram has bars that are equally wide in orders of magnitude.
func histogram(m result.Metric, h *result.Histogram) *chart {
	x := logarithmic(float64(h.Min()), float64(h.Max()))
	bins := make([]uint64, maxBars)
	h.Buckets(func(d time.Duration, n uint64) bool {
		bins[min(int(x.at(float64(d))*maxBars), maxBars-1)] += n
		return true
	})
	var most uint64
	for _, n := range bins {
		most = max(most, n)
	}
	part := func(n uint64) float64 { return float64(n) / float64(h.Count()) }
	y := fromZero(100*part(most), false)
	c := &chart{ID: string(m), Title: metricNames[m], Height: 120, YName: "of all", XName: logarithmicTime}
	c.Desc = fmt.Sprintf("%s of them: median %s, p99 %s, longest %s.", count(h.Count()), timeOrDash(h, 50), timeOrDash(h, 99), timeOrDash(h, 100))
	c.setY(y, func(v float64) string { return digits(v, 1) + space + "%" })
	c.setX(sparse(x), tickDuration)
	var bars []bar
	for i, n := range bins {
		from, to := float64(i)/maxBars, float64(i+1)/maxBars
		bars = append(bars, bar{from + 0.0015, to - 0.0015, 0, y.at(100 * part(n))})
		low, high := valueAt(x, from), valueAt(x, to)
		c.instant((from+to)/2, timeWords(low)+" – "+timeWords(high), fmt.Sprintf("%s · %s", count(n), percent(part(n))))
	}
	c.bars("", "main", "", bars)
	return c
}

// valueAt is what a logarithmic scale has at a place.
func valueAt(s scale, place float64) float64 {
	return s.low * math.Pow(s.high/s.low, place)
}

// sparse leaves ticks out until there's room for their words in a narrow chart.
func sparse(s scale) scale {
	for len(s.ticks) > 5 {
		var fewer []float64
		for i := 0; i < len(s.ticks); i += 2 {
			fewer = append(fewer, s.ticks[i])
		}
		s.ticks = fewer
	}
	return s
}
