package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"golang.org/x/sys/unix"
)

// newLogger makes the log that was asked for. Text is for a person on a terminal, and
// key=value with a full date elsewhere: in a file the day and the zone matter, and a
// program may have to read it.
func newLogger(p process, f format, l level) *slog.Logger {
	threshold := slog.Level(l)
	switch {
	case f == formatJSON:
		return slog.New(slog.NewJSONHandler(p.stderr, &slog.HandlerOptions{Level: threshold, ReplaceAttr: readableDuration}))
	case isTerminal(p.stderr):
		return slog.New(tint.NewTextHandler(p.stderr, &tint.Options{
			Level:      threshold,
			TimeFormat: "15:04:05.000",
			NoColor:    !colour(p.lookupEnv),
		}))
	default:
		return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: threshold}))
	}
}

// readableDuration writes "10s" as the text handlers do, instead of nanoseconds.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// colour reports whether the terminal's user wants it (no-color.org) and it can.
func colour(lookupEnv func(string) (string, bool)) bool {
	unwanted, _ := lookupEnv("NO_COLOR")
	kind, _ := lookupEnv("TERM")
	return unwanted == "" && kind != "dumb"
}

// isTerminal asks for a window size, which only terminals have.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	terminal := false
	err = raw.Control(func(fd uintptr) {
		_, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ)
		terminal = err == nil
	})
	return err == nil && terminal
}
