package result_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
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

// The interval log is read by the format's own reader, to the same counts, tags, starts and
// lengths; and what stands in it is exact to the nanosecond.
func TestHDRLog(t *testing.T) {
	t.Parallel()
	r := made(1, 5, start.Add(678_901_234))
	for n := range r.Intervals {
		i := &r.Intervals[n]
		i.Start += time.Duration(n) * 1_234_567
		i.Length += 1_234_567
		if n%2 == 0 {
			*i = i.Compress()
		}
	}
	total := r.Total()
	var file bytes.Buffer
	if err := result.WriteHDRLog(&file, r); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(file.String()), "\n")
	for len(lines) > 0 && !strings.HasPrefix(lines[0], "Tag=") {
		lines = lines[1:]
	}
	log := hdr.NewHistogramLogReader(&file)
	sums := map[result.Metric]*hdr.Histogram{}
	for _, i := range r.Intervals {
		if i.Phase == result.Warmup {
			continue
		}
		for _, m := range []result.Metric{result.Connect, result.RoundTrip} {
			h, err := log.NextIntervalHistogram()
			if err != nil || h == nil {
				t.Fatalf("HDR: %v, %v", h, err)
			}
			if h.Tag() != string(m) || uint64(h.TotalCount()) != i.Histograms[m].Count() || h.Max() != int64(i.Histograms[m].Max()) {
				t.Errorf("HDR: %s with %d times up to %d, want %s with %d", h.Tag(), h.TotalCount(), h.Max(), m, i.Histograms[m].Count())
			}
			// The reader's own rounding is by floating point.
			if start := r.Started.Add(i.Start).UnixMilli(); max(start-h.StartTimeMs(), h.StartTimeMs()-start) > 1 {
				t.Errorf("HDR: an interval starts at %d, want %d", h.StartTimeMs(), start)
			}
			want := fmt.Sprintf("Tag=%s,%.9f,%.9f,%.6f,", m, i.Start.Seconds(), i.Length.Seconds(), float64(i.Histograms[m].Max())/1e6)
			if !strings.HasPrefix(lines[0], want) {
				t.Errorf("HDR: %.80s, want %s", lines[0], want)
			}
			lines = lines[1:]
			if sums[m] == nil {
				sums[m] = hdr.New(1, int64(time.Hour), 3)
			}
			sums[m].Merge(h)
		}
	}
	if h, err := log.NextIntervalHistogram(); h != nil || err != nil || len(lines) > 0 {
		t.Errorf("HDR: there's more, %v, %v, %q", h, err, lines)
	}
	for m, sum := range sums {
		h := total.Histograms[m]
		for _, p := range []float64{50, 90, 99, 99.9, 100} {
			if got := sum.ValueAtPercentile(p); got != int64(h.Percentile(p)) || uint64(sum.TotalCount()) != h.Count() {
				t.Errorf("HDR: p%v of %s is %d of %d, want %d of %d", p, m, got, sum.TotalCount(), h.Percentile(p), h.Count())
			}
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
