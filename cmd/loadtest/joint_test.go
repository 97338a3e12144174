package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// Intervals of several processes are put together by when they were, so one that is late or
// missing shifts none of the others.
func TestJoint(t *testing.T) {
	t.Parallel()
	const jitter = 100 * time.Millisecond
	began := time.Now()
	var shown []string
	j := newJoint(2, loadtest.Load{Interval: time.Second, OnInterval: func(i result.Interval) {
		shown = append(shown, string(i.Phase)+" "+i.Start.String()+" "+count(i.Received))
	}})
	add := func(nth, second int, off time.Duration, i result.Interval) {
		j.add(nth, began.Add(time.Duration(second)*time.Second+off), i)
	}
	connecting := interval(0, 0)
	connecting.Phase = result.Connecting
	step := func(want ...string) {
		t.Helper()
		if !slices.Equal(shown, want) {
			t.Errorf("%q, want %q", shown, want)
		}
		shown = nil
	}
	add(0, -1, jitter, connecting)
	step()
	add(0, 0, jitter, interval(0, 1))
	add(0, 1, jitter, interval(1, 2)) // the other is late
	step()
	add(1, 0, 0, interval(0, 10)) // and had nothing to connect
	step("connect 0s 0", "measure 0s 11")
	add(1, 2, 0, interval(2, 30)) // without the one before
	step("measure 1s 2")
	add(0, 2, -jitter, interval(2, 3))
	step("measure 2s 33")
	add(0, 3, 0, interval(3, 4))
	step()
	j.end(1)
	step("measure 3s 4")
	add(0, 4, 0, interval(4, 5))
	step("measure 4s 5")
}

// Processes begin when the last one is ready, all at the same time, which has a whole number
// of intervals since --start-at.
func TestJointBegin(t *testing.T) {
	t.Parallel()
	start := time.Now().Add(-time.Hour)
	for _, s := range []time.Time{{}, start, start.Add(2 * time.Hour)} {
		j := newJoint(2, loadtest.Load{Interval: time.Minute, StartAt: s})
		var a, b bytes.Buffer
		before := time.Now()
		j.ready(&a)
		if a.Len() > 0 {
			t.Error("one begins without the other")
		}
		j.ready(&b)
		var o order
		same := a.String() == b.String()
		if err := json.NewDecoder(&a).Decode(&o); err != nil || !same || o.Begin.Before(before) {
			t.Errorf("%v: %v, and the other %q", err, o, &b)
		}
		at := o.Begin
		if !s.IsZero() && s.Before(before) && at.Sub(s)%time.Minute != 0 {
			t.Errorf("it's %v after the start", at.Sub(s))
		}
	}
}

// What is shown is the sum, and each process's result keeps its own.
func TestHear(t *testing.T) {
	t.Parallel()
	began := time.Now()
	shown := uint64(0)
	j := newJoint(2, loadtest.Load{Interval: time.Second, OnInterval: func(i result.Interval) {
		shown += i.Histograms[result.RoundTrip].Count()
	}})
	var said bytes.Buffer
	out := json.NewEncoder(&said)
	for second := range 3 {
		i := interval(second, 10)
		h := result.NewHistogram()
		h.Record(time.Millisecond)
		i.Histograms = map[result.Metric]*result.Histogram{result.RoundTrip: h, result.RoundTripUncorrected: h}
		i.Errors = map[result.ErrorKind]uint64{result.Lost: 1}
		if err := out.Encode(word{Interval: &i, Began: began.Add(i.Start)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Encode(word{Result: &result.Result{}}); err != nil {
		t.Fatal(err)
	}
	both := [2]*result.Result{}
	for nth := range both {
		r, err := hear(bytes.NewReader(said.Bytes()), io.Discard, nth, j)
		if err != nil {
			t.Fatal(err)
		}
		both[nth] = r
	}
	for nth, r := range both {
		total := r.Total()
		if n := total.Histograms[result.RoundTrip].Count(); len(r.Intervals) != 3 || n != 3 || total.Received != 30 || total.Errors[result.Lost] != 3 {
			t.Errorf("process %d has %d intervals with %d times, %d replies, %v", nth, len(r.Intervals), n, total.Received, total.Errors)
		}
	}
	if shown != 6 {
		t.Errorf("%d times were shown, want 6", shown)
	}
}
