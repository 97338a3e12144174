//go:build linux

// Command echobench measures echo servers side by side: the CPU time that one
// echo costs the server, or the memory that an idle connection holds. The
// README of this module says what is measured and how.
//
// Reading order: main.go, servers.go, run.go, cpu.go and idle.go, report.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/process"
)

// options are the command line.
type options struct {
	Mode       string        `json:"mode"`
	Shapes     shapes        `json:"shapes,omitempty"`
	Servers    []string      `json:"servers"`
	Custom     customServers `json:"custom,omitempty"`
	Bases      []string      `json:"bases"`
	Reps       int           `json:"reps"`
	Warmup     time.Duration `json:"warmup_ns"`
	Duration   time.Duration `json:"duration_ns"`
	IdleConns  int           `json:"idle_conns"`
	IdleSize   int           `json:"idle_size"`
	ServerCPU  int           `json:"server_cpu"`
	ClientCPU  int           `json:"client_cpu"`
	GOMAXPROCS int           `json:"gomaxprocs"`

	dir  string
	json string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "echobench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	experiments, err := o.experiments()
	if err != nil {
		return err
	}
	if err := process.PinSelf(o.ClientCPU); err != nil {
		return fmt.Errorf("-client-cpu: %w", err)
	}
	servers, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer servers.remove()

	report := newReport(o)
	for _, e := range experiments {
		samples, err := interleave(ctx, e, servers.list, o, stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", e.title(), err)
		}
		result, err := summarize(e, servers.list, o.Bases, samples)
		if err != nil {
			return fmt.Errorf("%s: %w", e.title(), err)
		}
		if err := result.print(stdout, e); err != nil {
			return err
		}
		report.Results = append(report.Results, result)
	}
	if o.json == "" {
		return nil
	}
	return report.save(o.json)
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{Shapes: shapes{{64, 100}, {64, 1000}, {16 << 10, 100}}}
	fs := flag.NewFlagSet("echobench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.Mode, "mode", "cpu", "what to measure: cpu (per echo) or idle (memory per connection)")
	fs.Var(&o.Shapes, "shapes", "cpu: message `size x connections`, several with commas; sizes may end in K or M")
	servers := fs.String("servers", builtinNames(), "built-in servers to measure, in this order")
	fs.Var(&o.Custom, "server", "one more server: `name='command line with {addr}'`; may be repeated")
	bases := fs.String("bases", "gnet,c", "servers to which the others are compared, where they take part")
	fs.IntVar(&o.Reps, "reps", 5, "repetitions")
	fs.DurationVar(&o.Warmup, "warmup", 500*time.Millisecond, "cpu: load before measuring")
	fs.DurationVar(&o.Duration, "duration", 3*time.Second, "cpu: measured time of each repetition")
	fs.IntVar(&o.IdleConns, "n", 15_000, "idle: connections")
	fs.IntVar(&o.IdleSize, "size", 64, "idle: bytes that each connection echoes once")
	fs.IntVar(&o.ServerCPU, "server-cpu", 0, "CPU of the server, -1: any")
	fs.IntVar(&o.ClientCPU, "client-cpu", 1, "CPU of the client, -1: any")
	fs.IntVar(&o.GOMAXPROCS, "gomaxprocs", 1, "GOMAXPROCS in the servers' environment, 0: not set")
	fs.StringVar(&o.dir, "dir", ".", "folder of the bench module")
	fs.StringVar(&o.json, "json", "", "write everything measured to this `file`")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.Reps < 1 {
		return o, fmt.Errorf("-reps is %d, want at least 1", o.Reps)
	}
	o.Servers, o.Bases = splitList(*servers), splitList(*bases)
	return o, nil
}

// experiments checks the options of the chosen mode.
func (o options) experiments() ([]experiment, error) {
	var list []experiment
	switch o.Mode {
	case "cpu":
		if o.Duration <= 0 || o.Warmup < 0 {
			return nil, fmt.Errorf("-duration is %v and -warmup %v, want more than 0 and at least 0", o.Duration, o.Warmup)
		}
		for _, s := range o.Shapes {
			list = append(list, cpuExperiment{cpu: o.ServerCPU, shape: s, warmup: o.Warmup, duration: o.Duration})
		}
	case "idle":
		if o.IdleConns < 1 || o.IdleSize < echo.MinSize {
			return nil, fmt.Errorf("-n is %d and -size %d, want at least 1 and %d", o.IdleConns, o.IdleSize, echo.MinSize)
		}
		list = append(list, idleExperiment{conns: o.IdleConns, size: o.IdleSize})
	default:
		return nil, fmt.Errorf("-mode is %q, want cpu or idle", o.Mode)
	}
	return list, nil
}
