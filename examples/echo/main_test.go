package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startEcho runs the program until the test ends, and connects with it.
func startEcho(t *testing.T, l server.Listener) net.Conn {
	t.Helper()
	addresses := make(chan string, 1)
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "address" {
				addresses <- a.Value.String()
			}
			return a
		},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, log, []server.Listener{l}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial(l.Network, <-addresses)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// each runs a test on both kinds of socket.
func each(t *testing.T, test func(*testing.T, server.Listener)) {
	t.Run("tcp", func(t *testing.T) { test(t, server.Listener{Network: "tcp", Address: "127.0.0.1:0"}) })
	t.Run("unix", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "echo") //nolint:usetesting // t.TempDir is too long a path for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		test(t, server.Listener{Network: "unix", Address: filepath.Join(dir, "s")})
	})
}

// Each answer comes before the next question.
func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, l server.Listener) {
		c := startEcho(t, l)
		for _, question := range []string{"a", "hello", "世界\r\n\x00"} {
			if _, err := io.WriteString(c, question); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, len(question))
			if _, err := io.ReadFull(c, answer); err != nil || string(answer) != question {
				t.Errorf("%q: %q, %v", question, answer, err)
			}
		}
	})
}

// A client that sends much, ends its side and only then begins to read gets all of it, and
// then the end. (As much as it sends fits into the sockets' buffers and the server's.)
func TestHalfClose(t *testing.T) {
	const size = 100_000
	each(t, func(t *testing.T, l server.Listener) {
		c := startEcho(t, l)
		if _, err := io.CopyN(c, text(), size); err != nil {
			t.Fatal(err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		want, _ := io.ReadAll(io.LimitReader(text(), size))
		if answer, err := io.ReadAll(c); err != nil || !bytes.Equal(answer, want) {
			t.Errorf("%d bytes of %d, or wrong ones: %v", len(answer), size, err)
		}
	})
}

// A client that writes at full speed and reads in small pieces gets 16 MiB, though the
// server never has more than 1 MiB of output for it: it would refuse to write.
func TestSlowReader(t *testing.T) {
	const size = 16 << 20
	each(t, func(t *testing.T, l server.Listener) {
		c := startEcho(t, l)
		sent := make(chan error, 1)
		go func() {
			_, err := io.CopyN(c, text(), size)
			sent <- err
		}()
		want, got := make([]byte, 4<<10), make([]byte, 4<<10)
		for source, n := text(), 0; n < size; n += len(want) {
			_, err1 := io.ReadFull(source, want)
			_, err2 := io.ReadFull(c, got)
			if err := errors.Join(err1, err2); err != nil || string(want) != string(got) {
				t.Fatalf("wrong at byte %d, or %v", n, err)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// text is random, and always the same.
func text() io.Reader { return rand.NewChaCha8([32]byte{}) }
