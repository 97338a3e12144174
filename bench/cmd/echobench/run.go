//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/process"
)

// An experiment measures one figure of a server that is running.
type experiment interface {
	shape() shape
	title() string
	unit() string
	columns() []column
	// measure loads the server at addr and reads the figures of process pid.
	measure(ctx context.Context, addr netip.AddrPort, pid int) (sample, error)
	// doubts says what in a server's samples makes its figures questionable.
	doubts(samples []sample) []string
}

// A sample is one repetition: the figure, and facts that go with it by the keys
// of the experiment's columns.
type sample struct {
	Value float64            `json:"value"`
	Facts map[string]float64 `json:"facts"`
}

// A column prints one fact. One that is compared has ratios to the bases, in a table of
// its own.
type column struct {
	Key     string `json:"key"`
	Head    string `json:"head"`
	Compare bool   `json:"compare,omitempty"`
	Format  format `json:"format"`
}

// trials are what came of one server.
type trials struct {
	server  string
	samples []sample
	failure error // nil, or what ended it
}

const (
	// startLimit is how long a server has until it echoes.
	startLimit = 10 * time.Second
	// crashTime is how long after a lost connection the reason is waited for,
	// should the server be crashing.
	crashTime = 200 * time.Millisecond
)

// interleave measures all servers that can serve the shape one after the other, then all
// again, so that what the machine does meanwhile meets all of them alike. A server that fails
// isn't tried again, and has no figures; the others go on.
func interleave(ctx context.Context, e experiment, list []server, o options, progress io.Writer) ([]trials, error) {
	var all []trials
	var those []server
	for _, s := range list {
		if s.args(e.shape()) != nil {
			those = append(those, s)
			all = append(all, trials{server: s.name})
		}
	}
	for rep := range o.Reps {
		for i, s := range those {
			if all[i].failure != nil {
				continue
			}
			one, err := measureOne(ctx, e, s, o)
			switch {
			case ctx.Err() != nil:
				return nil, fmt.Errorf("%s, repetition %d: %w", s.name, rep+1, err)
			case err != nil:
				all[i].failure = fmt.Errorf("%s, repetition %d: %w", s.name, rep+1, err)
				all[i].samples = nil
				_, _ = fmt.Fprintf(progress, "%s: %v\n", e.title(), all[i].failure)
				continue
			}
			all[i].samples = append(all[i].samples, one)
			_, _ = fmt.Fprintf(progress, "%s: repetition %d of %d: %s %.4g %s\n",
				e.title(), rep+1, o.Reps, s.name, one.Value, e.unit())
		}
	}
	return all, nil
}

// measureOne gives a server a process of its own for one repetition. With several loops
// nothing is pinned, and it has as many processors.
func measureOne(ctx context.Context, e experiment, s server, o options) (_ sample, err error) {
	addr, err := process.FreeAddr()
	if err != nil {
		return sample{}, err
	}
	if loops := e.shape().Loops; loops > 1 {
		o.ServerCPU, o.ClientCPU = process.AnyCPU, process.AnyCPU
		o.GOMAXPROCS = loops
	}
	var env []string
	if o.GOMAXPROCS > 0 {
		env = []string{"GOMAXPROCS=" + strconv.Itoa(o.GOMAXPROCS)}
	}
	p, err := process.Start(ctx, replace(s.args(e.shape()), "{addr}", addr.String()), env, o.ServerCPU)
	if err != nil {
		return sample{}, err
	}
	defer p.Stop()
	undo, err := process.PinSelf(o.ClientCPU)
	if err != nil {
		return sample{}, fmt.Errorf("-client-cpu: %w", err)
	}
	defer func() { err = errors.Join(err, undo()) }()
	if err = awaitEcho(ctx, addr, p); err == nil {
		var one sample
		if one, err = e.measure(ctx, addr, p.PID()); err == nil {
			return one, nil
		}
	}
	// Ctrl-C kills the server too: that is then not what is told.
	if cause := ctx.Err(); cause != nil {
		return sample{}, cause
	}
	select {
	case <-p.Exited():
		return sample{}, errors.Join(err, p.Failure())
	case <-time.After(crashTime):
		return sample{}, err
	}
}

// awaitEcho returns once the server has echoed one message, and with that has
// its code in memory.
func awaitEcho(ctx context.Context, addr netip.AddrPort, p *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		c, err := echo.Dial(ctx, addr, 1, 64)
		if err == nil {
			c.Close()
			return nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-p.Exited():
			return fmt.Errorf("server isn't there: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("server doesn't listen on %v: %w", addr, ctx.Err())
		case <-retry.C:
		}
	}
}
