package compare

import (
	"math"

	"github.com/sluice-net/sluice/loadtest/result"
)

// A metric is one row of the comparison.
type metric struct {
	name  string
	unit  Unit
	kind  kind
	of    result.Metric // of a percentile
	p     float64
	lower bool // is better
}

type kind int

const (
	throughput kind = iota
	percentile
	errorPart
	wrongReplies
)

// metrics are all that is compared, in their order. The percentiles of connections and
// handshakes end with p99: there are hardly ever enough for more.
var metrics = []metric{
	{name: "throughput", unit: PerSecond, kind: throughput},
	{name: "round trip p50", unit: Nanoseconds, kind: percentile, of: result.RoundTrip, p: 50, lower: true},
	{name: "round trip p99", unit: Nanoseconds, kind: percentile, of: result.RoundTrip, p: 99, lower: true},
	{name: "round trip p99.9", unit: Nanoseconds, kind: percentile, of: result.RoundTrip, p: 99.9, lower: true},
	{name: "connect p50", unit: Nanoseconds, kind: percentile, of: result.Connect, p: 50, lower: true},
	{name: "connect p99", unit: Nanoseconds, kind: percentile, of: result.Connect, p: 99, lower: true},
	{name: "full handshake p50", unit: Nanoseconds, kind: percentile, of: result.HandshakeFull, p: 50, lower: true},
	{name: "full handshake p99", unit: Nanoseconds, kind: percentile, of: result.HandshakeFull, p: 99, lower: true},
	{name: "resumed handshake p50", unit: Nanoseconds, kind: percentile, of: result.HandshakeResumed, p: 50, lower: true},
	{name: "resumed handshake p99", unit: Nanoseconds, kind: percentile, of: result.HandshakeResumed, p: 99, lower: true},
	{name: "errors", unit: Part, kind: errorPart, lower: true},
	{name: "wrong replies", unit: Number, kind: wrongReplies, lower: true},
}

// row has the figures of both runs, and no verdict. A metric that neither has is no row.
func (m metric) row(a, b result.Total) (Row, bool) {
	r := Row{Metric: m.name, Unit: m.unit, A: m.figure(a), B: m.figure(b)}
	return r, r.A != nil || r.B != nil
}

// figure is the metric of a whole run; nil if it didn't occur.
func (m metric) figure(t result.Total) *float64 {
	var v float64
	switch m.kind {
	case throughput:
		v = t.Rate(t.Received)
	case percentile:
		h := t.Histograms[m.of]
		if h.Count() == 0 {
			return nil
		}
		v = float64(h.Percentile(m.p))
	case errorPart:
		v = t.ErrorRatio()
	case wrongReplies:
		v = float64(t.Faults())
	}
	return &v
}

// judge fills the rest of the row.
func (m metric) judge(r *Row, a, b *run) {
	if r.A == nil || r.B == nil {
		r.refuse("only one of the runs has any")
		return
	}
	if m.kind == wrongReplies {
		r.judgeWrongReplies()
		return
	}
	ea, reason := m.estimate(a, *r.A)
	if reason != "" {
		r.refuse("A: %s", reason)
		return
	}
	eb, reason := m.estimate(b, *r.B)
	if reason != "" {
		r.refuse("B: %s", reason)
		return
	}
	change, margin, freedom := difference(ea, eb)
	low, high := change-margin, change+margin
	if low <= 0 && high >= 0 && freedom < leastFreedom {
		r.refuse("nobody can tell, as each interval resembles the one before, and so says little that's new: measure longer")
		return
	}
	switch m.kind {
	case percentile: // it was of logarithms
		change, low, high = math.Expm1(change), math.Expm1(low), math.Expm1(high)
	case throughput:
		if *r.A == 0 {
			r.refuse("A had no reply")
			return
		}
		change, low, high = change / *r.A, low / *r.A, high / *r.A
	case errorPart, wrongReplies:
	}
	r.Change, r.Low, r.High = &change, &low, &high
	switch {
	case low <= 0 && high >= 0:
		r.Verdict = Same
	case (change < 0) == m.lower:
		r.Verdict = Better
	default:
		r.Verdict = Worse
	}
}

// judgeWrongReplies needs no statistics: a reply that is wrong is a bug, however rare.
func (r *Row) judgeWrongReplies() {
	change := *r.B - *r.A
	r.Change = &change
	switch {
	case *r.A == 0 && *r.B > 0:
		r.Verdict = Worse
	case *r.A > 0 && *r.B == 0:
		r.Verdict = Better
	case *r.A == 0:
		r.Verdict = Same
	default:
		r.Change = nil
		r.refuse("both have some: mend those first")
	}
}
