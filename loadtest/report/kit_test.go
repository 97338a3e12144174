package report_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/report"
	"github.com/sluice-net/sluice/loadtest/result"
)

// written is the report of a result.
func written(t *testing.T, r *result.Result) string {
	t.Helper()
	var file bytes.Buffer
	if err := report.Write(&file, r); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

// closed is an ordinary run of a closed loop: 3 s of warm-up, and then so many.
func closed(seconds int) *result.Result {
	return made(seconds, 0)
}

// made has times that are exponentially distributed, and slow ones at a freeze, if it isn't 0.
func made(seconds, freeze int) *result.Result {
	random := rand.New(rand.NewPCG(7, 0))
	r := &result.Result{
		Version: result.Version,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Command: []string{"loadtest", "run", "--connections", "100", "tcp://127.0.0.1:7007"},
		Targets: []string{"tcp://127.0.0.1:7007"},
		Load:    result.Load{Mode: result.ClosedLoop, Connections: 100, InFlight: 1, Sizes: "64", Codec: "echo", Verified: true, Interval: time.Second},
		Clients: []result.Client{{Host: "client-1", OS: "linux", Arch: "amd64", Go: "go1.26", Processors: 2, DescriptorLimit: 20000}},
	}
	for s := range seconds + 3 {
		i := result.Interval{
			Phase: result.Measure, Start: time.Duration(s) * time.Second, Length: time.Second,
			Histograms: map[result.Metric]*result.Histogram{result.RoundTrip: result.NewHistogram(), result.Lag: result.NewHistogram()},
		}
		if s < 3 {
			i.Phase = result.Warmup
			i.Histograms[result.Connect] = times(random, 33, 90*time.Microsecond)
			i.Connected = 33
		}
		if s == 2 {
			i.Connected = 34
		}
		i.Open = uint64(min(33*(s+1), 100))
		n := 20000 + random.IntN(1500)
		i.Sent, i.Received, i.BytesSent, i.BytesReceived = uint64(n), uint64(n), uint64(64*n), uint64(64*n)
		i.ClientCPU = time.Duration(900+random.IntN(60)) * time.Millisecond
		mean := 180 * time.Microsecond
		if freeze > 0 && s == freeze {
			mean *= 400
		}
		i.Histograms[result.RoundTrip] = times(random, n/100, mean)
		i.Histograms[result.Lag] = times(random, 20, 60*time.Microsecond)
		r.Intervals = append(r.Intervals, i)
	}
	r.Ended = r.Started.Add(time.Duration(seconds+3) * time.Second)
	return r
}

func times(random *rand.Rand, n int, mean time.Duration) *result.Histogram {
	h := result.NewHistogram()
	for range n {
		v := float64(mean) * (0.4 + 0.6*random.ExpFloat64())
		if random.IntN(500) == 0 {
			v *= 8 * math.Abs(random.NormFloat64())
		}
		h.Record(time.Duration(v))
	}
	return h
}

// eventful is an open loop with TLS in which all went wrong that a report can show.
func eventful() *result.Result {
	random := rand.New(rand.NewPCG(8, 0))
	r := made(57, 30)
	r.Targets = []string{"tls://echo.example.net:7443", "tls://echo-2.example.net:7443"}
	r.Command = []string{"loadtest", "run", "--rate", "20000", "--slo", "roundtrip p99<5ms, errors<0.01%", "--hostile", "slowloris=50,neverread=20,reset=10", "tls://echo.example.net:7443", "tls://echo-2.example.net:7443"}
	r.Load.Mode, r.Load.Rate, r.Load.Arrival = result.OpenLoop, 20000, "poisson"
	r.Objectives = []result.Verdict{
		{Objective: "roundtrip p99<5ms", Measured: "71.3ms"},
		{Objective: "errors<0.01%", Measured: "0.003%", Kept: true},
	}
	for s := range r.Intervals {
		i := &r.Intervals[s]
		i.Planned = 20000
		i.Received = min(i.Received, 20000)
		i.Histograms[result.RoundTripUncorrected] = times(random, 200, 170*time.Microsecond)
		i.Histograms[result.FirstByte] = times(random, 200, 160*time.Microsecond)
		i.Histograms[result.HandshakeFull] = times(random, 20, 1900*time.Microsecond)
		i.Histograms[result.HandshakeResumed] = times(random, 60, 600*time.Microsecond)
		i.Connected += 80
		i.Closed = 80
		i.Hostile = map[string]uint64{"slowloris": uint64(min(50, 5*s)), "neverread": 20, "reset": uint64(random.IntN(10))}
		if s%17 == 11 || s == 30 {
			i.Errors = map[result.ErrorKind]uint64{result.PeerReset: uint64(1 + random.IntN(30)), result.Corrupted: 1}
		}
	}
	r.Examples = map[result.ErrorKind]result.Example{
		result.PeerReset: {At: 11 * time.Second, Text: "connection 1a2b-17 (127.0.0.1:41234 to 127.0.0.1:7443), message 812, of 1 that wait for a reply: connection reset by peer"},
		result.Corrupted: {At: 11200 * time.Millisecond, Text: `connection 1a2b-3 (127.0.0.1:41236 to 127.0.0.1:7443): the reply to message 12: byte 37 is 0x41 and should be 0x61 <script>alert("x")</script>`},
	}
	return r
}

// saturated is a run that says nothing about the server.
func saturated() *result.Result {
	r := eventful()
	r.Clients[0].Saturated = []result.Saturation{{
		Reason: result.ScheduleLag,
		Detail: "1 % of the messages left 31 ms late or more, beyond the 10 ms that are allowed: lower the rate, or use more processes (--procs) or hosts",
	}}
	return r
}
