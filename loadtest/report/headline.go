package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/loadtest/result"
)

// A verdict is what the page says first.
type verdict struct {
	Tone   string // good, warn or bad, as the style has them
	Mark   string // a sign that needs no colour
	Text   string
	Detail []string
}

// verdicts are in the order of what they spoil: an invalid run says nothing about the
// server, a wrong reply is a bug, and so on.
func verdicts(r *result.Result, total result.Total) []verdict {
	var all []verdict
	if !r.Valid() {
		v := verdict{Tone: "bad", Mark: "✕", Text: "Invalid run: the client was at its own limit, so these figures are about the client and not about the server"}
		for _, c := range r.Clients {
			for _, s := range c.Saturated {
				v.Detail = append(v.Detail, c.Host+": "+s.Detail)
			}
		}
		all = append(all, v)
	}
	if total.Received == 0 {
		all = append(all, verdict{Tone: "bad", Mark: "✕", Text: "There was no reply at all"})
	}
	if n := total.Faults(); n > 0 {
		all = append(all, verdict{Tone: "bad", Mark: "✕", Text: fmt.Sprintf("%s wrong: %s", plural(n, "reply was", "replies were"), faultList(total))})
	}
	if missed := missedObjectives(r); len(missed) > 0 {
		all = append(all, verdict{Tone: "bad", Mark: "✕", Text: fmt.Sprintf("%d of %s missed", len(missed), plural(uint64(len(r.Objectives)), "objective", "objectives")), Detail: missed})
	}
	if n := total.Failed() - total.Faults(); n > 0 {
		all = append(all, verdict{Tone: "warn", Mark: "!", Text: fmt.Sprintf("%s: %s of all attempts", plural(n, "error", "errors"), percent(float64(n)/float64(total.Failed()+total.Received)))})
	}
	if r.Stopped {
		all = append(all, verdict{Tone: "warn", Mark: "!", Text: "The run was stopped early"})
	}
	if r.Valid() && total.Received > 0 && total.Failed() == 0 && len(missedObjectives(r)) == 0 {
		all = append(all, verdict{Tone: "good", Mark: "✓", Text: goodWords(r)})
	}
	return all
}

func goodWords(r *result.Result) string {
	words := "Valid run without an error"
	if r.Load.Verified {
		words += ", every reply verified byte by byte"
	}
	if len(r.Objectives) > 0 {
		words += ", all objectives kept"
	}
	return words
}

func missedObjectives(r *result.Result) []string {
	var missed []string
	for _, o := range objectives(r) {
		if !o.Kept {
			missed = append(missed, o.Objective+": it was "+o.Measured)
		}
	}
	return missed
}

func faultList(total result.Total) string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(total.Errors)) {
		if n := total.Errors[kind]; kind.Fault() && n > 0 {
			words = append(words, count(n)+" "+errorName(kind))
		}
	}
	return strings.Join(words, ", ")
}

func plural(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + more
}

// errorName is a kind in people's words.
func errorName(kind result.ErrorKind) string { return strings.ReplaceAll(string(kind), "_", " ") }

// A tile is a figure of the headline.
type tile struct {
	Name, Value, Unit, Note string
	Class                   string
}

func tiles(r *result.Result, total result.Total) []tile {
	h := total.Histograms[result.RoundTrip]
	note := bytesRate(total.Rate(total.BytesReceived)) + " received"
	if r.Load.Rate > 0 {
		note = "of " + rateWords(r.Load.Rate) + " planned"
	}
	all := []tile{{Name: "Throughput", Value: rate(total.Rate(total.Received)), Unit: "replies/s", Note: note, Class: "wide"}}
	for _, p := range []float64{50, 99, 99.9} {
		value, unit, _ := strings.Cut(timeOrDash(h, p), space)
		one := tile{Name: "Round trip " + percentileName(p), Value: value, Unit: unit}
		switch {
		case hasBoth(r, total):
			one.Note = timeOrDash(total.Histograms[result.RoundTripUncorrected], p) + " uncorrected"
		case p == 99.9 && h.Count() > 0:
			one.Note = "longest " + duration(h.Max())
		}
		all = append(all, one)
	}
	failed := tile{Name: "Errors", Value: count(total.Failed()), Note: "of " + scaledWords(total.Received+total.Failed()) + " attempts"}
	if total.Failed() > 0 {
		failed.Class = "failed"
		failed.Note = percent(total.ErrorRatio()) + " " + failed.Note
	}
	return append(all, failed)
}

// scaledWords is a large number with three digits: 1.23 M.
func scaledWords(n uint64) string {
	switch {
	case n >= 1e9:
		return digits(float64(n)/1e9, 3) + space + "G"
	case n >= 1e6:
		return digits(float64(n)/1e6, 3) + space + "M"
	default:
		return count(n)
	}
}

// sentence says what was done.
func sentence(r *result.Result, total result.Total) string {
	l := r.Load
	var words []string
	switch l.Mode {
	case result.OpenLoop:
		arrival := "at equal distances"
		if l.Arrival == "poisson" {
			arrival = "with Poisson arrivals"
		}
		words = append(words, fmt.Sprintf("Open loop, %s messages a second %s", rate(l.Rate), arrival))
	case result.ClosedLoop:
		words = append(words, "Closed loop")
	}
	if l.InFlight > 1 {
		words = append(words, fmt.Sprintf("up to %s in flight each", count(l.InFlight)))
	}
	words = append(words, plural(uint64(max(l.Connections, 0)), "connection", "connections"))
	if l.Sizes != "" {
		words = append(words, "sizes "+l.Sizes)
	}
	words = append(words, "protocol "+cmp.Or(l.Codec, "unknown"))
	if !l.Verified {
		words = append(words, "replies not verified")
	}
	words = append(words, span(total.Time)+" measured")
	return strings.Join(words, " · ")
}

// An errorRow is a kind of error with its number and an example.
type errorRow struct {
	Name, Count, Part, Example, At string
	Fault                          bool
}

// errorRows are in the order of wrong replies first, then of how many there were.
func errorRows(r *result.Result, total result.Total) []errorRow {
	kinds := slices.SortedFunc(maps.Keys(total.Errors), func(a, b result.ErrorKind) int {
		if a.Fault() != b.Fault() {
			if a.Fault() {
				return -1
			}
			return 1
		}
		return cmp.Or(-cmp.Compare(total.Errors[a], total.Errors[b]), cmp.Compare(a, b))
	})
	var rows []errorRow
	for _, kind := range kinds {
		n := total.Errors[kind]
		row := errorRow{Name: errorName(kind), Count: count(n), Part: percent(float64(n) / float64(total.Received+total.Failed())), Fault: kind.Fault()}
		if e, ok := r.Examples[kind]; ok {
			row.Example, row.At = e.Text, elapsedLabel(e.At)
		}
		rows = append(rows, row)
	}
	return rows
}
