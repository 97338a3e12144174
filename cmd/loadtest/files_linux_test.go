package main

import (
	"bytes"
	"os"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/loadtest/result"
)

// A full disk costs the file that is on it, and neither the others nor the summary, and has
// the documented exit code.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	url, csv := serve(t, echo), temporary(t, "run.csv")
	r := invoke(t, "run", url, "-q", "-n", "100", "--json", "/dev/full", "--csv", csv)
	r.must(t, exitUsage, "100 replies", "loadtest: /dev/full: ", "no space left")
	if b, err := os.ReadFile(csv); err != nil || len(b) == 0 {
		t.Errorf("the other file has %d bytes, %v", len(b), err)
	}
}

// A pipe is written, and neither removed nor replaced.
func TestPipe(t *testing.T) {
	t.Parallel()
	name := temporary(t, "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(name)
		read <- b
	}()
	invoke(t, "run", serve(t, echo), "-n", "10", "--json", name, "-q").must(t, exitClean, "10 replies")
	if r, err := result.Read(bytes.NewReader(<-read)); err != nil || r.Total().Received != 10 {
		t.Error(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("%v, and now it's %v", err, info)
	}
}
