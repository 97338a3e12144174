package main

import (
	"context"
	"encoding/csv"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/loadtest/result"
)

// Each way to end has its code, and says in one line what is wrong and what to do.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	honest := serve(t, echo)
	liar := serve(t, func(c net.Conn) {
		b := make([]byte, 64)
		for {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			b[50]++
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
	mute := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	nobody := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "tcp://" + l.Addr().String()
	}()
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"clean", []string{honest, "-n", "100"}, exitClean, []string{"100 replies", "errors   none", "closed loop"}},
		{"objectives kept", []string{honest, "-n", "100", "--slo", "errors<1%, roundtrip max<1h"}, exitClean, []string{"kept     roundtrip max<1h"}},
		{"lines", []string{honest, "-n", "100", "--codec", "line", "--size", "1-100"}, exitClean, []string{"1-100 B, line"}},
		{"among hostile ones", []string{honest, "-n", "100", "--hostile", "reset=1,slowloris=2"}, exitClean, []string{"beside 1 reset and 2 slowloris"}},
		{"unverified", []string{honest, "-n", "100", "--no-verify"}, exitClean, []string{"NOT VERIFIED"}},

		{"wrong bytes", []string{liar, "-n", "3", "-c", "1"}, exitFailure, []string{"wrong bytes", "WRONG    3 corrupted", "byte 50"}},
		{"no reply", []string{mute, "-n", "1", "--timeout", "2s", "-c", "1"}, exitFailure, []string{"WRONG    1 lost"}},
		{"refused", []string{nobody}, exitFailure, []string{"loadtest: " + nobody + ": ", "refused", "start the server"}},

		{"no URL", nil, exitUsage, []string{"expected", "--help"}},
		{"bad URL", []string{"http://127.0.0.1:1"}, exitUsage, []string{"URL: ", "want tcp://"}},
		{"bad size", []string{honest, "--size", "x"}, exitUsage, []string{"--size: ", "want a size"}},
		{"bad objective", []string{honest, "--slo", "fast"}, exitUsage, []string{"--slo: ", "roundtrip p99<5ms"}},
		{"bad hostile", []string{honest, "--hostile", "rude=1"}, exitUsage, []string{"--hostile: ", "slowloris"}},
		{"bad source", []string{honest, "--source", "x"}, exitUsage, []string{"--source: "}},
		{"bad time", []string{honest, "--start-at", "soon"}, exitUsage, []string{"--start-at: ", "15:04:05"}},
		{"no such script", []string{honest, "--script", "/nonexistent"}, exitUsage, []string{"--codec: ", "/nonexistent"}},
		{"no such authority", []string{honest, "--tls-ca", "/nonexistent"}, exitUsage, []string{"--tls: ", "/nonexistent"}},
		{"no such folder", []string{honest, "--json", "/nonexistent/a.json"}, exitUsage, []string{"/nonexistent/a.json"}},
		{"too many processes", []string{honest, "--procs", "11"}, exitUsage, []string{"--procs 11"}},
		{"too fast", []string{honest, "-r", "1e11", "--procs", "2"}, exitUsage, []string{"Rate is 1e+11", "with 10 connections"}},
		{"thinking in an open loop", []string{honest, "-r", "1", "--think", "1s"}, exitUsage, []string{"closed loops"}},
		{"no connections", []string{honest, "-c", "0"}, exitUsage, []string{"--connections 0"}},
		{"bad metrics address", []string{honest, "--metrics", "127.0.0.1:x"}, exitUsage, []string{"--metrics: "}},

		{"missed", []string{honest, "-n", "100", "--slo", "roundtrip p50<1ns,errors<1%"}, exitMissed, []string{"MISSED   roundtrip p50<1ns", "kept     errors<1%"}},
		{"saturated", []string{honest, "-n", "100", "-r", "500", "--max-lag", "1ns", "--slo", "roundtrip p50<1ns"}, exitSaturated, []string{"INVALID", "make less load", "says nothing about the server"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, append([]string{"run"}, tt.args...)...)
			r.must(t, tt.code, tt.want...)
			if tt.code == exitUsage && (strings.Count(r.stderr, "\n") != 1 || r.stdout != "") {
				t.Errorf("not one line: %q, %q", r.stderr, r.stdout)
			}
		})
	}
}

// An interrupt ends the run, which still reports, and succeeds.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	url := serve(t, func(c net.Conn) {
		b := make([]byte, 64)
		if _, err := io.ReadFull(c, b); err == nil { // and not the look before
			_, _ = c.Write(b)
			cancel()
		}
		echo(c)
	})
	r := invokeIn(ctx, "run", url, "-c", "1", "-d", "1h")
	r.must(t, exitClean, "stopped early", "errors   none")
}

func TestInterruptBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(net.Conn) { cancel() })
	r := invokeIn(ctx, "run", url, "--start-at", time.Now().Add(time.Hour).Format(time.RFC3339))
	r.must(t, exitFailure, "loadtest: stopped before it began\n")
}

// An interrupt among handshakes that don't come to an end is heeded, and doesn't blame the
// server.
func TestInterruptWhileConnecting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var looked atomic.Bool
	encrypted := overTLS(testenv.Certificate(t, nil))
	url := serve(t, func(c net.Conn) {
		if looked.CompareAndSwap(false, true) {
			encrypted(c)
			return
		}
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})
	r := invokeIn(ctx, "run", strings.Replace(url, "tcp", "tls", 1), "--tls-insecure", "--timeout", "1h", "-q")
	r.must(t, exitFailure, "stopped early", "errors   none", "loadtest: stopped before there was a reply\n")
}

// A time that's over is now, and one to come is waited for.
func TestStartAt(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	for _, from := range []time.Duration{-time.Hour, time.Second} {
		at := time.Now().Add(from).Truncate(time.Second).Add(time.Second)
		name := temporary(t, "a.json")
		r := invoke(t, "run", url, "-n", "10", "--interval", "10ms", "--json", name, "--start-at", at.Format(time.RFC3339))
		r.must(t, exitClean, "10 replies")
		if waits := strings.HasPrefix(r.stderr, "waiting until "); waits != (from > 0) {
			t.Errorf("%q, of %v", r.stderr, from)
		}
		if began := mustRead(t, name).Started; began.Before(at) {
			t.Errorf("it began at %v, and should have at %v", began, at)
		}
	}
}

// The files have what was measured, and merging them loses nothing.
func TestFilesAndMerge(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	var parts []*result.Result
	names := []string{temporary(t, "a.json"), temporary(t, "b.json")}
	for nth, name := range names {
		csv, hdr := temporary(t, "a.csv"), temporary(t, "a.hdr")
		invoke(t, "run", url, "-n", "500", "--json", name, "--csv", csv, "--hdr", hdr).must(t, exitClean)
		r := mustRead(t, name)
		if nth > 0 { // as if they had been made together
			r.Started, r.Ended = parts[0].Started, parts[0].Started.Add(r.Ended.Sub(r.Started))
			mustWrite(t, name, r)
		}
		parts = append(parts, r)
		for file, text := range map[string]string{csv: "measure,", hdr: "Tag=round_trip,"} {
			if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), text) {
				t.Errorf("%s: %v, without %q", file, err, text)
			}
		}
	}
	if want := []string{"loadtest", "run", url}; !slices.Equal(parts[0].Command[:3], want) {
		t.Errorf("%q", parts[0].Command)
	}
	sum := temporary(t, "sum.json")
	invoke(t, "merge", names[0], names[1], "--json", sum, "--slo", "errors<1%").must(t, exitClean, "1,000 replies", "2 processes", "kept")
	invoke(t, "merge", names[0], names[1], "--slo", "rate<0").must(t, exitMissed, "MISSED")
	merged := mustRead(t, sum).Total()
	want := map[time.Duration]uint64{}
	for _, p := range parts {
		p.Total().Histograms[result.RoundTrip].Buckets(func(d time.Duration, n uint64) bool {
			want[d] += n
			return true
		})
	}
	got := map[time.Duration]uint64{}
	merged.Histograms[result.RoundTrip].Buckets(func(d time.Duration, n uint64) bool {
		got[d] += n
		return true
	})
	if !maps.Equal(got, want) || merged.Received != 1000 {
		t.Errorf("%d replies, %d different times; want 1000, %d", merged.Received, len(got), len(want))
	}
	invoke(t, "merge", "/nonexistent").must(t, exitFailure, "/nonexistent")
}

// With --json=- nothing else is on standard output.
func TestJSONToStandardOutput(t *testing.T) {
	t.Parallel()
	r := invoke(t, "run", serve(t, echo), "-n", "10", "--json", "-", "-q")
	r.must(t, exitClean)
	got, err := result.Read(strings.NewReader(r.stdout))
	if err != nil || got.Total().Received != 10 || r.code == exitClean && r.stderr != "" {
		t.Errorf("%v, %q", err, r.stderr)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	invoke(t, "--version").must(t, exitClean, "loadtest (devel) go")
	invoke(t, "--help").must(t, exitClean, "Exit codes: 0", "merge")
	invoke(t, "run", "--help").must(t, exitClean, "--rate", "--hostile", "--slo", "TLS, for targets")
}

// With --csv=- nothing but the rows is on standard output either.
func TestCSVToStandardOutput(t *testing.T) {
	t.Parallel()
	r := invoke(t, "run", serve(t, echo), "-n", "10", "--csv", "-", "-q")
	r.must(t, exitClean)
	if rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll(); err != nil || len(rows) < 2 {
		t.Errorf("%d rows, %v: %s", len(rows), err, r.stdout)
	}
}
