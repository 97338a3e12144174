package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/compare"
	"github.com/sluice-net/sluice/loadtest/result"
)

// constant is the result of a run without any noise; change makes another of it.
func constant(t *testing.T, replies uint64, change func(*result.Result)) string {
	t.Helper()
	r := &result.Result{
		Version: result.Version,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Ended:   time.Date(2026, 1, 2, 3, 4, 15, 0, time.UTC),
		Command: []string{"loadtest", "run", "tcp://127.0.0.1:7007"},
		Targets: []string{"tcp://127.0.0.1:7007"},
		Load:    result.Load{Mode: result.ClosedLoop, Connections: 10, Interval: time.Second},
		Clients: []result.Client{{Host: "one"}},
	}
	for s := range 10 {
		r.Intervals = append(r.Intervals, result.Interval{
			Phase: result.Measure, Start: time.Duration(s) * time.Second, Length: time.Second,
			Counts: result.Counts{Sent: replies, Received: replies},
		})
	}
	if change != nil {
		change(r)
	}
	name := temporary(t, "result.json")
	mustWrite(t, name, r)
	return name
}

// The exit codes of compare, which CI goes by.
func TestCompare(t *testing.T) {
	t.Parallel()
	a := constant(t, 1000, nil)
	slower := constant(t, 900, nil)
	slightly := constant(t, 970, nil)
	invalid := constant(t, 1000, func(r *result.Result) {
		r.Clients[0].Saturated = []result.Saturation{{Reason: result.CPU}}
	})
	larger := constant(t, 1000, func(r *result.Result) { r.Load.Connections = 20 })
	short := constant(t, 1000, func(r *result.Result) { r.Intervals = r.Intervals[:3] })
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"the same", []string{a, a}, exitClean, []string{"no significant difference"}},
		{"worse", []string{a, slower}, exitWorse, []string{"−10.0 %", "worse", "is worse than", "throughput"}},
		{"better", []string{slower, a}, exitClean, []string{"better"}},
		{"worse within the threshold", []string{a, slightly}, exitClean, []string{"−3.0 %", "worse"}},
		{"worse beyond a smaller one", []string{a, slightly, "--threshold=0.02"}, exitWorse, []string{"by more than 2 %"}},
		{"invalid", []string{a, invalid}, exitSaturated, []string{"B is an invalid run"}},
		{"another load", []string{a, larger}, exitSaturated, []string{"connections 10 and 20"}},
		{"another load, forced", []string{a, larger, "--force"}, exitClean, []string{"no significant difference"}},
		{"too short", []string{a, short}, exitSaturated, []string{"3 measured intervals are too few"}},
		{"no part", []string{a, a, "--threshold=x"}, exitUsage, []string{"want a part such as 5% or 0.05"}},
		{"no file", []string{a, a + "x"}, exitFailure, []string{"no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			invoke(t, append([]string{"compare"}, tt.args...)...).must(t, tt.code, tt.want...)
		})
	}
	var c compare.Comparison
	if err := json.Unmarshal([]byte(invoke(t, "compare", "--json", a, slower).stdout), &c); err != nil || len(c.Worse()) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// A part that doesn't fit is told by its name.
func TestMergeMisfit(t *testing.T) {
	t.Parallel()
	one := constant(t, 10, nil)
	other := constant(t, 10, func(r *result.Result) { r.Load.Sizes = "128" })
	invoke(t, "merge", one, other).must(t, exitFailure, "loadtest: "+other+": its load differs (sizes 128, and the first part's none)")
}
