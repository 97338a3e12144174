package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// size is what TestBackpressure moves each way.
var size = flag.Int64("bytes", 64<<20, "what TestBackpressure moves each way")

// start runs the program until the test ends, and returns its address.
func start(t *testing.T, to string) string {
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
	go func() { done <- run(ctx, log, "tcp://127.0.0.1:0", "tcp://"+to) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return <-addresses
}

// startProxy runs the program before a server, until the test ends.
func startProxy(t *testing.T, behind func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go behind(c)
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return start(t, l.Addr().String())
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// The end of one direction leaves the other alone, on both sides.
func TestHalfClose(t *testing.T) {
	address := startProxy(t, func(c net.Conn) {
		defer c.Close()
		question, _ := io.ReadAll(c) // to the end
		_, _ = c.Write(bytes.ToUpper(question))
	})
	c := dial(t, address)
	if _, err := io.WriteString(c, "question"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || string(answer) != "QUESTION" {
		t.Errorf("%q, %v", answer, err)
	}
}

// Many bytes in both directions at the same time, between a fast side and a slow one, in
// little memory, each direction ended by half-close.
func TestBackpressure(t *testing.T) {
	behind := make(chan error, 1)
	address := startProxy(t, func(c net.Conn) {
		defer c.Close()
		behind <- exchange(c.(*net.TCPConn), 8<<10) // slow: little at a time, and others first
	})
	c := dial(t, address)
	stop := watchMemory()
	began := time.Now()
	if err := errors.Join(exchange(c, 256<<10), <-behind); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	before, peak := stop()
	if peak > before+16<<20 {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, peak>>20)
	}
	t.Logf("%d MiB each way in %v; the heap, of the proxy and both sides, grew by %d KiB at most", *size>>20, took.Round(time.Millisecond), (peak-before)>>10)
}

// exchange sends random bytes, always the same, and its end, while it receives those that
// the other side sends, piece by piece.
func exchange(c *net.TCPConn, piece int) error {
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(c, text(), *size)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	return errors.Join(verify(c, piece), <-sent)
}

// verify receives what exchange sends, and its end.
func verify(c *net.TCPConn, piece int) error {
	source, want, got := text(), make([]byte, piece), make([]byte, piece)
	for at := int64(0); ; {
		n, err := c.Read(got)
		if _, err := io.ReadFull(source, want[:n]); err != nil || !bytes.Equal(got[:n], want[:n]) {
			return fmt.Errorf("behind byte %d comes something else than was sent, or %w", at, err)
		}
		at += int64(n)
		runtime.Gosched()
		switch {
		case errors.Is(err, io.EOF) && at == *size:
			return nil
		case err != nil:
			return fmt.Errorf("after %d of %d bytes: %w", at, *size, err)
		}
	}
}

// text is random, and always the same.
func text() io.Reader { return rand.NewChaCha8([32]byte{}) }

// watchMemory looks at the heap until it's stopped.
func watchMemory() (stop func() (before, peak uint64)) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	before := heap()
	most := before
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(20 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				most = max(most, heap())
			case <-end:
				return
			}
		}
	}()
	return func() (uint64, uint64) {
		close(end)
		<-done
		return before, max(most, heap())
	}
}

// Nobody behind, or a name that nobody knows: the client is told by a reset, and not kept
// waiting.
func TestNobodyBehind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	for _, to := range []string{closed, "..:1"} { // which isn't even asked for
		if c, err := net.Dial("tcp", start(t, to)); err == nil { // the reset may come as early as that
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("%d bytes came from nobody", n)
			}
			_ = c.Close()
		}
	}
}

// A side that's reset takes the other with it.
func TestResetIsPassedOn(t *testing.T) {
	address := startProxy(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
	c := dial(t, address)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a reset arrives as %v", err)
	}
}

func TestBadFlags(t *testing.T) {
	const good = "tcp://127.0.0.1:0"
	for _, flags := range [][2]string{{"nowhere", good}, {good, "nowhere"}, {"tcp://127.0.0.1:99999", good}} {
		if run(t.Context(), slog.New(slog.DiscardHandler), flags[0], flags[1]) == nil {
			t.Errorf("%q: no error", flags)
		}
	}
}
