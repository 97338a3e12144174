//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/sluice-net/sluice/bench/internal/section"
)

// serveCommand is the first argument of the processes that serve.
const serveCommand = "serve"

func main() {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		os.Exit(serve(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// errNotGreen is for a row in which Sluice fails.
var errNotGreen = errors.New("sluice fails")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("peers", flag.ContinueOnError)
	fs.SetOutput(stderr)
	names := fs.String("servers", strings.Join(serverNames(), ","), "servers, in the order of the table's columns")
	pattern := fs.String("rows", "", "only rows whose name matches this `expression`")
	page := fs.String("markdown", "", "write the table into this `page`, between its comments, if it's whole")
	if err := fs.Parse(args); err != nil {
		return err
	}
	chosen, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	t := table{servers: strings.Split(*names, ",")}
	for _, name := range t.servers {
		if !slices.Contains(serverNames(), name) {
			return fmt.Errorf("-servers: no server %q, there are %s", name, strings.Join(serverNames(), ", "))
		}
	}
	for _, r := range rows {
		if !chosen.MatchString(r.name) {
			continue
		}
		line := line{row: r}
		for _, name := range t.servers {
			c := r.judge(ctx, name)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, _ = fmt.Fprintf(stderr, "%s: %s: %s\n", r.name, name, c)
			line.cells = append(line.cells, c)
		}
		t.lines = append(t.lines, line)
	}
	if _, err := io.WriteString(stdout, t.markdown()); err != nil {
		return err
	}
	var errs []error
	if whole := *pattern == "" && *names == strings.Join(serverNames(), ","); whole && *page != "" {
		errs = append(errs, section.Replace(*page, "table", t.markdown()))
	}
	if failed := t.failures("sluice"); len(failed) > 0 {
		errs = append(errs, fmt.Errorf("%w: %s", errNotGreen, strings.Join(failed, "; ")))
	}
	return errors.Join(errs...)
}
