//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/process"
)

// How long memory is watched until it counts as settled: it must stay within
// settleSlack for settleWindow, and after settleLimit what there is counts, with
// a doubt. Nothing makes the server collect garbage earlier than it would.
const (
	settlePoll   = 100 * time.Millisecond
	settleWindow = 2 * time.Second
	settleLimit  = 30 * time.Second
	settleSlack  = 64 << 10
)

// idleExperiment measures the resident memory of connections that have echoed
// once and are silent.
type idleExperiment struct{ load shape }

func (e idleExperiment) shape() shape { return e.load }

func (e idleExperiment) title() string {
	return "resident memory per idle connection, " + e.load.describe()
}

func (e idleExperiment) unit() string { return "B" }

func (e idleExperiment) columns() []column {
	return []column{
		{Key: "resident_before", Head: "before", Format: mebi},
		{Key: "resident_after", Head: "after", Format: mebi},
		{Key: "peak", Head: "peak", Format: mebi},
		{Key: "settled_seconds", Head: "settled in", Format: seconds},
	}
}

func (e idleExperiment) measure(ctx context.Context, addr netip.AddrPort, pid int) (sample, error) {
	resident := func() (uint64, error) {
		m, err := process.ReadMemory(pid)
		return m.Resident, err
	}
	before, _, err := settle(ctx, resident)
	if err != nil {
		return sample{}, err
	}
	client, err := echo.Dial(ctx, addr, e.load.Conns, e.load.Size)
	if err != nil {
		return sample{}, err
	}
	defer client.Close()
	after, took, err := settle(ctx, resident)
	if err != nil {
		return sample{}, err
	}
	m, err := process.ReadMemory(pid)
	if err != nil {
		return sample{}, err
	}
	// A server that had dropped connections would look thrifty.
	if err := client.Once(ctx); err != nil {
		return sample{}, fmt.Errorf("after the idle time: %w", err)
	}
	return sample{
		Value: (float64(after) - float64(before)) / float64(e.load.Conns),
		Facts: map[string]float64{
			"resident_before": float64(before),
			"resident_after":  float64(after),
			"peak":            float64(m.Peak),
			"settled_seconds": took.Seconds(),
		},
	}, nil
}

func (e idleExperiment) doubts(samples []sample) []string {
	var found []string
	for i, s := range samples {
		if s.Facts["settled_seconds"] >= settleLimit.Seconds() {
			found = append(found, fmt.Sprintf("repetition %d: memory had not settled after %v", i+1, settleLimit))
		}
	}
	return found
}

// settle watches a size until it stays still, and returns its last value.
func settle(ctx context.Context, size func() (uint64, error)) (last uint64, took time.Duration, err error) {
	began := time.Now()
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	var w window
	for {
		if last, err = size(); err != nil {
			return 0, 0, err
		}
		took = time.Since(began)
		if w.still(took, last) || took >= settleLimit {
			return last, took, nil
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-tick.C:
		}
	}
}

// A window tells since when a size has stayed within settleSlack.
type window struct {
	since  time.Duration
	lo, hi uint64
}

func (w *window) still(now time.Duration, size uint64) bool {
	lo, hi := min(w.lo, size), max(w.hi, size)
	if w.hi == 0 || hi-lo > settleSlack {
		*w = window{since: now, lo: size, hi: size}
		return false
	}
	w.lo, w.hi = lo, hi
	return now-w.since >= settleWindow
}
