package testenv_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/internal/testenv"
)

// ending is a test that notes how it was ended.
type ending struct {
	testing.TB
	how string
}

func (*ending) Helper() {}

func (e *ending) Fatalf(format string, args ...any) {
	e.how = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (e *ending) Skipf(format string, args ...any) {
	e.how = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// end runs f as a test of its own, and returns how it ended.
func end(f func(testing.TB)) string {
	e := &ending{how: "went on"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(e)
	}()
	<-done
	return e.how
}

// CONTRIBUTING: with SLUICE_CI=1 nothing may be skipped for lack of a tool.
func TestMissing(t *testing.T) {
	tests := []struct{ ci, want string }{
		{"", "skipped: a tool is missing"},
		{"0", "skipped: a tool is missing"},
		{"1", "failed: a tool is missing, and SLUICE_CI=1 is set"},
	}
	for _, tt := range tests {
		t.Run("SLUICE_CI="+tt.ci, func(t *testing.T) {
			t.Setenv("SLUICE_CI", tt.ci)
			if got := end(func(t testing.TB) { testenv.Missing(t, "a tool") }); got != tt.want {
				t.Errorf("it %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTool(t *testing.T) {
	t.Setenv("SLUICE_CI", "")
	t.Setenv("PATH", t.TempDir())
	path := filepath.Join(os.Getenv("PATH"), "tool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := ""
	if how := end(func(t testing.TB) { got = testenv.Tool(t, "tool") }); how != "went on" || got != path {
		t.Errorf("the test %s, with %q, want %q", how, got, path)
	}
	if how := end(func(t testing.TB) { testenv.Tool(t, "another") }); how != "skipped: another is missing" {
		t.Errorf("without the tool the test %s", how)
	}
}

// A socket's path has room for its name, however long the test's is, and goes with it.
func TestSocketDir(t *testing.T) {
	dir := ""
	t.Run(strings.Repeat("long", 30), func(t *testing.T) {
		dir = testenv.SocketDir(t)
		l, err := net.Listen("unix", filepath.Join(dir, "sluice.sock"))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	})
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}
