package main

import (
	"bytes"
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

// A link is followed, though there's nothing yet where it leads to.
func TestLinkToNothingYet(t *testing.T) {
	t.Parallel()
	name, link := temporary(t, "run.json"), temporary(t, "link.json")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	invoke(t, "run", serve(t, echo), "-n", "10", "--json", link, "-q").must(t, exitClean)
	mustHold(t, name, `{"version":`)
	if to, err := os.Readlink(link); err != nil || to != name {
		t.Errorf("the link is %q, %v", to, err)
	}
}

// A file beside which there can be none, here as its name would be too long, is overwritten.
func TestFileIsOverwritten(t *testing.T) {
	t.Parallel()
	name := temporary(t, strings.Repeat("n", 255))
	if err := os.WriteFile(name, bytes.Repeat([]byte("yesterday's "), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	invoke(t, "run", serve(t, echo), "-n", "10", "--json", name, "-q").must(t, exitClean)
	mustHold(t, name, `{"version":`)
	mustRead(t, name)
}

// Two results in one file would be one, and on standard output neither.
func TestFileTwice(t *testing.T) {
	t.Parallel()
	name := temporary(t, "run")
	link := name + ".link"
	if err := os.Symlink(filepath.Base(name), link); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{name, link, filepath.Join(filepath.Dir(name), ".", "x", "..", "run")} {
		invoke(t, "run", serve(t, echo), "--json", name, "--csv", other).must(t, exitUsage, "it's given twice")
	}
	invoke(t, "run", serve(t, echo), "--json", "-", "--csv", "/dev/stdout").must(t, exitUsage, "it's given twice")
	invoke(t, "run", serve(t, echo), "--json", os.DevNull, "--csv", os.DevNull, "-n", "1").must(t, exitClean)
}
