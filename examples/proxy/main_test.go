package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	ctx, cancel := context.WithCancel(context.Background())
	address, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-listen", "tcp://127.0.0.1:0", "-to", "tcp://" + l.Addr().String()}, func(a string) { address <- a })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = l.Close()
	})
	return <-address
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
// little memory.
func TestBackpressure(t *testing.T) {
	const size = 64 << 20
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rand.IntN(256))
	}
	want := sha256.Sum256(data)
	receive := func(r io.Reader, slowly bool) error {
		h, p := sha256.New(), make([]byte, 16<<10)
		for {
			n, err := r.Read(p)
			h.Write(p[:n])
			if slowly {
				runtime.Gosched()
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		if !bytes.Equal(h.Sum(nil), want[:]) {
			return errors.New("what came isn't what was sent")
		}
		return nil
	}
	behind := make(chan error, 1)
	address := startProxy(t, func(c net.Conn) {
		defer c.Close()
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(data)
			sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
		}()
		behind <- errors.Join(receive(c, true), <-sent)
	})
	var most atomic.Uint64
	stop := watchMemory(&most)
	c := dial(t, address)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	if err := errors.Join(receive(c, false), <-sent, <-behind); err != nil {
		t.Error(err)
	}
	if before, peak := stop(); peak > before+16<<20 {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, peak>>20)
	}
}

// watchMemory looks at the heap until it's stopped.
func watchMemory(most *atomic.Uint64) (stop func() (before, peak uint64)) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	before := heap()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(20 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				most.Store(max(most.Load(), heap()))
			case <-end:
				return
			}
		}
	}()
	return func() (uint64, uint64) {
		close(end)
		<-done
		return before, most.Load()
	}
}

// Nobody behind: the client is told by a reset, and not kept waiting.
func TestNobodyBehind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	address, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-listen", "tcp://127.0.0.1:0", "-to", "tcp://" + closed}, func(a string) { address <- a })
	}()
	if c, err := net.Dial("tcp", <-address); err == nil { // the reset may come as early as that
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes came from nobody", n)
		}
		_ = c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
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
	for _, args := range [][]string{{"-listen", "nowhere"}, {"-to", "nowhere"}, {"-what"}, {"-listen", "tcp://127.0.0.1:99999"}} {
		if err := run(t.Context(), args, nil); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
