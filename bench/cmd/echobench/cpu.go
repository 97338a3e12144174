//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/process"
	"github.com/sluice-net/sluice/bench/internal/stats"
)

// maxUnused is the share of its CPU that a server may leave unused for its figure
// to stand. Above it the client held the server back, which then finds fewer events
// at a time and goes to sleep in between: an echo costs more.
const maxUnused = 0.05

// maxOthers is the share of the server's CPU that others may have used.
const maxOthers = 0.03

// cpuExperiment measures server CPU time per echo under closed-loop load.
type cpuExperiment struct {
	cpu      int // the server's, or process.AnyCPU
	shape    shape
	warmup   time.Duration
	duration time.Duration
}

func (e cpuExperiment) title() string {
	return fmt.Sprintf("server CPU per echo, %d bytes on %d connections", e.shape.Size, e.shape.Conns)
}

func (e cpuExperiment) unit() string { return "µs" }

func (e cpuExperiment) columns() []column {
	percent := func(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }
	list := []column{{"server_busy", "server CPU", percent}}
	if e.cpu != process.AnyCPU {
		list = append(list, column{"others_busy", "others", percent})
	}
	return append(list,
		column{"client_idle", "client idle", percent},
		column{"echoes_per_second", "echoes/s", func(v float64) string { return fmt.Sprintf("%.0f", v) }},
	)
}

func (e cpuExperiment) measure(ctx context.Context, addr netip.AddrPort, pid int) (sample, error) {
	client, err := echo.Dial(ctx, addr, e.shape.Conns, e.shape.Size)
	if err != nil {
		return sample{}, err
	}
	defer client.Close()

	var (
		from, to  reading
		readErr   error
		began     = time.Now()
		measuring bool
	)
	err = client.Run(ctx, func(p echo.Progress) bool {
		elapsed := p.Now.Sub(began)
		switch {
		case !measuring && elapsed >= e.warmup:
			measuring = true
			from, readErr = e.read(pid, p)
		case measuring && elapsed >= e.warmup+e.duration && p.Echoes > from.client.Echoes:
			to, readErr = e.read(pid, p)
			return false
		}
		return readErr == nil
	})
	if err != nil {
		return sample{}, err
	}
	if readErr != nil {
		return sample{}, readErr
	}
	return e.perEcho(from, to), nil
}

func (e cpuExperiment) doubts(samples []sample) []string {
	var found []string
	unused := stats.Summarize(pick(samples, func(s sample) float64 {
		return 1 - s.Facts["server_busy"] - s.Facts["others_busy"]
	}))
	if unused.Max > maxUnused {
		found = append(found, fmt.Sprintf("up to %.1f%% of its CPU were left unused, more than %.0f%%: the client held it back, its figure is too high",
			100*unused.Max, 100*maxUnused))
	}
	others := stats.Summarize(pick(samples, func(s sample) float64 { return s.Facts["others_busy"] }))
	if others.Max > maxOthers {
		found = append(found, fmt.Sprintf("others used up to %.1f%% of its CPU, more than %.0f%%: the machine is busy",
			100*others.Max, 100*maxOthers))
	}
	return found
}

// A reading is the state of the counters at one moment.
type reading struct {
	client echo.Progress
	server time.Duration
	idle   time.Duration // of the server's CPU
}

func (e cpuExperiment) read(pid int, p echo.Progress) (reading, error) {
	r := reading{client: p}
	var err error
	if e.cpu != process.AnyCPU {
		if r.idle, err = process.IdleTime(e.cpu); err != nil {
			return r, err
		}
	}
	r.server, err = process.CPUTime(pid)
	// Looking took a moment: the time is that of the server's clock.
	r.client.Now = time.Now()
	return r, err
}

// perEcho wants at least one echo between the readings.
func (e cpuExperiment) perEcho(from, to reading) sample {
	echoes := to.client.Echoes - from.client.Echoes
	wall := to.client.Now.Sub(from.client.Now).Seconds()
	server := (to.server - from.server).Seconds()
	s := sample{
		Value: server * 1e6 / float64(echoes),
		Facts: map[string]float64{
			"echoes":            float64(echoes),
			"seconds":           wall,
			"echoes_per_second": float64(echoes) / wall,
			"server_busy":       server / wall,
			"client_idle":       (to.client.Idle - from.client.Idle).Seconds() / wall,
		},
	}
	if e.cpu != process.AnyCPU {
		idle := (to.idle - from.idle).Seconds()
		s.Facts["others_busy"] = max(0, (wall-server-idle)/wall)
	}
	return s
}
