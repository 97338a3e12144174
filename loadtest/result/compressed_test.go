package result_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-net/sluice/loadtest/result"
)

// busy is a second of 100,000 messages, as a recorder has it: nearly lognormal, with one in a
// hundred up to twenty times as long.
func busy(seed uint64, uncorrected bool) result.Interval {
	random := rand.New(rand.NewPCG(seed, 1))
	times := func(n int, median float64) *result.Histogram {
		fast, h := result.NewRecorder(), result.NewHistogram()
		for range n {
			v := median * math.Exp(0.5*random.NormFloat64())
			if random.IntN(100) == 0 {
				v *= 1 + 20*random.Float64()
			}
			fast.Record(time.Duration(v))
		}
		fast.MoveTo(h)
		return h
	}
	trip := times(100_000, 200e3)
	again := result.NewHistogram() // first byte and round trip are recorded apart
	again.Merge(trip)
	i := result.Interval{Phase: result.Measure, Length: time.Second, Histograms: map[result.Metric]*result.Histogram{
		result.Connect: result.NewHistogram(), result.FirstByte: trip, result.RoundTrip: again,
		result.RoundTripUncorrected: trip, result.Lag: times(100, 60e3),
	}}
	if uncorrected {
		i.Histograms[result.RoundTripUncorrected] = times(100_000, 190e3)
		i.Histograms[result.Lag] = times(80_000, 60e3)
	}
	return i
}

// held is how many bytes a value keeps alive.
func held[T any](n int, each func(n int) T) float64 {
	var before, after runtime.MemStats
	read := func(m *runtime.MemStats) {
		for range 2 { // which empties the pools
			runtime.GC()
		}
		runtime.ReadMemStats(m)
	}
	all := make([]T, n)
	read(&before)
	for i := range all {
		all[i] = each(i)
	}
	read(&after)
	runtime.KeepAlive(all)
	return float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(n)
}

// What a run keeps of a second with 100,000 messages; run it with -bench Kept.
func BenchmarkKept(b *testing.B) {
	for name, uncorrected := range map[string]bool{"closed": false, "open": true} {
		for form, compress := range map[string]bool{"expanded": false, "compressed": true} {
			b.Run(name+"/"+form, func(b *testing.B) {
				var bytes float64
				for b.Loop() {
					bytes = held(50, func(n int) result.Interval {
						i := busy(uint64(n), uncorrected)
						if compress {
							return i.Compress()
						}
						return i
					})
				}
				b.ReportMetric(bytes, "bytes/interval")
			})
		}
	}
}

// A long run's memory: an interval of a closed loop, in which most histograms are the same,
// takes 5.5 KB, and surely less than 8. Expanded it takes ten times that.
func TestKept(t *testing.T) {
	kept := held(30, func(n int) result.Interval { return busy(uint64(n), false).Compress() })
	if kept > 8<<10 {
		t.Errorf("%.0f bytes for an interval", kept)
	}
}

// What is compressed has the same times, and answers as before.
func TestCompress(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	for n := range 60 {
		h := result.NewHistogram()
		for range random.IntN(1 + 20*n) {
			h.Record(time.Duration(math.Exp(30 * random.Float64())))
		}
		h.Record(time.Duration(random.Int64())) // mostly beyond an hour
		c := h.Compress()
		mustHaveBuckets(t, "compressed", c, buckets(h))
		mustHaveBuckets(t, "expanded", c.Expand(), buckets(h))
		for _, p := range []float64{0, 1, 50, 99, 99.99, 100} {
			if got, want := c.Percentile(p), h.Percentile(p); got != want {
				t.Errorf("p%v: %v, want %v", p, got, want)
			}
		}
		if c.Count() != h.Count() || c.Max() != h.Max() || c.Min() != h.Min() || c.Mean() != h.Mean() || c.StdDev() != h.StdDev() {
			t.Errorf("%d times from %v to %v, want %d from %v to %v", c.Count(), c.Min(), c.Max(), h.Count(), h.Min(), h.Max())
		}
		again := c.Expand()
		again.Merge(c)
		c.Record(1)
		if again.Count() != 2*h.Count() || c.Count() != h.Count()+1 {
			t.Errorf("%d and %d times after changes, of %d", again.Count(), c.Count(), h.Count())
		}
	}
}

// The encoding is the library's: each reads what the other writes.
func TestEncoding(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	for n := range 60 {
		ours, theirs := result.NewHistogram(), hdr.New(1, int64(time.Hour), 3)
		for range 1 + random.IntN(1+10*n) {
			v := int64(math.Exp(28.9 * random.Float64()))
			ours.Record(time.Duration(v))
			_ = theirs.RecordValue(v)
		}
		text, err := ours.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := hdr.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if !decoded.Equals(theirs) {
			t.Errorf("the library reads %d times, want %d", decoded.TotalCount(), theirs.TotalCount())
		}
		text, err = theirs.EncodeV2()
		if err != nil {
			t.Fatal(err)
		}
		var read result.Histogram
		if err := read.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		mustHaveBuckets(t, "the library's", &read, buckets(ours))
	}
}

// A histogram that another program has written with its own range is taken over, and one that
// has been changed on its way is refused.
func TestUnmarshal(t *testing.T) {
	t.Parallel()
	foreign := hdr.New(1, int64(time.Minute), 2)
	for range 3 {
		_ = foreign.RecordValue(int64(time.Millisecond))
	}
	text, err := foreign.EncodeV2()
	if err != nil {
		t.Fatal(err)
	}
	var h result.Histogram
	if err := h.UnmarshalText(text); err != nil || h.Count() != 3 {
		t.Errorf("%d times, %v", h.Count(), err)
	}
	text, err = busy(1, false).Histograms[result.RoundTrip].MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		bad := bytes.Clone(text)
		bad[random.IntN(len(bad)-4)] ^= byte(1 + random.IntN(255))
		if err := new(result.Histogram).UnmarshalText(bad); err == nil && !bytes.Equal(bad, text) {
			t.Error("a changed histogram was read")
		}
	}
	for _, bad := range []string{"", "AAAA", string(text[:len(text)/2])} {
		if err := new(result.Histogram).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%.10q was read", bad)
		}
	}
}

// Values beyond the range, such as a stall of two hours, count as the nearest within, and
// stay so in every form.
func TestLimits(t *testing.T) {
	t.Parallel()
	fast, h := result.NewRecorder(), result.NewHistogram()
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, 2 * time.Minute, time.Hour, time.Hour + 1, 2 * time.Hour, math.MaxInt64} {
		fast.Record(d)
		h.Record(d)
	}
	moved := result.NewHistogram()
	fast.MoveTo(moved)
	for name, h := range map[string]*result.Histogram{"recorded": h, "moved": moved, "compressed": h.Compress()} {
		if h.Count() != 9 || h.Min() != 1 || h.Percentile(44) != 1 {
			t.Errorf("%s: %d times from %v, and at p44 %v", name, h.Count(), h.Min(), h.Percentile(44))
		}
		if stall := h.Percentile(55); stall < 2*time.Minute || stall > 2*time.Minute+120*time.Millisecond {
			t.Errorf("%s: a stall of 2 min is %v", name, stall)
		}
		if h.Max() < time.Hour || h.Max() > time.Hour+4*time.Second || h.Max() != h.Percentile(70) {
			t.Errorf("%s: the longest is %v, and p70 %v", name, h.Max(), h.Percentile(70))
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	h := busy(1, false).Histograms[result.RoundTrip]
	for b.Loop() {
		h.Compress()
	}
}

func BenchmarkExpand(b *testing.B) {
	h := busy(1, false).Histograms[result.RoundTrip].Compress()
	for b.Loop() {
		h.Expand()
	}
}

func BenchmarkSum(b *testing.B) {
	i := busy(1, false).Compress()
	var sum result.Sum
	for b.Loop() {
		sum.Add(i, result.RoundTrip)
		sum.Add(i, result.Lag)
	}
}
