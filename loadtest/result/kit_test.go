package result_test

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// made is a result of some seconds, with times that depend on the seed.
func made(seed uint64, seconds int, begun time.Time) *result.Result {
	random := rand.New(rand.NewPCG(seed, 0))
	r := &result.Result{
		Version: result.Version,
		Started: begun,
		Ended:   begun.Add(time.Duration(seconds) * time.Second),
		Command: []string{"loadtest", "run"},
		Targets: []string{"tcp://127.0.0.1:7007"},
		Load:    result.Load{Mode: result.OpenLoop, Connections: 10, Rate: 100, Verified: true, Interval: time.Second},
		Clients: []result.Client{{Host: "one"}},
		Examples: map[result.ErrorKind]result.Example{
			result.Lost: {At: time.Duration(seed) * time.Millisecond, Text: "message 3"},
		},
	}
	for s := range seconds {
		i := result.Interval{
			Phase:      result.Measure,
			Start:      time.Duration(s) * time.Second,
			Length:     time.Second,
			Counts:     result.Counts{Sent: 10, Received: 9, BytesSent: 640, Open: 10, ClientCPU: time.Millisecond},
			Histograms: map[result.Metric]*result.Histogram{},
			Errors:     map[result.ErrorKind]uint64{result.Lost: 1},
		}
		if s == 0 {
			i.Phase = result.Warmup
		}
		for _, m := range []result.Metric{result.Connect, result.RoundTrip} {
			h := result.NewHistogram()
			for range 50 {
				h.Record(time.Duration(random.ExpFloat64() * float64(time.Millisecond)))
			}
			i.Histograms[m] = h
		}
		r.Intervals = append(r.Intervals, i)
	}
	return r
}

// buckets are all the counts of a histogram.
func buckets(h *result.Histogram) map[time.Duration]uint64 {
	all := map[time.Duration]uint64{}
	h.Buckets(func(d time.Duration, n uint64) bool {
		all[d] += n
		return true
	})
	return all
}

// sum adds the counts of histograms, bucket by bucket.
func sum(all ...*result.Histogram) map[time.Duration]uint64 {
	total := map[time.Duration]uint64{}
	for _, h := range all {
		for d, n := range buckets(h) {
			total[d] += n
		}
	}
	return total
}

func mustHaveBuckets(t *testing.T, what string, got *result.Histogram, want map[time.Duration]uint64) {
	t.Helper()
	if !maps.Equal(buckets(got), want) {
		t.Errorf("%s: %d different times, want %d", what, len(buckets(got)), len(want))
	}
}
