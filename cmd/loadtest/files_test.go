package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/loadtest/result"
)

// mustHold holds that a file has a content, and that there's nothing else in its folder.
func mustHold(t *testing.T, name, text string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(b), text) {
		t.Errorf("%v, %.40q, want %q", err, b, text)
	}
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v beside it", err, entries)
	}
}

// A file is replaced by a result, and by nothing less.
func TestFileIsReplacedOrKept(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	name := temporary(t, "run.json")
	if err := os.WriteFile(name, []byte("yesterday's"), 0o600); err != nil {
		t.Fatal(err)
	}
	invoke(t, "run", "tcp://"+l.Addr().String(), "--json", name, "-q").must(t, exitFailure, "start the server")
	mustHold(t, name, "yesterday's")

	f := &file{name: name, format: func(w io.Writer, _ *result.Result) error {
		_, _ = w.Write([]byte("half of "))
		return errors.New("the disk is full")
	}}
	if err := f.open(process{}); err != nil {
		t.Fatal(err)
	}
	if err := f.write(&result.Result{}); err == nil {
		t.Error("it was written")
	}
	mustHold(t, name, "yesterday's")

	link := temporary(t, "link.json")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	invoke(t, "run", serve(t, echo), "-n", "10", "--json", link, "-q").must(t, exitClean)
	mustHold(t, name, `{"version":`)
	mustRead(t, link)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}

	invoke(t, "run", serve(t, echo), "--json", filepath.Dir(name)).must(t, exitUsage, "is a directory")
}
