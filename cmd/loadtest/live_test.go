package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

func interval(second int, received uint64) result.Interval {
	h := result.NewHistogram()
	for range received {
		h.Record(2 * time.Millisecond)
	}
	return result.Interval{
		Phase: result.Measure, Start: time.Duration(second) * time.Second, Length: time.Second,
		Counts:     result.Counts{Received: received, Sent: received, BytesReceived: received * 64, Open: 10},
		Histograms: map[result.Metric]*result.Histogram{result.RoundTrip: h},
		Errors:     map[result.ErrorKind]uint64{result.PeerReset: 1},
	}
}

// Elsewhere than on a terminal there's a line for each interval, and nothing is redrawn.
func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := newLive(process{stderr: &out}, loadtest.Load{Duration: 2 * time.Second})
	v.interval(interval(0, 1000))
	v.interval(interval(1, 2000))
	v.interval(result.Interval{Phase: result.Drain})
	v.close()
	text := out.String()
	if strings.Count(text, "\n") != 2 || strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
	for _, want := range []string{"1.0s", "2.0s", "10 open", "2,000/s", "128 kB/s", "p99 2.0", "2 errors"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in %q", want, text)
		}
	}
}

// On a terminal the same lines are drawn anew, none is wider than it, and in the end they've
// gone.
func TestDrawing(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull) // of which the width is unknown: 80
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var out bytes.Buffer
	v := newLive(process{stderr: &out, screen: null}, loadtest.Load{Duration: 100 * time.Second, Connections: 10})
	if v.screen != nil {
		t.Fatal("it takes a file for a terminal")
	}
	v.screen = null
	for s := range 100 {
		v.interval(interval(s, uint64(10+s)))
	}
	v.close()
	frames := strings.Split(out.String(), "\x1b[7A")
	if len(frames) != 101 || frames[100] != "\x1b[J" {
		t.Fatalf("%d frames, the last is %q", len(frames), frames[len(frames)-1])
	}
	last := strings.ReplaceAll(frames[99], "\x1b[K", "")
	for _, want := range []string{"100 of 100 s", "10 open of 10", "109/s", "p50 2.0", "100 reset_by_server", "▇▇██████"} {
		if !strings.Contains(last, want) {
			t.Errorf("%q isn't in %s", want, last)
		}
	}
	for line := range strings.Lines(last) {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		duration(0): "0ns", duration(999): "999ns", duration(1234): "1.23µs", duration(12345678): "12.3ms", duration(90 * time.Second): "90.0s",
		count(0): "0", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567",
		rate(0.5): "0.500/s", rate(12345.6): "12,346/s",
		throughput(10): "10 B/s", throughput(1234567): "1.23 MB/s",
		sparkline(nil): "", sparkline([]float64{0, 0}): "▁▁", sparkline([]float64{0, 7, 14}): "▁▅█",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
