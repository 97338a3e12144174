package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes; --help lists them.
const (
	exitClean     = 0
	exitFailure   = 1
	exitUsage     = 2
	exitMissed    = 3
	exitSaturated = 4 // or the runs can't be compared
	exitWorse     = 5
)

// process is what a run has of the process around it. Tests run several in one.
type process struct {
	args   []string // without the program's name
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	screen *os.File // stderr, if it may be a terminal
}

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // the second signal ends the process
	os.Exit(run(ctx, process{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, screen: os.Stderr,
	}))
}

// exit is how a command ends: with a code, and an error to tell if there is one.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// answered is what kong's own answers (--help, --version) end the parser with.
type answered struct{ code int }

// run is the program's life, from its arguments to its exit code.
func run(ctx context.Context, p process) (code int) {
	defer func() {
		if a := recover(); a != nil {
			end, ok := a.(answered)
			if !ok {
				panic(a)
			}
			code = end.code
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("loadtest"),
		kong.Description(description),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { panic(answered{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 90}),
		kong.ExplicitGroups(groups),
		kong.Vars{"version": version()},
	)
	if err != nil {
		return complain(p, &exit{exitFailure, err})
	}
	command, err := parser.Parse(p.args)
	if err != nil {
		return complain(p, &exit{exitUsage, fmt.Errorf("%w (loadtest run --help lists the flags)", err)})
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return complain(p, command.Run(p))
}

// complain writes an error as one line, whatever is in it, and returns the code to exit with.
func complain(p process, err error) int {
	var e *exit
	if !errors.As(err, &e) {
		if err == nil {
			return exitClean
		}
		e = &exit{exitFailure, err}
	}
	if e.err != nil {
		_, _ = fmt.Fprintf(p.stderr, "loadtest: %s\n", strings.ReplaceAll(e.err.Error(), "\n", "; "))
	}
	return e.code
}
