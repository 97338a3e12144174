package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the server until the test ends, and returns its output and where it listens.
func start(t *testing.T, args ...string) (lines *bufio.Scanner, at string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), w)
		done <- errors.Join(err, w.Close())
	}()
	lines = bufio.NewScanner(r)
	t.Cleanup(func() {
		cancel()
		for lines.Scan() {
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if !lines.Scan() {
		t.Fatal("no output")
	}
	port, found := strings.CutPrefix(lines.Text(), "listening on 127.0.0.1 port ")
	if !found {
		t.Fatal(lines.Text())
	}
	return lines, "127.0.0.1:" + port
}

// seed-contract.md: the server of the ISocket documents.
func TestServer(t *testing.T) {
	lines, at := start(t)
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if greeting, err := bufio.NewReader(c).ReadString('\n'); err != nil || greeting != "Hello world\n" {
		t.Errorf("%q, %v", greeting, err)
	}
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Data had been sent", "Received data", "70 69 6e 67"} {
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || !strings.HasSuffix(lines.Text(), "has ended: by_peer") {
		t.Errorf("%q", lines.Text())
	}
}

// Accept(nil) denies.
func TestServerDenies(t *testing.T) {
	_, at := start(t, "-deny", "127.0.0.1")
	c, err := net.Dial("tcp", at)
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

func TestServerThatCannotBind(t *testing.T) {
	_, at := start(t)
	if err := run(t.Context(), []string{"-listen", at}, io.Discard); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, want EADDRINUSE", err)
	}
}
