//go:build linux

// Command echobench measures echo servers side by side: the CPU time that one
// echo costs the server, how many it does and how long they take, and the memory
// that an idle connection holds. The README of this module says what is measured
// and how.
//
// Reading order: main.go, shape.go, servers.go, run.go, cpu.go and idle.go, report.go,
// tables.go, chart.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/bench/internal/process"
	"github.com/sluice-net/sluice/bench/internal/section"
)

// options are the command line.
type options struct {
	Shapes     shapes        `json:"shapes"`
	Servers    []string      `json:"servers"`
	Custom     customServers `json:"custom,omitempty"`
	Bases      []string      `json:"bases"`
	Reps       int           `json:"reps"`
	Warmup     time.Duration `json:"warmup_ns"`
	Duration   time.Duration `json:"duration_ns"`
	ServerCPU  int           `json:"server_cpu"`
	ClientCPU  int           `json:"client_cpu"`
	GOMAXPROCS int           `json:"gomaxprocs"`

	dir      string
	quiet    bool
	from     string
	json     string
	markdown string
	svg      string
	chart    shapes
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

// run measures, or reads what was measured before, and writes it in the forms that are asked
// for. A server that failed is an error, but only after that.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	var r *report
	if _, err := io.WriteString(stdout, legend); err != nil {
		return err
	}
	if o.from != "" {
		if r, err = loadReport(o.from); err != nil {
			return fmt.Errorf("-from: %w", err)
		}
		for _, one := range r.Results {
			if err := one.print(stdout); err != nil {
				return err
			}
		}
	} else if r, err = measure(ctx, o, stdout, stderr); err != nil {
		return err
	}
	return errors.Join(r.write(o), r.failures())
}

// measure prints each shape's tables as soon as they are known.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) (*report, error) {
	servers, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	defer servers.remove()
	progress := stderr
	if o.quiet {
		progress = io.Discard
	}
	r := newReport(o)
	for _, e := range o.experiments() {
		all, err := interleave(ctx, e, servers.list, o, progress)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.title(), err)
		}
		one := summarize(e, o.Bases, all)
		if err := one.print(stdout); err != nil {
			return nil, err
		}
		r.Results = append(r.Results, one)
	}
	return r, nil
}

// write writes the files that are asked for.
func (r *report) write(o options) error {
	var errs []error
	if o.json != "" {
		errs = append(errs, r.save(o.json))
	}
	var picture string
	if o.svg != "" {
		errs = append(errs, r.saveCharts(o.svg, o.chart))
		if name, err := filepath.Rel(filepath.Dir(o.markdown), o.svg); err == nil {
			picture = pictureOf(name) + "\n"
		}
	}
	if o.markdown != "" {
		errs = append(errs, section.Replace(o.markdown, "figures", picture+r.markdown()))
	}
	return errors.Join(errs...)
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{}
	for _, l := range []*shapes{&o.Shapes, &o.chart} {
		if err := l.Set("64x100,64x1000,16Kx100"); err != nil {
			return o, err
		}
	}
	fs := flag.NewFlagSet("echobench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Var(&o.Shapes, "shapes", "`[KIND:]SIZExCONNECTIONS[/pipeline=N][/active=N][/loops=N]`, several with commas; KIND is echo, connect, fanout or idle, sizes may end in K or M")
	servers := fs.String("servers", builtinNames(), "built-in servers to measure, in this order")
	fs.Var(&o.Custom, "server", "one more server: `name='command line with {addr}'`; may be repeated")
	bases := fs.String("bases", "gnet,c", "servers to which the others are compared, where they take part")
	fs.IntVar(&o.Reps, "reps", 5, "repetitions")
	fs.DurationVar(&o.Warmup, "warmup", 500*time.Millisecond, "load before measuring; not of idle")
	fs.DurationVar(&o.Duration, "duration", 3*time.Second, "measured time of each repetition; not of idle")
	fs.IntVar(&o.ServerCPU, "server-cpu", 0, "CPU of the server, -1: any")
	fs.IntVar(&o.ClientCPU, "client-cpu", 1, "CPU of the client, -1: any")
	fs.IntVar(&o.GOMAXPROCS, "gomaxprocs", 1, "GOMAXPROCS in the servers' environment, 0: not set")
	fs.StringVar(&o.dir, "dir", ".", "folder of the bench module")
	fs.BoolVar(&o.quiet, "quiet", false, "don't tell of each repetition")
	fs.StringVar(&o.from, "from", "", "measure nothing, take what -json wrote to this `file`")
	fs.StringVar(&o.json, "json", "", "write everything measured to this `file`")
	fs.StringVar(&o.markdown, "markdown", "", "write the tables into this `page`, between its comments")
	fs.StringVar(&o.svg, "svg", "", "write charts to `NAME`-light.svg and NAME-dark.svg")
	fs.Var(&o.chart, "chart", "the `shapes` in the charts, of those that were measured")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.Reps < 1 {
		return o, fmt.Errorf("-reps is %d, want at least 1", o.Reps)
	}
	if o.Duration <= 0 || o.Warmup < 0 {
		return o, fmt.Errorf("-duration is %v and -warmup %v, want more than 0 and at least 0", o.Duration, o.Warmup)
	}
	o.Servers, o.Bases = splitList(*servers), splitList(*bases)
	return o, nil
}

func (o options) experiments() []experiment {
	var list []experiment
	for _, s := range o.Shapes {
		switch s.Kind {
		case idling:
			list = append(list, idleExperiment{load: s})
		case echoing, connecting, publishing:
			e := cpuExperiment{cpu: o.ServerCPU, load: s, warmup: o.Warmup, duration: o.Duration}
			if s.Loops > 1 {
				e.cpu = process.AnyCPU
			}
			list = append(list, e)
		}
	}
	return list
}
