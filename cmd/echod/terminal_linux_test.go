package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// openTerminal makes a terminal: what is written to tty comes out of screen.
func openTerminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		testenv.Missing(t, "/dev/ptmx")
	}
	t.Cleanup(func() { screen.Close() })
	number := 0
	raw, err := screen.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var errUnlock, errNumber error
	err = raw.Control(func(fd uintptr) {
		errUnlock = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		number, errNumber = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err != nil || errUnlock != nil || errNumber != nil {
		t.Fatal(err, errUnlock, errNumber)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		testenv.Missing(t, "/dev/pts")
	}
	t.Cleanup(func() { tty.Close() })
	return screen, tty
}

// TestLogOnTerminal is about colours: on a terminal, unless somebody doesn't want them.
func TestLogOnTerminal(t *testing.T) {
	t.Parallel()
	const (
		plain      = `^\d\d:\d\d:\d\d\.\d{3} INF hello name=value\r\n$`
		structured = `^\{"time":.*"msg":"hello","name":"value"\}\r\n$`
	)
	tests := []struct {
		name   string
		env    map[string]string
		format format
		colour bool
		want   string // without colours
	}{
		{name: "text", format: formatText, colour: true, want: plain},
		{name: "an empty NO_COLOR", env: map[string]string{"NO_COLOR": ""}, format: formatText, colour: true, want: plain},
		{name: "NO_COLOR", env: map[string]string{"NO_COLOR": "1"}, format: formatText, want: plain},
		{name: "a dumb terminal", env: map[string]string{"TERM": "dumb"}, format: formatText, want: plain},
		{name: "JSON", format: formatJSON, want: structured},
	}
	escape := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			screen, tty := openTerminal(t)
			newLogger(process{stderr: tty, lookupEnv: lookupIn(tt.env)}, tt.format, level(slog.LevelInfo)).Info("hello", "name", "value")
			got := readLine(t, screen)
			if colour := strings.Contains(got, "\x1b["); colour != tt.colour {
				t.Errorf("colours: %t, want %t: %q", colour, tt.colour, got)
			}
			if bare := escape.ReplaceAllString(got, ""); !regexp.MustCompile(tt.want).MatchString(bare) {
				t.Errorf("%q doesn't match %s", bare, tt.want)
			}
		})
	}
}

func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	var line []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(line), "\n"); line = append(line, one[0]) {
		if _, err := r.Read(one); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
	}
	return string(line)
}
