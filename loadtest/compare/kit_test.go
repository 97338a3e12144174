package compare_test

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/sluice-net/sluice/loadtest/compare"
	"github.com/sluice-net/sluice/loadtest/result"
)

// A build of a server, as a load generator would see it.
type build struct {
	seed    uint64
	seconds int     // 0: 30
	slower  float64 // by which times are longer and replies fewer; 0: not at all
	noise   float64 // of a second: the standard deviation of its logarithm; 0: 5 %
	memory  float64 // how much of the noise a second takes over from the one before
	replies int     // in a second; 0: 200
	errors  float64 // how many in a second
	wrong   uint64  // replies, in the tenth second
}

// run is the result of a run against it.
func (b build) run() *result.Result {
	random := rand.New(rand.NewPCG(b.seed, 0))
	or := func(v, otherwise float64) float64 {
		if v == 0 {
			return otherwise
		}
		return v
	}
	seconds, noise, replies := int(or(float64(b.seconds), 30)), or(b.noise, 0.05), or(float64(b.replies), 200)
	r := &result.Result{
		Version: result.Version,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Command: []string{"loadtest", "run", "--connections", "100", "tcp://127.0.0.1:7007"},
		Targets: []string{"tcp://127.0.0.1:7007"},
		Load:    result.Load{Mode: result.ClosedLoop, Connections: 100, InFlight: 1, Sizes: "64", Codec: "echo", Verified: true, Timeout: 5 * time.Second, Interval: time.Second},
		Clients: []result.Client{{Host: "one", OS: "linux", Arch: "amd64", Go: "go1.26", Processors: 2}},
	}
	state := noise * random.NormFloat64()
	for s := range seconds {
		state = b.memory*state + noise*math.Sqrt(1-b.memory*b.memory)*random.NormFloat64()
		slow := (1 + b.slower) * math.Exp(state)
		n := int(replies / slow)
		i := result.Interval{
			Phase: result.Measure, Start: time.Duration(s) * time.Second, Length: time.Second,
			Counts:     result.Counts{Sent: uint64(n), Received: uint64(n), Open: 100},
			Histograms: map[result.Metric]*result.Histogram{result.RoundTrip: result.NewHistogram()},
			Errors:     map[result.ErrorKind]uint64{},
		}
		for range n {
			i.Histograms[result.RoundTrip].Record(time.Duration(slow * 100e3 * (0.5 + random.ExpFloat64())))
		}
		if b.errors > 0 {
			i.Errors[result.PeerReset] = uint64(b.errors * 2 * random.Float64() * 1.0001)
		}
		if s == 10 && b.wrong > 0 {
			i.Errors[result.Corrupted] = b.wrong
		}
		r.Intervals = append(r.Intervals, i)
	}
	return r
}

// verdicts are those of a comparison, by metric.
func verdicts(c compare.Comparison) map[string]compare.Verdict {
	all := map[string]compare.Verdict{}
	for _, r := range c.Rows {
		all[r.Metric] = r.Verdict
	}
	return all
}
