package result_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

func text(t *testing.T, r *result.Result) string {
	t.Helper()
	var b strings.Builder
	if err := result.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Merging loses nothing: each count and each bucket of each histogram is the sum of the
// parts', in the total and in each second.
func TestMerge(t *testing.T) {
	t.Parallel()
	a, b, c := made(1, 5, start), made(2, 5, start.Add(20*time.Millisecond)), made(3, 3, start)
	before := []string{text(t, a), text(t, b), text(t, c)}
	m, err := result.Merge(a, b, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Intervals) != 5 || m.Load.Connections != 30 || m.Load.Rate != 300 || len(m.Clients) != 3 || len(m.Targets) != 1 {
		t.Errorf("%d intervals, %+v, %d clients, targets %q", len(m.Intervals), m.Load, len(m.Clients), m.Targets)
	}
	if !m.Started.Equal(a.Started) || !m.Ended.Equal(b.Ended) {
		t.Errorf("from %v to %v", m.Started, m.Ended)
	}
	if e := m.Examples[result.Lost]; e.At != time.Millisecond {
		t.Errorf("the example isn't the first: %+v", e)
	}
	total := m.Total()
	want := result.Counts{Sent: 100, Received: 90, BytesSent: 6400, Open: 20, ClientCPU: 10 * time.Millisecond}
	if total.Counts != want || total.Errors[result.Lost] != 10 || total.Time != 4*time.Second || total.PeakOpen != 30 {
		t.Errorf("%+v", total)
	}
	for _, metric := range []result.Metric{result.Connect, result.RoundTrip} {
		mustHaveBuckets(t, string(metric), total.Histograms[metric],
			sum(a.Total().Histograms[metric], b.Total().Histograms[metric], c.Total().Histograms[metric]))
		for s := range 3 {
			mustHaveBuckets(t, string(metric), m.Intervals[s].Histograms[metric],
				sum(a.Intervals[s].Histograms[metric], b.Intervals[s].Histograms[metric], c.Intervals[s].Histograms[metric]))
		}
	}
	for i, part := range []*result.Result{a, b, c} {
		if text(t, part) != before[i] {
			t.Errorf("part %d has been changed", i)
		}
	}
}

// A host that began later has its seconds where they were.
func TestMergeLater(t *testing.T) {
	t.Parallel()
	m, err := result.Merge(made(1, 3, start.Add(2*time.Second+time.Millisecond)), made(2, 3, start))
	if err != nil {
		t.Fatal(err)
	}
	var open []uint64
	for _, i := range m.Intervals {
		open = append(open, i.Open)
	}
	if total := m.Total(); total.Time != 4*time.Second {
		t.Errorf("measured for %v", total.Time) // two seconds each, which don't overlap
	}
	// The warm-up of the later one is beside a measured second.
	if want := []uint64{10, 10, 10, 10, 10, 10}; !reflect.DeepEqual(open, want) {
		t.Errorf("%v, want %v", open, want)
	}
	if e := m.Examples[result.Lost]; e.At != 2*time.Millisecond {
		t.Errorf("%+v", e)
	}
}

// What can't be merged is told with the part's number; what may differ is summed, or kept of
// both.
func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	if _, err := result.Merge(); !errors.Is(err, result.ErrNothing) {
		t.Errorf("nothing: %v", err)
	}
	tests := []struct {
		name   string
		change func(r *result.Result)
		want   string // empty: it's merged
	}{
		{"nothing", func(*result.Result) {}, ""},
		{"intervals", func(r *result.Result) { r.Load.Interval = time.Minute }, "intervals of 1m0s can't be merged with such of 1s: run both with the same --interval"},
		{"mode", func(r *result.Result) { r.Load.Mode = result.ClosedLoop }, "an open and a closed loop can't be merged"},
		{"sizes", func(r *result.Result) { r.Load.Sizes = "64-1024" }, "its load differs (sizes 64-1024, and the first part's none)"},
		{"codec", func(r *result.Result) { r.Load.Codec = "line" }, "its load differs (codec line"},
		{"in flight", func(r *result.Result) { r.Load.InFlight = 8 }, "its load differs (in flight 8"},
		{"arrival", func(r *result.Result) { r.Load.Arrival = "poisson" }, "its load differs (arrival poisson"},
		{"churn", func(r *result.Result) { r.Load.Churn = 8 }, "its load differs (churn 8"},
		{"another day", func(r *result.Result) { r.Started, r.Ended = r.Started.AddDate(0, 0, 1), r.Ended.AddDate(0, 0, 1) },
			"it went from 2026-01-03 03:04:05 to 2026-01-03 03:04:08, when no other did: they weren't made together, or their clocks disagree"},
		{"a little later", func(r *result.Result) { r.Started, r.Ended = r.Started.Add(2*time.Second), r.Ended.Add(2*time.Second) }, ""},
		{"one after the other", func(r *result.Result) { r.Started, r.Ended = r.Ended.Add(time.Second), r.Ended.Add(4*time.Second) }, "when no other did"},
		{"too short to overlap", func(r *result.Result) { r.Started, r.Ended = r.Started.Add(-time.Millisecond), r.Started }, ""},
		{"more connections", func(r *result.Result) { r.Load.Connections, r.Load.Rate, r.Load.ConnectRate = 500, 7, 9 }, ""},
		{"hostile clients", func(r *result.Result) { r.Load.Hostile = map[string]uint64{"reset": 3} }, ""},
		{"another target", func(r *result.Result) { r.Targets = []string{"tls://other:1"} }, ""},
		{"other objectives", func(r *result.Result) { r.Objectives = []result.Verdict{{Objective: "rate>1"}} }, ""},
		{"unverified", func(r *result.Result) { r.Load.Verified = false }, ""},
		{"invalid", func(r *result.Result) { r.Clients[0].Saturated = []result.Saturation{{Reason: result.CPU}} }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := made(1, 3, start), made(2, 3, start)
			tt.change(second)
			m, err := result.Merge(first, first, second)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if m.Valid() != second.Valid() || m.Load.Verified != second.Load.Verified || len(m.Objectives) > 0 ||
					m.Load.Connections != 20+second.Load.Connections || m.Load.Rate != 200+second.Load.Rate ||
					!slices.Contains(m.Targets, second.Targets[0]) || !slices.Contains(m.Targets, first.Targets[0]) {
					t.Errorf("%+v", m)
				}
				return
			}
			var misfit *result.Misfit
			if !errors.As(err, &misfit) || !strings.Contains(misfit.Reason, tt.want) {
				t.Fatal(err)
			}
			if misfit.Part != 2 {
				t.Errorf("part %d, %v", misfit.Part, err)
			}
		})
	}
}

// However runs lie in time, their merge has the sums of their counts, and the percentiles of
// all their times together.
func TestMergeLosesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(6, 6))
	for range 20 {
		var parts []*result.Result
		var all []*result.Histogram
		var want result.Counts
		failed := uint64(0)
		for range 1 + random.IntN(4) {
			r := made(random.Uint64(), 1+random.IntN(8), start.Add(time.Duration(random.Int64N(int64(900*time.Millisecond)))))
			for n := range r.Intervals {
				i := &r.Intervals[n]
				i.Start += time.Duration(random.Int64N(int64(300 * time.Millisecond)))
				if random.IntN(2) == 0 {
					*i = i.Compress()
				}
				if i.Phase == result.Warmup {
					continue
				}
				all = append(all, i.Histograms[result.RoundTrip])
				open := want.Open
				want.Add(i.Counts)
				want.Open = open
				failed += i.Errors[result.Lost]
			}
			parts = append(parts, r)
		}
		m, err := result.Merge(parts...)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := result.Write(&file, m); err != nil {
			t.Fatal(err)
		}
		if m, err = result.Read(&file); err != nil {
			t.Fatal(err)
		}
		total := m.Total()
		total.Open = 0
		if total.Counts != want || total.Failed() != failed {
			t.Errorf("%+v, %d errors; want %+v, %d", total.Counts, total.Failed(), want, failed)
		}
		together := result.NewHistogram()
		for _, h := range all {
			together.Merge(h)
		}
		for _, p := range []float64{0, 25, 50, 90, 99, 99.9, 100} {
			if got, want := total.Histograms[result.RoundTrip].Percentile(p), together.Percentile(p); got != want {
				t.Errorf("p%v is %v, want %v", p, got, want)
			}
		}
		if len(all) > 0 {
			mustHaveBuckets(t, "round trip", total.Histograms[result.RoundTrip], sum(all...))
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	r := made(1, 3, start)
	var file bytes.Buffer
	if err := result.Write(&file, r); err != nil {
		t.Fatal(err)
	}
	got, err := result.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Intervals {
		for metric, h := range r.Intervals[i].Histograms {
			mustHaveBuckets(t, string(metric), got.Intervals[i].Histograms[metric], buckets(h))
		}
		got.Intervals[i].Histograms, r.Intervals[i].Histograms = nil, nil
	}
	if !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v\nwant %+v", got, r)
	}
}

// A part whose phase has two intervals close together keeps its connections' number: only
// what others had open at that time is added.
func TestMergeShortIntervals(t *testing.T) {
	t.Parallel()
	part := func(seed uint64) *result.Result {
		r := made(seed, 2, start)
		r.Intervals[0].Phase, r.Intervals[1].Phase = result.Connecting, result.Connecting
		r.Intervals[0].Length = 20 * time.Millisecond
		r.Intervals[1].Start, r.Intervals[1].Length = 20*time.Millisecond, 980*time.Millisecond
		return r
	}
	m, err := result.Merge(part(1), part(2))
	if err != nil {
		t.Fatal(err)
	}
	if total := m.Total(); len(m.Intervals) != 2 || total.PeakOpen != 20 || total.Sent != 40 {
		t.Errorf("%d intervals, %d open, %d sent", len(m.Intervals), total.PeakOpen, total.Sent)
	}
}
