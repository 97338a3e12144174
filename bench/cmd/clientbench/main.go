//go:build linux

// Command clientbench measures the load tester beside other clients, against the same echod: a
// goroutine for each connection, which is the least that a client of package net does, and the raw
// epoll client of this module. Client and server have a processor each, and the clients take
// turns; what's printed is their closed loops' rates, and the ratios within each turn.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/process"
	"github.com/sluice-net/sluice/bench/internal/stats"
	"github.com/sluice-net/sluice/loadtest"
)

const serverCPU, clientCPU = 0, 1

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "clientbench:", err)
		stop()
		os.Exit(1)
	}
}

// shape is what all clients do.
type shape struct {
	conns, size int
	duration    time.Duration
}

// clients return how many echoes they got in a second. The first is what the others are
// compared with.
var clients = []struct {
	name string
	rate func(context.Context, netip.AddrPort, shape) (float64, error)
}{
	{"goroutines", goroutines},
	{"loadtest", verified},
	{"unverified", unverified},
	{"epoll", raw},
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var s shape
	flags := flag.NewFlagSet("clientbench", flag.ContinueOnError)
	dir := flags.String("dir", ".", "`folder` of the bench module")
	reps := flags.Int("reps", 7, "repetitions, interleaved")
	flags.IntVar(&s.conns, "conns", 100, "connections")
	flags.IntVar(&s.size, "size", 64, "bytes of a message")
	flags.DurationVar(&s.duration, "duration", 2*time.Second, "of each measurement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *reps < 1 || s.conns < 1 || s.duration <= 0:
		return fmt.Errorf("-reps %d, -conns %d, -duration %v: want at least 1 of each", *reps, s.conns, s.duration)
	case s.size < 8: // the epoll client's sequence numbers
		return fmt.Errorf("-size is %d, want at least 8", s.size)
	}
	p, addr, err := serve(ctx, *dir)
	if err != nil {
		return err
	}
	defer p.Stop()
	if _, err := process.PinSelf(clientCPU); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)

	rates := make([][]float64, len(clients))
	for range *reps {
		for i, c := range clients {
			rate, err := c.rate(ctx, addr, s)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, cmp.Or(ctx.Err(), err)) // without its context, echod ends
			}
			rates[i] = append(rates[i], rate)
		}
	}
	_, _ = fmt.Fprintf(out, "echoes of %d bytes in a second, %d connections, %d repetitions of %v\n", s.size, s.conns, *reps, s.duration)
	for i, c := range clients {
		ratios, err := stats.Ratios(rates[i], rates[0])
		if err != nil {
			return err
		}
		v, r := stats.Summarize(rates[i]), stats.Summarize(ratios)
		_, _ = fmt.Fprintf(out, "  %-11s %7.0f (%.0f–%.0f)   × %s %.2f (%.2f–%.2f)\n",
			c.name, v.Median, v.Min, v.Max, clients[0].name, r.Median, r.Min, r.Max)
	}
	return nil
}

// serve builds echod and starts it.
func serve(ctx context.Context, dir string) (*process.Process, netip.AddrPort, error) {
	bin, err := os.MkdirTemp("", "clientbench")
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	defer func() { _ = os.RemoveAll(bin) }() // a process keeps its file
	echod := filepath.Join(bin, "echod")
	c := exec.CommandContext(ctx, "go", "build", "-o", echod, "./cmd/echod")
	c.Dir = filepath.Join(dir, "..")
	if text, err := c.CombinedOutput(); err != nil {
		return nil, netip.AddrPort{}, fmt.Errorf("build echod: %w\n%s", err, text)
	}
	return process.Serve(ctx, func(addr string) []string {
		return []string{echod, "--listen", "tcp://" + addr, "--admin", "", "--reactors", "1", "--log-level", "error"}
	}, []string{"GOMAXPROCS=1"}, serverCPU)
}

func goroutines(_ context.Context, addr netip.AddrPort, s shape) (float64, error) {
	conns := make([]net.Conn, s.conns)
	for i := range conns {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			return 0, err
		}
		defer func() { _ = c.Close() }()
		conns[i] = c
	}
	var over atomic.Bool
	var echoes atomic.Int64
	errs := make([]error, s.conns)
	var wg sync.WaitGroup
	start := time.Now()
	for i, c := range conns {
		wg.Go(func() {
			p := make([]byte, s.size)
			var n int64
			for !over.Load() && errs[i] == nil {
				if _, errs[i] = c.Write(p); errs[i] == nil {
					_, errs[i] = io.ReadFull(c, p)
				}
				n++
			}
			echoes.Add(n)
		})
	}
	time.AfterFunc(s.duration, func() { over.Store(true) })
	wg.Wait()
	return float64(echoes.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}

func verified(ctx context.Context, addr netip.AddrPort, s shape) (float64, error) {
	return load(ctx, addr, s, loadtest.Binary)
}

func unverified(ctx context.Context, addr netip.AddrPort, s shape) (float64, error) {
	return load(ctx, addr, s, loadtest.Constant)
}

func load(ctx context.Context, addr netip.AddrPort, s shape, p loadtest.Payload) (float64, error) {
	target, err := loadtest.ParseTarget("tcp://" + addr.String())
	if err != nil {
		return 0, err
	}
	sizes, err := loadtest.ParseSizes(fmt.Sprint(s.size))
	if err != nil {
		return 0, err
	}
	r, err := loadtest.Run(ctx, loadtest.Load{
		Targets: []loadtest.Target{target}, Connections: s.conns, Sizes: sizes, Duration: s.duration,
		Codec: loadtest.Echo{Payload: p}, Unverified: p == loadtest.Constant,
	})
	if err != nil {
		return 0, err
	}
	t := r.Total()
	if t.Failed() > 0 {
		return 0, fmt.Errorf("%d errors: %v", t.Failed(), t.Errors)
	}
	return t.Rate(t.Received), nil
}

func raw(ctx context.Context, addr netip.AddrPort, s shape) (float64, error) {
	c, err := echo.Dial(ctx, addr, s.conns, s.size)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	start := time.Now()
	var last echo.Progress
	err = c.Run(ctx, func(p echo.Progress) bool {
		last = p
		return time.Since(start) < s.duration
	})
	return float64(last.Echoes) / last.Now.Sub(start).Seconds(), err
}
