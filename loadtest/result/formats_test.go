package result_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-net/sluice/loadtest/result"
)

func TestCSV(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	if err := result.WriteCSV(&file, made(1, 3, start)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&file).ReadAll() // which wants them of equal length
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 {
		t.Fatalf("%d rows for 3 intervals", len(rows))
	}
	column := func(name string) string { return rows[1][slices.Index(rows[0], name)] }
	for name, want := range map[string]string{
		"phase": "warmup", "sent": "10", "errors": "lost=1", "round_trip_count": "50", "first_byte_p50_ns": "",
	} {
		if got := column(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// The interval log is read by the format's own reader, to the same counts.
func TestHDRLog(t *testing.T) {
	t.Parallel()
	r := made(1, 3, start)
	var file bytes.Buffer
	if err := result.WriteHDRLog(&file, r); err != nil {
		t.Fatal(err)
	}
	log := hdr.NewHistogramLogReader(&file)
	counts := map[string]uint64{}
	for {
		h, err := log.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		counts[h.Tag()] += uint64(h.TotalCount())
	}
	total := r.Total()
	if len(counts) != 2 {
		t.Errorf("tags: %v", counts)
	}
	for _, m := range []result.Metric{result.Connect, result.RoundTrip} {
		if counts[string(m)] != total.Histograms[m].Count() {
			t.Errorf("%s: %d, want %d", m, counts[string(m)], total.Histograms[m].Count())
		}
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	fast, h := result.NewRecorder(), result.NewHistogram()
	for _, d := range []time.Duration{-time.Second, 0, 1, time.Millisecond, 2 * time.Hour} {
		fast.Record(d)
	}
	fast.MoveTo(h)
	fast.MoveTo(h)
	if h.Count() != 5 || h.Min() != 1 || h.Max() < time.Hour || h.Percentile(80) < time.Millisecond {
		t.Errorf("%d times from %v to %v", h.Count(), h.Min(), h.Max())
	}
	var none *result.Histogram
	if none.Count() != 0 || none.Max() != 0 || none.Min() != 0 || none.Mean() != 0 || none.StdDev() != 0 || none.Percentile(50) != 0 {
		t.Error("there's something in nothing")
	}
}
