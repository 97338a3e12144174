package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// Confidence is that of the intervals.
const Confidence = 0.99

// Options are what a caller decides. The zero value works.
type Options struct {
	// Threshold is the part of A's figure up to which a change for the worse is let pass:
	// 0.05 is 5 %.
	Threshold float64
	// Force compares runs although their loads differ.
	Force bool
}

// A Comparison of two results.
type Comparison struct {
	A          Side    `json:"a"`
	B          Side    `json:"b"`
	Confidence float64 `json:"confidence"`
	Threshold  float64 `json:"threshold"`
	// Refused says why nothing is compared, but for wrong replies; empty: it is.
	Refused []string `json:"refused,omitempty"`
	// Warnings are what beside the server may be the cause of a change.
	Warnings []string `json:"warnings,omitempty"`
	Rows     []Row    `json:"metrics"`
}

// A Side is one of the two runs.
type Side struct {
	Started time.Time     `json:"started"`
	Command []string      `json:"command"`
	Targets []string      `json:"targets"`
	Time    time.Duration `json:"time_ns"` // that was measured
}

// A Row is the comparison of one metric.
type Row struct {
	Metric string `json:"metric"`
	Unit   Unit   `json:"unit"`
	// A and B are the figures of the whole runs; nil if there's none.
	A *float64 `json:"a"`
	B *float64 `json:"b"`
	// Change is (B − A) ÷ A, within Low and High with the confidence. Of [Part] and [Number]
	// it's B − A, as they may be zero. All are nil if nothing is compared.
	Change *float64 `json:"change"`
	Low    *float64 `json:"low"`
	High   *float64 `json:"high"`

	Verdict Verdict `json:"verdict"`
	// Beyond is whether it's worse by more than the threshold.
	Beyond bool   `json:"beyond"`
	Reason string `json:"reason,omitempty"` // why it's not comparable
}

// Unit is that of a row's figures.
type Unit string

// The units.
const (
	PerSecond   Unit = "per_second"
	Nanoseconds Unit = "ns"
	Part        Unit = "part" // of 1
	Number      Unit = "number"
)

// Verdict is what became of a metric.
type Verdict string

// The verdicts.
const (
	Better        Verdict = "better"
	Worse         Verdict = "worse"
	Same          Verdict = "same" // no significant difference
	NotComparable Verdict = "not_comparable"
)

// Compare compares B with A, metric by metric. Invalid runs and runs of different loads are
// refused: all rows are then not comparable. So are runs that are too short for any verdict.
func Compare(a, b *result.Result, o Options) Comparison {
	totalA, totalB := a.Total(), b.Total()
	c := Comparison{
		A: side(a, totalA), B: side(b, totalB),
		Confidence: Confidence, Threshold: o.Threshold,
		Refused: refusals(a, b, o.Force), Warnings: warnings(a, b),
	}
	runA, runB := newRun(a), newRun(b)
	for _, m := range metrics {
		row, ok := m.row(totalA, totalB)
		if !ok {
			continue
		}
		if len(c.Refused) > 0 {
			row.refuse("%s", strings.Join(c.Refused, "; "))
		} else {
			m.judge(&row, runA, runB)
			row.Beyond = row.Verdict == Worse && row.exceeds(o.Threshold)
		}
		c.Rows = append(c.Rows, row)
	}
	if len(c.Refused) == 0 && !slices.ContainsFunc(c.Rows, Row.measured) {
		c.Refused = []string{c.Rows[0].Reason}
	}
	return c
}

// measured reports whether the row has a verdict that needed measuring.
func (r Row) measured() bool { return r.Unit != Number && r.Verdict != NotComparable }

// Worse is the metrics of B that are worse than A's by more than the threshold.
func (c Comparison) Worse() []string {
	var names []string
	for _, r := range c.Rows {
		if r.Beyond {
			names = append(names, r.Metric)
		}
	}
	return names
}

func side(r *result.Result, t result.Total) Side {
	return Side{Started: r.Started, Command: r.Command, Targets: r.Targets, Time: t.Time}
}

func (r *Row) refuse(format string, args ...any) {
	r.Verdict, r.Reason = NotComparable, fmt.Sprintf(format, args...)
}

// exceeds reports whether the change is larger than a part of A's figure.
func (r *Row) exceeds(threshold float64) bool {
	change := max(*r.Change, -*r.Change)
	switch r.Unit {
	case Part, Number:
		return change > threshold**r.A
	case PerSecond, Nanoseconds:
	}
	return change > threshold
}
