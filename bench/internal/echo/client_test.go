//go:build linux

package echo_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/bench/internal/echo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs handle for each connection of a listener until the test ends.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				handle(c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func honest(c net.Conn) { _, _ = io.Copy(c, c) }

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestClientAcceptsAnHonestServer(t *testing.T) {
	for _, tt := range []struct {
		name        string
		conns, size int
	}{
		{"one small", 1, echo.MinSize},
		{"odd size", 3, 77},
		{"more than a batch of dials", 300, 64},
		{"more than the socket buffers hold", 2, 8 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := within(t)
			c, err := echo.Dial(ctx, serve(t, honest), tt.conns, tt.size)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			want := uint64(3 * tt.conns)
			var last echo.Progress
			err = c.Run(ctx, func(p echo.Progress) bool {
				if p.Echoes < last.Echoes || p.Idle < last.Idle || p.Now.Before(last.Now) {
					t.Errorf("progress went back from %+v to %+v", last, p)
				}
				last = p
				return p.Echoes < want
			})
			if err != nil {
				t.Fatal(err)
			}
			if last.Echoes < want {
				t.Errorf("stopped after %d echoes, want at least %d", last.Echoes, want)
			}
			if err := c.Once(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestClientAcceptsFragments(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		p := make([]byte, 7)
		for {
			n, err := c.Read(p)
			if err != nil {
				return
			}
			if _, err := c.Write(p[:n]); err != nil {
				return
			}
		}
	})
	ctx := within(t)
	c, err := echo.Dial(ctx, addr, 5, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Once(ctx); err != nil {
		t.Error(err)
	}
}

// A server with a fault is found out, at the latest in the third echo.
func TestClientFindsFaults(t *testing.T) {
	const size = 256
	// perMessage echoes whole messages, each changed by fault.
	perMessage := func(fault func(number int, msg []byte) []byte) func(net.Conn) {
		return func(c net.Conn) {
			msg := make([]byte, size)
			for number := 1; ; number++ {
				if _, err := io.ReadFull(c, msg); err != nil {
					return
				}
				reply := fault(number, msg)
				if _, err := c.Write(reply); err != nil || len(reply) < size {
					return
				}
			}
		}
	}
	// perConnection is perMessage for faults that remember something of their connection.
	perConnection := func(newFault func() func(number int, msg []byte) []byte) func(net.Conn) {
		return func(c net.Conn) { perMessage(newFault())(c) }
	}
	first := make([]byte, 0, size)
	var once sync.Once
	for _, tt := range []struct {
		name   string
		handle func(net.Conn)
		want   error
	}{
		{"one bit", perMessage(func(number int, msg []byte) []byte {
			if number == 2 {
				msg[200] ^= 1
			}
			return msg
		}), echo.ErrMismatch},
		{"one byte too many", perMessage(func(_ int, msg []byte) []byte {
			return append(msg, 0)
		}), echo.ErrExtra},
		{"reply of the request before", perConnection(func() func(int, []byte) []byte {
			var before [size]byte
			return func(number int, msg []byte) []byte {
				now := [size]byte(msg)
				if number > 1 {
					copy(msg, before[:])
				}
				before = now
				return msg
			}
		}), echo.ErrMismatch},
		{"last block of the request before", perConnection(func() func(int, []byte) []byte {
			var before [64]byte
			return func(number int, msg []byte) []byte {
				block := msg[size-64:]
				now := [64]byte(block)
				if number > 1 {
					copy(block, before[:])
				}
				before = now
				return msg
			}
		}), echo.ErrMismatch},
		{"another connection's reply", func(c net.Conn) {
			perMessage(func(_ int, msg []byte) []byte {
				once.Do(func() { first = append(first, msg...) })
				return first
			})(c)
		}, echo.ErrMismatch},
		{"end in the middle", perMessage(func(number int, msg []byte) []byte {
			if number == 2 {
				return msg[:100]
			}
			return msg
		}), echo.ErrClosed},
		{"no service", func(net.Conn) {}, nil}, // closed or reset, as it happens
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := within(t)
			c, err := echo.Dial(ctx, serve(t, tt.handle), 2, size)
			if err == nil {
				defer c.Close()
				err = c.Run(ctx, func(p echo.Progress) bool { return p.Echoes < 6 })
			}
			if err == nil || ctx.Err() != nil {
				t.Fatalf("not found: %v", err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestClientRefuses(t *testing.T) {
	addr := serve(t, honest)
	for _, tt := range []struct {
		name        string
		addr        netip.AddrPort
		conns, size int
	}{
		{"no connections", addr, 0, 64},
		{"too small", addr, 1, echo.MinSize - 1},
		{"too large", addr, 1, echo.MaxSize + 1},
		{"IPv6", netip.MustParseAddrPort("[::1]:1"), 1, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := echo.Dial(t.Context(), tt.addr, tt.conns, tt.size); err == nil {
				c.Close()
				t.Error("no error")
			}
		})
	}
}

func TestDialSaysWhenNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := echo.Dial(within(t), addr, 1, 64); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want connection refused", err)
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	addr := serve(t, func(c net.Conn) {
		p := make([]byte, 64)
		if _, err := io.ReadFull(c, p); err != nil {
			return
		}
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, c) // and never replies
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := echo.Dial(ctx, addr, 1, 64); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
