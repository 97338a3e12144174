package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/report"
	"github.com/sluice-net/sluice/loadtest/result"
)

// known is a run whose times are known: a warm-up that doesn't count, three intervals that
// do, one of them with a stall, and a reply in the drain.
func known() *result.Result {
	times := func(first, step time.Duration, n int) *result.Histogram {
		h := result.NewHistogram()
		for i := range n {
			h.Record(first + time.Duration(i)*step)
		}
		return h
	}
	r := &result.Result{
		Version: result.Version,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC),
		Ended:   time.Date(2026, 1, 2, 3, 4, 10, 0, time.UTC),
		Targets: []string{"tcp://127.0.0.1:7007"},
		Load:    result.Load{Mode: result.OpenLoop, Rate: 400, Arrival: "constant", Connections: 7, InFlight: 1, Sizes: "64", Codec: "echo", Verified: true, Interval: time.Second},
		Clients: []result.Client{{Host: "one", Processors: 2}},
	}
	at := time.Duration(0)
	for n, i := range []struct {
		phase  result.Phase
		length time.Duration
		times  *result.Histogram
	}{
		{result.Warmup, 1_000_123_456, times(9*time.Second, 0, 50)},
		{result.Measure, 1_000_000_001, times(99_950*time.Nanosecond, 999, 500)},
		{result.Measure, 999_999_999, times(time.Millisecond, 10*time.Microsecond, 500)},
		{result.Measure, 1_000_700_000, times(999_600*time.Microsecond, time.Second, 3)},
		{result.Drain, 1_234_567, times(2*time.Minute, 0, 1)},
	} {
		r.Intervals = append(r.Intervals, result.Interval{
			Phase: i.phase, Start: at, Length: i.length,
			Counts:     result.Counts{Planned: i.times.Count(), Sent: i.times.Count(), Received: i.times.Count(), BytesReceived: 64 * i.times.Count(), Open: 7},
			Histograms: map[result.Metric]*result.Histogram{result.RoundTrip: i.times, result.RoundTripUncorrected: i.times, result.Connect: times(time.Duration(1+n)*time.Millisecond, 0, 7)},
		}.Compress())
		at += i.length
	}
	return r
}

// Every form of a result says the same: the files to the nanosecond, interval by interval, the
// summary and the report to the three digits that they have. The interval log is tested beside
// what writes it.
func TestFormsAgree(t *testing.T) {
	t.Parallel()
	r := known()
	total := r.Total()

	var file bytes.Buffer
	if err := result.Write(&file, r); err != nil {
		t.Fatal(err)
	}
	read, err := result.Read(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []result.Metric{result.Connect, result.RoundTrip} {
		mustEqual(t, "JSON: "+string(m), read.Total().Histograms[m], total.Histograms[m])
		for n, i := range read.Intervals {
			mustEqual(t, fmt.Sprintf("JSON: %s of interval %d", m, n), i.Histograms[m], r.Intervals[n].Histograms[m])
		}
	}
	checkCSV(t, r)

	var page, summary bytes.Buffer
	if err := report.Write(&page, r); err != nil {
		t.Fatal(err)
	}
	summarize(&summary, r, total)
	for _, p := range []float64{50, 99, 99.9} {
		text := duration(total.Histograms[result.RoundTrip].Percentile(p))
		if got := tile(t, page.String(), "Round trip p"+strconv.FormatFloat(p, 'g', -1, 64)); got != text {
			t.Errorf("p%v: %s in the report, want %s", p, got, text)
		}
		if line := regexp.MustCompile(`round trip .*`).FindString(summary.String()); !strings.Contains(line, " "+text) {
			t.Errorf("the summary hasn't %s: %s", text, line)
		}
	}
}

// tile is a figure of the report's headline, without spaces.
func tile(t *testing.T, page, name string) string {
	t.Helper()
	found := regexp.MustCompile(`<dt>` + regexp.QuoteMeta(name) + `</dt><dd><b>([^<]*)</b> <span>([^<]*)</span>`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("there's no %s", name)
	}
	return html.UnescapeString(found[1] + found[2])
}

// The summary and the report round alike, also where that reaches the next digit or unit.
func TestRoundingAgrees(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	values := []time.Duration{1, 999, 999_600, 9_996_000, 99_960_000, 999_600_000, 59_990_000_000}
	for range 200 {
		values = append(values, time.Duration(math.Exp(27*random.Float64())))
	}
	for _, v := range values {
		h := result.NewHistogram()
		h.Record(v)
		n := uint64(v%100_000) + 1
		r := known()
		r.Load.Mode, r.Load.Rate = result.ClosedLoop, 0
		r.Intervals = []result.Interval{{Phase: result.Measure, Length: 7 * time.Second, Counts: result.Counts{Received: n, BytesReceived: 997 * n},
			Histograms: map[result.Metric]*result.Histogram{result.RoundTrip: h}}}
		var page, summary bytes.Buffer
		if err := report.Write(&page, r); err != nil {
			t.Fatal(err)
		}
		summarize(&summary, r, r.Total())
		p50, throughput := tile(t, page.String(), "Round trip p50"), strings.TrimSuffix(tile(t, page.String(), "Throughput"), "replies/s")
		note := html.UnescapeString(regexp.MustCompile(`<small>([^<]*) received</small>`).FindStringSubmatch(page.String())[1])
		for _, want := range []string{" " + p50 + " ", " in 7.00s: " + throughput + "/s, ", " out, " + strings.ReplaceAll(note, "\u00a0", " ") + " in"} {
			if !strings.Contains(summary.String(), want) {
				t.Errorf("the report has %q, and the summary not:\n%s", want, &summary)
			}
		}
	}
}

func mustEqual(t *testing.T, what string, got, want *result.Histogram) {
	t.Helper()
	all := func(h *result.Histogram) string {
		var b strings.Builder
		h.Buckets(func(d time.Duration, n uint64) bool {
			fmt.Fprintln(&b, int64(d), n)
			return true
		})
		return b.String()
	}
	if all(got) != all(want) {
		t.Errorf("%s: %d times from %v to %v, want %d from %v to %v", what, got.Count(), got.Min(), got.Max(), want.Count(), want.Min(), want.Max())
	}
}

func checkCSV(t *testing.T, r *result.Result) {
	t.Helper()
	var file bytes.Buffer
	if err := result.WriteCSV(&file, r); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&file).ReadAll()
	if err != nil || len(rows) != len(r.Intervals)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for n, i := range r.Intervals {
		cells := map[string]string{}
		for c, name := range rows[0] {
			cells[name] = rows[n+1][c]
		}
		h := i.Histograms[result.RoundTrip]
		for name, want := range map[string]int64{
			"start_ns": int64(i.Start), "length_ns": int64(i.Length), "received": int64(i.Received), "round_trip_count": int64(h.Count()),
			"round_trip_p50_ns": int64(h.Percentile(50)), "round_trip_p90_ns": int64(h.Percentile(90)), "round_trip_p99_ns": int64(h.Percentile(99)),
			"round_trip_p99.9_ns": int64(h.Percentile(99.9)), "round_trip_max_ns": int64(h.Max()),
			"round_trip_uncorrected_max_ns": int64(h.Max()), "connect_max_ns": int64(i.Histograms[result.Connect].Max()),
		} {
			if cells[name] != strconv.FormatInt(want, 10) {
				t.Errorf("CSV: %s of interval %d is %s, want %d", name, n, cells[name], want)
			}
		}
	}
}
