//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/process"
)

// An experiment measures one figure of a server that is running.
type experiment interface {
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

// A column prints one fact.
type column struct {
	key    string
	head   string
	format func(float64) string
}

const (
	// startLimit is how long a server has until it echoes.
	startLimit = 10 * time.Second
	// crashTime is how long after a lost connection the reason is waited for,
	// should the server be crashing.
	crashTime = 200 * time.Millisecond
)

// interleave measures all servers one after the other, then all again, so that
// what the machine does meanwhile meets all of them alike. It returns samples by
// server and repetition.
func interleave(ctx context.Context, e experiment, list []server, o options, progress io.Writer) ([][]sample, error) {
	samples := make([][]sample, len(list))
	for rep := range o.Reps {
		for i, s := range list {
			one, err := measureOne(ctx, e, s, o)
			if err != nil {
				return nil, fmt.Errorf("%s, repetition %d: %w", s.name, rep+1, err)
			}
			samples[i] = append(samples[i], one)
			_, _ = fmt.Fprintf(progress, "%s: repetition %d of %d: %s %.4g %s\n",
				e.title(), rep+1, o.Reps, s.name, one.Value, e.unit())
		}
	}
	return samples, nil
}

// measureOne gives a server a process of its own for one repetition.
func measureOne(ctx context.Context, e experiment, s server, o options) (sample, error) {
	addr, err := freeAddr()
	if err != nil {
		return sample{}, err
	}
	var env []string
	if o.GOMAXPROCS > 0 {
		env = []string{"GOMAXPROCS=" + strconv.Itoa(o.GOMAXPROCS)}
	}
	p, err := process.Start(ctx, s.command(addr), env, o.ServerCPU)
	if err != nil {
		return sample{}, err
	}
	defer p.Stop()
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

// freeAddr asks the kernel for a port that is free now.
func freeAddr() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	return addr, l.Close()
}
