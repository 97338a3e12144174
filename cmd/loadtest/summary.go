package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sluice-net/sluice/loadtest/result"
)

// rows are the metrics of a summary, in its words.
var rows = []struct {
	metric result.Metric
	name   string
	open   bool // only of open loops: in a closed one it's the same as the row before
}{
	{result.Connect, "connect", false},
	{result.HandshakeFull, "full handshake", false},
	{result.HandshakeResumed, "resumed handshake", false},
	{result.FirstByte, "first byte", false},
	{result.RoundTrip, "round trip", false},
	{result.RoundTripUncorrected, "… uncorrected", true},
}

// summarize writes what a person reads in ten seconds.
func summarize(w io.Writer, r *result.Result, t result.Total) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s\n", strings.Join(r.Targets, " "), shape(r.Load))
	fmt.Fprintf(&b, "%s replies in %s: %s, %s out, %s in", count(t.Received), duration(t.Time), rate(t.Rate(t.Received)),
		throughput(t.Rate(t.BytesSent)), throughput(t.Rate(t.BytesReceived)))
	if r.Stopped {
		b.WriteString("; stopped early")
	}
	b.WriteString("\n")
	if asked := uint64(r.Load.Connections); t.PeakOpen > 0 && t.PeakOpen < asked {
		fmt.Fprintf(&b, "no more than %s of %s connections were open at the end of an interval\n", count(t.PeakOpen), count(asked))
	}
	// A few are always under way when the time is over.
	if missing := t.Planned - min(t.Planned, t.Sent); missing > t.Planned/100 {
		fmt.Fprintf(&b, "%s of %s planned messages weren't sent in time: connections were waiting for replies\n", count(missing), count(t.Planned))
	}
	b.WriteString("\n")
	times(&b, r.Load.Mode, t)
	b.WriteString("\n")
	failures(&b, r, t)
	client(&b, r, t)
	for _, v := range r.Objectives {
		word := "kept  "
		if !v.Kept {
			word = "MISSED"
		}
		fmt.Fprintf(&b, "%s   %s: %s\n", word, v.Objective, v.Measured)
	}
	_, _ = w.Write(b.Bytes())
}

// shape is the load in a few words.
func shape(l result.Load) string {
	words := []string{fmt.Sprintf("%s connections", count(uint64(l.Connections)))}
	switch l.Mode {
	case result.OpenLoop:
		words = append(words, fmt.Sprintf("open loop of %s, %s", rate(l.Rate), l.Arrival))
	case result.ClosedLoop:
		words = append(words, fmt.Sprintf("closed loop of %d in flight", l.InFlight))
	}
	words = append(words, l.Sizes+" B", l.Codec)
	if !l.Verified {
		words = append(words, "NOT VERIFIED")
	}
	var hostile []string
	for _, kind := range slices.Sorted(maps.Keys(l.Hostile)) {
		hostile = append(hostile, fmt.Sprintf("%s %s", count(l.Hostile[kind]), kind))
	}
	if len(hostile) > 0 {
		words = append(words, "beside "+strings.Join(hostile, " and "))
	}
	return strings.Join(words, ", ")
}

func times(b *bytes.Buffer, mode result.Mode, t result.Total) {
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\tcount\tper second\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, row := range rows {
		h := t.Histograms[row.metric]
		if h.Count() == 0 || row.open && mode == result.ClosedLoop {
			continue
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t", row.name, count(h.Count()), rate(t.Rate(h.Count())))
		for _, p := range []float64{50, 90, 99, 99.9} {
			_, _ = fmt.Fprintf(table, "%s\t", duration(h.Percentile(p)))
		}
		_, _ = fmt.Fprintf(table, "%s\t\n", duration(h.Max()))
	}
	_ = table.Flush()
}

func failures(b *bytes.Buffer, r *result.Result, t result.Total) {
	if len(t.Errors) == 0 {
		b.WriteString("errors   none\n")
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(t.Errors)) {
		title := "errors"
		if kind.Fault() {
			title = "WRONG "
		}
		fmt.Fprintf(b, "%s   %s %s, the first: %s\n", title, count(t.Errors[kind]), kind, r.Examples[kind].Text)
	}
}

func client(b *bytes.Buffer, r *result.Result, t result.Total) {
	processors := 0
	for _, c := range r.Clients {
		processors += c.Processors
	}
	used := t.ClientCPU.Seconds() / max(t.Time.Seconds(), 1e-9)
	fmt.Fprintf(b, "client   %.1f of %d processors busy", used, processors)
	if lag := t.Histograms[result.Lag]; lag.Count() > 0 { // the run may have been too short to tell
		fmt.Fprintf(b, ", %s late at p99", duration(lag.Percentile(99)))
	}
	if n := len(r.Clients); n > 1 {
		fmt.Fprintf(b, ", %d processes", n)
	}
	b.WriteString("\n")
	for _, c := range r.Clients {
		for _, s := range c.Saturated {
			fmt.Fprintf(b, "INVALID  %s\n", s.Detail)
		}
	}
}
