package main

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/loadtest/result"
)

// What was asked for and didn't come about is said, and so is why the run is invalid.
func TestSummary(t *testing.T) {
	t.Parallel()
	i := interval(0, 1000)
	i.Planned = 2000
	i.Histograms[result.RoundTripUncorrected] = i.Histograms[result.RoundTrip]
	r := &result.Result{
		Targets:   []string{"tcp://127.0.0.1:7007"},
		Load:      result.Load{Mode: result.OpenLoop, Rate: 2000, Arrival: "poisson", Connections: 20, Sizes: "64", Codec: "echo"},
		Intervals: []result.Interval{i},
		Examples:  map[result.ErrorKind]result.Example{result.PeerReset: {Text: "connection 7"}},
		Clients: []result.Client{{Processors: 2, Saturated: []result.Saturation{
			{Reason: result.CPU, Detail: "all was busy"},
		}}},
		Objectives: []result.Verdict{{Objective: "rate>1500", Measured: "1000.0"}},
		Stopped:    true,
	}
	var b strings.Builder
	summarize(&b, r, r.Total())
	for _, want := range []string{
		"tcp://127.0.0.1:7007  20 connections, open loop of 2,000/s, poisson, 64 B, echo, NOT VERIFIED\n",
		"1,000 replies in 1.00s: 1,000/s", "; stopped early\n",
		"no more than 10 of 20 connections were open",
		"1,000 of 2,000 planned messages weren't sent",
		"round trip", "… uncorrected",
		"errors   1 reset_by_server, the first: connection 7\n",
		"INVALID  all was busy\n",
		"MISSED   rate>1500: 1000.0\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(line)); n > 100 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
}
