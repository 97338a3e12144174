package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/sluice-net/sluice/server"
)

// The exit codes; --help lists them.
const (
	exitClean   = 0
	exitFailure = 1
	exitUsage   = 2
	exitAborted = 3
)

// process is what a run has of the process around it. Tests run several in one.
type process struct {
	args      []string // without the program's name
	lookupEnv func(string) (string, bool)
	stdout    io.Writer
	stderr    io.Writer
	signals   <-chan os.Signal
}

func main() {
	os.Exit(run(context.Background(), process{
		args:      os.Args[1:],
		lookupEnv: os.LookupEnv,
		stdout:    os.Stdout,
		stderr:    os.Stderr,
		signals:   notify(),
	}))
}

// run is the daemon's life, from its arguments to its exit code. The end of ctx drains
// it, as a signal does.
func run(ctx context.Context, p process) int {
	c, err := parse(p)
	switch {
	case errors.Is(err, errAnswered):
		return exitClean
	case err != nil:
		complain(p.stderr, err)
		return exitUsage
	}
	if c.CheckConfig {
		return answerCheck(c, p)
	}
	log := newLogger(p, c.LogFormat, c.LogLevel)
	slog.SetDefault(log) // for gnet's poller, which has no other

	d, err := start(c, log)
	if err != nil {
		if c.LogFormat == formatJSON {
			log.Error("echod can't start", "error", err)
		} else {
			complain(p.stderr, err)
		}
		return exitFailure
	}
	return d.serve(ctx, p.signals)
}

// answerCheck is --check-config: whether anything but the machine could keep echod from
// starting. No address is bound.
func answerCheck(c config, p process) int {
	settings, err := (&daemon{config: c}).serverConfig()
	if err == nil {
		_, err = server.New(settings)
	}
	if err != nil {
		complain(p.stderr, err)
		return exitUsage
	}
	_, _ = io.WriteString(p.stdout, "the configuration is good\n")
	return exitClean
}

// complain writes an error as one line, whatever is in it.
func complain(w io.Writer, err error) {
	_, _ = fmt.Fprintf(w, "echod: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
}
