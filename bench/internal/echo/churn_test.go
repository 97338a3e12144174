//go:build linux

package echo_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/fanout"
)

func TestChurn(t *testing.T) {
	for _, size := range []int{64, 77, 200_000} {
		var mu sync.Mutex
		accepted := 0
		addr := serve(t, func(c net.Conn) {
			mu.Lock()
			accepted++
			mu.Unlock()
			honest(c)
		})
		c, err := echo.NewChurn(addr, 10, size)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var last echo.Progress
		for range 2 { // it can be run again
			err = c.Run(within(t), func(p echo.Progress) bool {
				last = p
				return p.Echoes < 200
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		if accepted < 400 || last.Echoes < 200 || c.Latency().Count() < 400 || c.Latency().Quantile(0.5) <= 0 {
			t.Errorf("%d bytes: %d accepted, %d echoes, %d timed", size, accepted, last.Echoes, c.Latency().Count())
		}
		mu.Unlock()
	}
}

func TestChurnFindsWhatsWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handle func(net.Conn)
		want   error
	}{
		{"corruption", func(c net.Conn) {
			p := make([]byte, 64)
			_, _ = io.ReadFull(c, p)
			p[40]++
			_, _ = c.Write(p)
		}, echo.ErrMismatch},
		{"extra", func(c net.Conn) {
			p := make([]byte, 65)
			_, _ = io.ReadFull(c, p[:64])
			_, _ = c.Write(p)
		}, echo.ErrExtra},
		{"early end", func(c net.Conn) {
			p := make([]byte, 64)
			_, _ = io.ReadFull(c, p)
			_, _ = c.Write(p[:32])
		}, echo.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := echo.NewChurn(serve(t, tt.handle), 2, 64)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = c.Run(within(t), func(p echo.Progress) bool { return p.Echoes < 100 })
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestChurnRefuses(t *testing.T) {
	addr := serve(t, honest)
	if _, err := echo.NewChurn(addr, 0, 64); err == nil {
		t.Error("no sockets: no error")
	}
	if _, err := echo.NewChurn(addr, 1, 1); err == nil {
		t.Error("too small: no error")
	}
}

func TestPublish(t *testing.T) {
	room := fanout.New(func(c net.Conn, p []byte) { _, _ = c.Write(p) })
	t.Cleanup(room.Close) // after the server
	addr := serve(t, func(c net.Conn) {
		p := make([]byte, 1000)
		for {
			n, err := c.Read(p)
			if err != nil {
				return
			}
			room.Received(c, p[:n])
		}
	})
	c, err := echo.Dial(within(t), addr, 300, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Latency().Reset()
	var last echo.Progress
	err = c.Publish(within(t), func(p echo.Progress) bool {
		last = p
		return p.Echoes < 3000
	})
	if err != nil || last.Echoes < 3000 || c.Latency().Count() < 300 {
		t.Errorf("%d deliveries, %d timed: %v", last.Echoes, c.Latency().Count(), err)
	}
}

// A server that only echoes has no subscribers.
func TestPublishFindsASubscriberLeftOut(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		p := make([]byte, 64)
		if _, err := io.ReadFull(c, p); err != nil {
			return
		}
		_, _ = c.Write(p)
		_, _ = io.ReadFull(c, p[:1]) // and the end, when the first message comes
	})
	c, err := echo.Dial(within(t), addr, 3, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Publish(within(t), func(echo.Progress) bool { return true }); err == nil {
		t.Error("no error")
	}
}

// Some connections echo, the others stay silent.
func TestRunSome(t *testing.T) {
	c, err := echo.Dial(within(t), serve(t, honest), 200, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Latency().Reset()
	if err := c.RunSome(within(t), 20, func(p echo.Progress) bool { return p.Echoes < 100 }); err != nil {
		t.Fatal(err)
	}
	if n := c.Latency().Count(); n < 100 || n > 120 {
		t.Errorf("%d of some 110 echoes were timed", n)
	}
}
