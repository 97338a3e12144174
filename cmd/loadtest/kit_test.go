package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// patience is how long a test waits for what must happen. It's only waited out when it
// doesn't.
const patience = 30 * time.Second

// serve has each connection handled until the test ends, and returns the URL.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				handle(c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return "tcp://" + l.Addr().String()
}

// overTLS is an echo with a certificate.
func overTLS(with tls.Certificate) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{with}})
		echo(s)
	}
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// ran is a program that has ended.
type ran struct {
	code           int
	stdout, stderr string
}

// invoke runs the program in this process, to its end.
func invoke(t *testing.T, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return invokeIn(ctx, args...)
}

func invokeIn(ctx context.Context, args ...string) ran {
	var stdout, stderr bytes.Buffer
	code := run(ctx, process{args: args, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr})
	return ran{code, stdout.String(), stderr.String()}
}

// must holds that it ended with a code, and that the texts are in what it wrote. On a machine
// that others keep busy a run may be invalid, which is right and not what is tested.
func (r ran) must(t *testing.T, code int, texts ...string) {
	t.Helper()
	invalid := r.code == exitSaturated && strings.Contains(r.stderr, "the client was saturated")
	if r.code != code && !(invalid && (code == exitClean || code == exitMissed)) {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("%q is missing", text)
		}
	}
	if t.Failed() {
		t.Errorf("stdout: %s\nstderr: %s", r.stdout, r.stderr)
	}
}

func mustRead(t *testing.T, name string) *result.Result {
	t.Helper()
	r, err := readResult(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustWrite(t *testing.T, name string, r *result.Result) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(result.Write(f, r), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func temporary(t *testing.T, name string) string { return filepath.Join(t.TempDir(), name) }
