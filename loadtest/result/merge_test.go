package result_test

import (
	"bytes"
	"errors"
	"reflect"
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

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	if _, err := result.Merge(); !errors.Is(err, result.ErrNothing) {
		t.Errorf("nothing: %v", err)
	}
	other := made(1, 1, start)
	other.Load.Interval = time.Minute
	if _, err := result.Merge(made(1, 1, start), other); err == nil {
		t.Error("different intervals were merged")
	}
	other = made(1, 1, start)
	other.Load.Mode = result.ClosedLoop
	if _, err := result.Merge(made(1, 1, start), other); err == nil {
		t.Error("different modes were merged")
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
