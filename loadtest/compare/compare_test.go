package compare_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/compare"
	"github.com/sluice-net/sluice/loadtest/result"
)

// verdictsOf counts, over many seeds, how often each metric got a verdict.
func verdictsOf(seeds int, a, b build) map[string]map[compare.Verdict]int {
	all := map[string]map[compare.Verdict]int{}
	for s := range seeds {
		a.seed, b.seed = uint64(2*s+1), uint64(2*s+2)
		for name, v := range verdicts(compare.Compare(a.run(), b.run(), compare.Options{})) {
			if all[name] == nil {
				all[name] = map[compare.Verdict]int{}
			}
			all[name][v]++
		}
	}
	return all
}

// Two runs of the same build aren't different, also if its seconds resemble their
// neighbours. By chance one in a hundred is; two of 40 are let pass.
func TestSameBuild(t *testing.T) {
	t.Parallel()
	for _, memory := range []float64{0, 0.6} {
		b := build{memory: memory, replies: 50, errors: 2}
		for name, found := range verdictsOf(40, b, b) {
			if n := found[compare.Better] + found[compare.Worse]; n > 2 {
				t.Errorf("memory %v, %s: %d of 40 pairs are different: %v", memory, name, n, found)
			}
		}
	}
}

// A server that is slower by a tenth is found out, beneath a noise of a twentieth.
func TestSlowerBuild(t *testing.T) {
	t.Parallel()
	found := verdictsOf(20, build{replies: 300}, build{replies: 300, slower: 0.1})
	for name, least := range map[string]int{"throughput": 20, "round trip p50": 16} {
		if n := found[name][compare.Worse]; n < least {
			t.Errorf("%s: %d of 20 pairs are worse: %v", name, n, found[name])
		}
	}
	found = verdictsOf(20, build{replies: 50, slower: 0.1}, build{replies: 50})
	if n := found["throughput"][compare.Better]; n < 20 {
		t.Errorf("the other way round, %d of 20 pairs are better", n)
	}
}

// The interval has the true change in it.
func TestInterval(t *testing.T) {
	t.Parallel()
	missed := 0
	for s := range 30 {
		a, b := build{seed: uint64(2*s + 1), replies: 100}, build{seed: uint64(2*s + 2), replies: 100, slower: 0.25}
		for _, r := range compare.Compare(a.run(), b.run(), compare.Options{}).Rows {
			if r.Metric == "round trip p50" && (*r.Low > 0.25 || *r.High < 0.25 || *r.Change < *r.Low || *r.Change > *r.High) {
				missed++
			}
		}
	}
	if missed > 1 {
		t.Errorf("%d of 30 intervals miss the change", missed)
	}
}

// One frozen second could have hit the other run as well.
func TestOneFreeze(t *testing.T) {
	t.Parallel()
	a, b := build{seed: 1}.run(), build{seed: 2}.run()
	for range 400 {
		b.Intervals[12].Histograms[result.RoundTrip].Record(500 * time.Millisecond)
	}
	c := compare.Compare(a, b, compare.Options{})
	row := rowOf(t, c, "round trip p99")
	if row.Verdict != compare.Same || *row.Change < 100 {
		t.Errorf("%+v", row)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		a, b         build
		errors       compare.Verdict
		wrong        compare.Verdict
		beyond       bool
		changeAtMost float64
	}{
		{"none", build{}, build{}, compare.Same, compare.Same, false, 0},
		{"some in both", build{errors: 5}, build{errors: 5}, compare.Same, compare.Same, false, 0.02},
		{"some in B", build{}, build{errors: 5}, compare.Worse, compare.Same, true, 0.05},
		{"some in A", build{errors: 5}, build{}, compare.Better, compare.Same, false, 0.05},
		{"one wrong in B", build{}, build{wrong: 1}, compare.Same, compare.Worse, true, 0.01},
		{"one wrong in A", build{wrong: 1}, build{}, compare.Same, compare.Better, false, 0.01},
		{"wrong in both", build{wrong: 1}, build{wrong: 2}, compare.Same, compare.NotComparable, false, 0.01},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.a.seed, tt.b.seed = 1, 2
			c := compare.Compare(tt.a.run(), tt.b.run(), compare.Options{Threshold: 0.05})
			errs, wrong := rowOf(t, c, "errors"), rowOf(t, c, "wrong replies")
			if errs.Verdict != tt.errors || wrong.Verdict != tt.wrong || math.Abs(*errs.Change) > tt.changeAtMost {
				t.Errorf("errors: %+v\nwrong replies: %+v", errs, wrong)
			}
			if beyond := len(c.Worse()) > 0; beyond != tt.beyond {
				t.Errorf("worse: %v", c.Worse())
			}
		})
	}
}

// A change within the threshold is told, and let pass.
func TestThreshold(t *testing.T) {
	t.Parallel()
	a, b := build{seed: 1}.run(), build{seed: 2, slower: 0.1}.run()
	for threshold, beyond := range map[float64]bool{0: true, 0.05: true, 0.2: false} {
		c := compare.Compare(a, b, compare.Options{Threshold: threshold})
		row := rowOf(t, c, "throughput")
		if row.Verdict != compare.Worse || row.Beyond != beyond || beyond != (len(c.Worse()) > 0) {
			t.Errorf("threshold %v: %+v", threshold, row)
		}
	}
}

// What can't be compared gets no verdict, and the reason.
func TestRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(b *result.Result)
		force  bool
		want   string // of the reason; empty: it's compared
	}{
		{"nothing", func(*result.Result) {}, false, ""},
		{"saturated", func(b *result.Result) {
			b.Clients[0].Saturated = []result.Saturation{{Reason: result.ScheduleLag}}
		}, false, "B is an invalid run: its client was saturated (schedule_lag)"},
		{"saturated, forced", func(b *result.Result) {
			b.Clients[0].Saturated = []result.Saturation{{Reason: result.CPU}}
		}, true, "B is an invalid run"},
		{"another load", func(b *result.Result) { b.Load.Connections = 200 }, false, "the loads differ: connections 100 and 200"},
		{"another load, forced", func(b *result.Result) { b.Load.Connections = 200 }, true, ""},
		{"another transport", func(b *result.Result) { b.Targets = []string{"tls://127.0.0.1:7443"} }, false, "transport tcp and tls"},
		{"another think time", func(b *result.Result) { b.Load.Think = time.Second }, false, "think time none and 1s"},
		{"another churn", func(b *result.Result) { b.Load.Churn = 5 }, false, "churn none and 5"},
		{"another rate", func(b *result.Result) { b.Load.Rate = 50 }, false, "rate none and 50"},
		{"other sizes", func(b *result.Result) { b.Load.Sizes = "64-1024" }, false, "sizes 64 and 64-1024"},
		{"hostile clients", func(b *result.Result) { b.Load.Hostile = map[string]uint64{"reset": 3} }, false, "hostile clients none and reset=3"},
		{"all at once", func(b *result.Result) { b.Load.Sizes, b.Load.Codec = "1", "line" }, false, "sizes 64 and 1, codec echo and line"},
		{"an older result, without the timeout", func(b *result.Result) { b.Load.Timeout = 0 }, false, ""},
		{"the same load in other words", func(b *result.Result) {
			b.Targets = []string{"tcp://build-2.example.net:7008"}
			b.Command = []string{"/tmp/x/loadtest", "run", "tcp://build-2.example.net:7008", "--json=-", "-q", "-c100", "--duration", "1m", "--tls-ca", "b.pem", "--procs=1"}
		}, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b := build{seed: 1}.run(), build{seed: 2}.run()
			tt.change(b)
			c := compare.Compare(a, b, compare.Options{Force: tt.force})
			if got := strings.Join(c.Refused, "; "); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
				t.Fatalf("refused: %q", got)
			}
			for _, r := range c.Rows {
				if r.A == nil || r.B == nil {
					t.Errorf("%s: the figures are missing", r.Metric)
				}
				if refused := len(c.Refused) > 0; refused && (r.Verdict != compare.NotComparable || r.Change != nil || r.Beyond) {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// Clients of another kind are told, and so is their number, but nothing is refused for it. The
// host's name says nothing: containers have random ones.
func TestWarnings(t *testing.T) {
	t.Parallel()
	a, b := build{seed: 1}.run(), build{seed: 2}.run()
	b.Clients[0].Host = "another"
	if c := compare.Compare(a, b, compare.Options{}); len(c.Warnings) > 0 {
		t.Errorf("another host: %q", c.Warnings)
	}
	b.Clients[0].Processors = 8
	b.Clients = append(b.Clients, b.Clients[0])
	c := compare.Compare(a, b, compare.Options{})
	var text bytes.Buffer
	if err := c.WriteTable(&text); err != nil {
		t.Fatal(err)
	}
	if want := "Mind that the clients differ: 1 of linux/amd64, go1.26, 2 processors and 2 of linux/amd64, go1.26, 8 processors."; len(c.Refused) > 0 || !strings.Contains(text.String(), want) {
		t.Errorf("refused: %q\n%s", c.Refused, &text)
	}
}

// A metric that there's too little of is told apart from one that hasn't changed.
func TestTooLittle(t *testing.T) {
	t.Parallel()
	a, b := build{seed: 1}.run(), build{seed: 2}.run()
	a.Intervals[0].Histograms[result.Connect] = a.Intervals[0].Histograms[result.RoundTrip]
	b.Intervals[0].Histograms[result.Connect] = b.Intervals[0].Histograms[result.RoundTrip]
	a.Intervals[0].Histograms[result.HandshakeFull] = a.Intervals[0].Histograms[result.RoundTrip]
	c := compare.Compare(a, b, compare.Options{})
	for name, want := range map[string]string{
		"round trip p99.9":   "each eighth of the time needs 5000",
		"connect p50":        "too few, or in too few of the intervals",
		"full handshake p50": "only one of the runs has any",
	} {
		if r := rowOf(t, c, name); r.Verdict != compare.NotComparable || !strings.Contains(r.Reason, want) {
			t.Errorf("%s: %s, %q", name, r.Verdict, r.Reason)
		}
	}
	short := compare.Compare(build{seed: 1, seconds: 5}.run(), build{seed: 2, seconds: 5}.run(), compare.Options{})
	if r := rowOf(t, short, "throughput"); r.Verdict != compare.NotComparable || !strings.Contains(r.Reason, "5 measured intervals are too few") || len(short.Refused) != 1 {
		t.Errorf("%+v", r)
	}
	nothing := compare.Compare(&result.Result{}, &result.Result{}, compare.Options{})
	if len(nothing.Worse()) > 0 || rowOf(t, nothing, "throughput").Verdict != compare.NotComparable {
		t.Errorf("%+v", nothing)
	}
}

// Seconds that follow each other closely say too little to call two runs alike, and what would
// be an interval of billions of percent is none. Of a change beyond that it's sure.
func TestDrift(t *testing.T) {
	t.Parallel()
	drifting := func(seed uint64, by float64) *result.Result {
		r := build{seed: seed, seconds: 8}.run()
		for n := range r.Intervals {
			h := result.NewHistogram()
			for range 1000 {
				h.Record(time.Duration(by * float64(time.Millisecond) * math.Exp(float64(n))))
			}
			r.Intervals[n].Histograms[result.RoundTrip] = h
		}
		return r
	}
	c := compare.Compare(drifting(1, 1), drifting(2, 1.5), compare.Options{Threshold: 0.05})
	if r := rowOf(t, c, "round trip p50"); r.Verdict != compare.NotComparable || r.Low != nil || !strings.Contains(r.Reason, "measure longer") {
		t.Errorf("%+v", r)
	}
	var text bytes.Buffer
	if err := c.WriteTable(&text); err != nil || strings.Contains(text.String(), "000000 %") {
		t.Errorf("%v\n%s", err, &text)
	}
	steady := compare.Compare(build{seed: 1, replies: 3000}.run(), build{seed: 2, replies: 3000, slower: 150}.run(), compare.Options{})
	text.Reset()
	if err := steady.WriteTable(&text); err != nil || !strings.Contains(text.String(), "+10000 % or more") {
		t.Errorf("%v\n%s", err, &text)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	a, b := build{seed: 1}.run(), build{seed: 2, slower: 0.2, errors: 3}.run()
	c := compare.Compare(a, b, compare.Options{Threshold: 0.05})
	var text bytes.Buffer
	if err := c.WriteTable(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"A  tcp://127.0.0.1:7007, 30s measured", "99 % interval", "throughput", "worse", " µs",
		"B is worse by more than 5 %: throughput,", "round trip p99.9 isn't comparable: A: too few for this percentile",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q isn't in\n%s", want, &text)
		}
	}
	if err := c.WriteTable(broken{}); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
	file, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var again compare.Comparison
	if err := json.Unmarshal(file, &again); err != nil || len(again.Worse()) != len(c.Worse()) {
		t.Errorf("%s: %v", file, err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func rowOf(t *testing.T, c compare.Comparison, metric string) compare.Row {
	t.Helper()
	for _, r := range c.Rows {
		if r.Metric == metric {
			return r
		}
	}
	t.Fatalf("there's no %s", metric)
	return compare.Row{}
}
