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

// cpuExperiment measures server CPU time per echo (or connection, or delivery), throughput
// and latency under closed-loop load.
type cpuExperiment struct {
	cpu      int // the server's, or process.AnyCPU
	load     shape
	warmup   time.Duration
	duration time.Duration
}

func (e cpuExperiment) shape() shape { return e.load }

func (e cpuExperiment) title() string {
	return fmt.Sprintf("server CPU per %s, %s", e.load.unit(), e.load.describe())
}

func (e cpuExperiment) unit() string { return "µs" }

func (e cpuExperiment) columns() []column {
	list := []column{{Key: "server_busy", Head: "server CPU", Format: percent}}
	if e.cpu != process.AnyCPU {
		list = append(list, column{Key: "others_busy", Head: "others", Format: percent})
	}
	return append(list,
		column{Key: "client_idle", Head: "client idle", Format: percent},
		column{Key: "per_second", Head: e.load.units() + "/s", Compare: true},
		column{Key: "p50_us", Head: "p50 µs", Compare: true},
		column{Key: "p99_us", Head: "p99 µs", Compare: true},
		column{Key: "p999_us", Head: "p99.9 µs", Compare: true},
	)
}

// A client is the load of one shape.
type client interface {
	Latency() *stats.Histogram
	Close()
}

// start connects; run then loads the server for as long as more says so.
func (e cpuExperiment) start(ctx context.Context, addr netip.AddrPort) (c client, run func(more func(echo.Progress) bool) error, err error) {
	if e.load.Kind == connecting {
		c, err := echo.NewChurn(addr, e.load.Conns, e.load.Size)
		if err != nil {
			return nil, nil, err
		}
		return c, func(more func(echo.Progress) bool) error { return c.Run(ctx, more) }, nil
	}
	// Requests that are sent together are one message to who only echoes.
	d, err := echo.Dial(ctx, addr, e.load.Conns, e.load.Size*e.load.Pipeline)
	if err != nil {
		return nil, nil, err
	}
	return d, func(more func(echo.Progress) bool) error {
		if e.load.Kind == publishing {
			return d.Publish(ctx, more)
		}
		return d.RunSome(ctx, e.load.Conns/e.load.Active, more)
	}, nil
}

func (e cpuExperiment) measure(ctx context.Context, addr netip.AddrPort, pid int) (sample, error) {
	client, run, err := e.start(ctx, addr)
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
	err = run(func(p echo.Progress) bool {
		elapsed := p.Now.Sub(began)
		switch {
		case !measuring && elapsed >= e.warmup:
			measuring = true
			client.Latency().Reset()
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
	s := e.perEcho(from, to)
	for key, q := range map[string]float64{"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999} {
		s.Facts[key] = client.Latency().Quantile(q) / 1e3
	}
	return s, nil
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
	echoes := (to.client.Echoes - from.client.Echoes) * uint64(e.load.Pipeline)
	wall := to.client.Now.Sub(from.client.Now).Seconds()
	server := (to.server - from.server).Seconds()
	s := sample{
		Value: server * 1e6 / float64(echoes),
		Facts: map[string]float64{
			"echoes":      float64(echoes),
			"seconds":     wall,
			"per_second":  float64(echoes) / wall,
			"server_busy": server / wall,
			"client_idle": (to.client.Idle - from.client.Idle).Seconds() / wall,
		},
	}
	if e.cpu != process.AnyCPU {
		idle := (to.idle - from.idle).Seconds()
		s.Facts["others_busy"] = max(0, (wall-server-idle)/wall)
	}
	return s
}
