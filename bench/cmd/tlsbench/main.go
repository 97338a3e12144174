//go:build linux

// Command tlsbench measures TLS echo servers side by side: echod and nbio, which has a crypto/tls
// of its own, against crypto/tls with a goroutine for each connection. It prints the CPU time of the server per echo and per full
// handshake, and the resident memory of an idle connection, with their ratios.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/bench/internal/process"
	"github.com/sluice-net/sluice/bench/internal/stats"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tlsbench:", err)
		stop()
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	dir      string
	reps     int
	duration time.Duration
	conns    int
	idle     int
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("tlsbench", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", ".", "folder of the bench module")
	flags.IntVar(&o.reps, "reps", 5, "repetitions, interleaved")
	flags.DurationVar(&o.duration, "duration", time.Second, "of each measurement")
	flags.IntVar(&o.conns, "conns", 50, "connections that echo")
	flags.IntVar(&o.idle, "idle", 4000, "connections that are idle, after one echo each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	bin, err := os.MkdirTemp("", "tlsbench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	servers, err := build(ctx, o.dir, bin)
	if err != nil {
		return err
	}
	if _, err := process.PinSelf(clientCPU); err != nil {
		return err
	}
	for _, m := range []struct {
		what, unit string
		measure    func(context.Context, server) (float64, error)
	}{
		{"CPU per echo of 64 bytes", "µs", func(ctx context.Context, s server) (float64, error) { return s.echoes(ctx, o, 64) }},
		{"CPU per echo of 16 KiB", "µs", func(ctx context.Context, s server) (float64, error) { return s.echoes(ctx, o, 16<<10) }},
		{"CPU per full handshake", "µs", func(ctx context.Context, s server) (float64, error) { return s.handshakes(ctx, o) }},
		{"resident memory per idle connection", "bytes", func(ctx context.Context, s server) (float64, error) { return s.idle(ctx, o) }},
	} {
		values := make([][]float64, len(servers))
		for range o.reps {
			for i, s := range servers {
				v, err := m.measure(ctx, s)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", m.what, s.name, err)
				}
				values[i] = append(values[i], v)
			}
		}
		_, _ = fmt.Fprintf(out, "%s (%s), %d repetitions\n", m.what, m.unit, o.reps)
		for i, s := range servers {
			ratios, err := stats.Ratios(values[i], values[0])
			if err != nil {
				return err
			}
			v, r := stats.Summarize(values[i]), stats.Summarize(ratios)
			_, _ = fmt.Fprintf(out, "  %-11s %9.1f (%.1f–%.1f)   × %s %.3f (%.3f–%.3f)\n", s.name, v.Median, v.Min, v.Max, servers[0].name, r.Median, r.Min, r.Max)
		}
	}
	return nil
}

const serverCPU, clientCPU = 0, 1

// server is one of those that are compared.
type server struct {
	name string
	args func(addr string) []string
}

// build builds them; the first is what the others are compared with.
func build(ctx context.Context, dir, bin string) ([]server, error) {
	std, nbio, echod := filepath.Join(bin, "tlsstd"), filepath.Join(bin, "tlsnbio"), filepath.Join(bin, "echod")
	for _, b := range []struct{ in, out, what string }{
		{dir, std, "./servers/tlsstd"},
		{dir, nbio, "./servers/tlsnbio"},
		{filepath.Join(dir, ".."), echod, "./cmd/echod"},
	} {
		c := exec.CommandContext(ctx, "go", "build", "-o", b.out, b.what)
		c.Dir = b.in
		if text, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", b.what, err, text)
		}
	}
	return []server{
		{"goroutines", func(addr string) []string { return []string{std, "-addr", addr} }},
		{"nbio", func(addr string) []string { return []string{nbio, "-addr", addr} }},
		{"sluice", func(addr string) []string {
			return []string{echod, "--listen", "tls://" + addr, "--admin", "", "--reactors", "1", "--log-level", "error"}
		}},
	}, nil
}

// with runs the server, pinned, with one processor.
func (s server) with(ctx context.Context, f func(pid int, addr string) (float64, error)) (float64, error) {
	p, addr, err := process.Serve(ctx, s.args, []string{"GOMAXPROCS=1"}, serverCPU)
	if err != nil {
		return 0, err
	}
	defer p.Stop()
	return f(p.PID(), addr.String())
}

var client = &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}

func dial(addr string) (*tls.Conn, error) { return tls.Dial("tcp", addr, client) }

// cost is the server's CPU time, in µs, for each of what f counts.
func cost(pid int, f func() (int64, error)) (float64, error) {
	before, err := process.CPUTime(pid)
	if err != nil {
		return 0, err
	}
	n, err := f()
	if err != nil {
		return 0, err
	}
	after, err := process.CPUTime(pid)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errors.New("nothing was done")
	}
	return float64((after - before).Nanoseconds()) / 1e3 / float64(n), nil
}

// crowd runs f n times at the same time, until the duration is over.
func crowd(n int, d time.Duration, f func(over *atomic.Bool) (int64, error)) (int64, error) {
	var over atomic.Bool
	timer := time.AfterFunc(d, func() { over.Store(true) })
	defer timer.Stop()
	var all atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			done, err := f(&over)
			if err != nil {
				failed.Store(&err)
			}
			all.Add(done)
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return all.Load(), nil
}

func (s server) echoes(ctx context.Context, o options, size int) (float64, error) {
	return s.with(ctx, func(pid int, addr string) (float64, error) {
		conns := make(chan *tls.Conn, o.conns)
		for range o.conns {
			c, err := dial(addr)
			if err != nil {
				return 0, err
			}
			defer func() { _ = c.Close() }()
			if err := echo(c, make([]byte, size)); err != nil {
				return 0, err
			}
			conns <- c
		}
		return cost(pid, func() (int64, error) {
			return crowd(o.conns, o.duration, func(over *atomic.Bool) (n int64, err error) {
				c, p := <-conns, make([]byte, size)
				for !over.Load() && err == nil {
					err = echo(c, p)
					n++
				}
				return n, err
			})
		})
	})
}

func echo(c net.Conn, p []byte) error {
	if _, err := c.Write(p); err != nil {
		return err
	}
	_, err := io.ReadFull(c, p)
	return err
}

func (s server) handshakes(ctx context.Context, o options) (float64, error) {
	return s.with(ctx, func(pid int, addr string) (float64, error) {
		return cost(pid, func() (int64, error) {
			return crowd(8, o.duration, func(over *atomic.Bool) (n int64, err error) {
				for !over.Load() {
					c, err := dial(addr)
					if err != nil {
						return n, err
					}
					if err := c.Close(); err != nil {
						return n, err
					}
					n++
				}
				return n, nil
			})
		})
	})
}

func (s server) idle(ctx context.Context, o options) (float64, error) {
	return s.with(ctx, func(pid int, addr string) (float64, error) {
		before, err := process.ReadMemory(pid)
		if err != nil {
			return 0, err
		}
		for range o.idle {
			c, err := dial(addr)
			if err != nil {
				return 0, err
			}
			defer func() { _ = c.Close() }()
			if err := echo(c, make([]byte, 64)); err != nil {
				return 0, err
			}
		}
		after, err := process.ReadMemory(pid)
		if err != nil {
			return 0, err
		}
		return float64(after.Resident-before.Resident) / float64(o.idle), nil
	})
}
