package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// startBench starts an echo server with a number of loops.
func startBench(b *testing.B, loops int, l server.Listener) (*server.Server, string) {
	b.Helper()
	mux, err := conn.NewMux(conn.MuxConfig{Loops: loops})
	if err != nil {
		b.Fatal(err)
	}
	l.Name, l.Network, l.Address = "bench", "tcp", "127.0.0.1:0"
	srv, err := server.New(server.Config{Callback: echo{}, Mux: mux, Listeners: []server.Listener{l}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = srv.Shutdown(ctx) // what's still open is aborted
		if err := mux.Terminate(); err != nil {
			b.Error(err)
		}
	})
	return srv, srv.Addrs()["bench"][0].String()
}

// How the two ways to accept compare (ADR 5): the time of connect, echo and close, and
// how unevenly connections are spread over the loops (the fullest one's share, 1 being
// even).
func BenchmarkAccept(b *testing.B) {
	for _, loops := range []int{1, 2, 8} {
		for _, reuse := range []bool{false, true} {
			name := map[bool]string{false: "shared", true: "reuseport"}[reuse]
			b.Run(fmt.Sprintf("%s/loops=%d/churn", name, loops), func(b *testing.B) {
				_, address := startBench(b, loops, server.Listener{ReusePort: reuse})
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						connectEchoClose(b, address)
					}
				})
			})
			b.Run(fmt.Sprintf("%s/loops=%d/spread", name, loops), func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(spread(b, loops, reuse), "fullest/mean")
				}
			})
		}
	}
}

// What it costs to refuse a connection for the rate (ADR 8), beside serving one: connect and
// wait for the reset.
func BenchmarkRefuse(b *testing.B) {
	b.Run("served", func(b *testing.B) {
		_, address := startBench(b, 1, server.Listener{})
		for b.Loop() {
			connectEchoClose(b, address)
		}
	})
	b.Run("refused", func(b *testing.B) {
		srv, address := startBench(b, 1, server.Listener{AcceptRate: 1e-6})
		connectEchoClose(b, address)
		for b.Loop() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				continue // the reset was as early as that
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				b.Error("it was served")
			}
			_ = c.Close()
		}
		if n := srv.Stats().Listeners["bench"].Rejected[server.RejectedRate]; n < uint64(b.N) {
			b.Errorf("%d of %d are counted as refused", n, b.N)
		}
	})
}

func connectEchoClose(b *testing.B, address string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return
	}
	// A reset at the end, so that ports don't run out.
	_ = c.(*net.TCPConn).SetLinger(0)
	roundTrip(b, c, make([]byte, 64))
	_ = c.Close()
}

// spread opens connections and returns how much fuller than the mean the fullest loop is.
func spread(b *testing.B, loops int, reuse bool) float64 {
	const n = 512
	srv, address := startBench(b, loops, server.Listener{ReusePort: reuse})
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		roundTrip(b, c, make([]byte, 1))
	}
	var fullest int64
	for _, r := range srv.Stats().Reactors {
		fullest = max(fullest, r.Connections)
	}
	return float64(fullest) * float64(loops) / n
}

// The whole path over loopback, client included: what it allocates is the point.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			_, address := startBench(b, 1, server.Listener{})
			fd := dialRaw(b, address)
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				echoRaw(b, fd, p)
			}
		})
	}
}

func roundTrip(b *testing.B, c net.Conn, p []byte) {
	if _, err := c.Write(p); err != nil {
		b.Error(err)
		return
	}
	for n := 0; n < len(p); {
		m, err := c.Read(p[n:])
		if err != nil {
			b.Error(err)
			return
		}
		n += m
	}
}

// dialRaw connects a blocking descriptor, whose calls allocate nothing.
func dialRaw(b *testing.B, address string) int {
	b.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		b.Fatal(err)
	}
	_ = c.Close()
	fd := int(f.Fd()) // makes it blocking
	b.Cleanup(func() { _ = f.Close() })
	return fd
}

func echoRaw(b *testing.B, fd int, p []byte) {
	for n := 0; n < len(p); {
		m, err := unix.Write(fd, p[n:])
		if err != nil {
			b.Fatal(err)
		}
		n += m
	}
	for n := 0; n < len(p); {
		m, err := unix.Read(fd, p[n:])
		if err != nil || m == 0 {
			b.Fatal(m, err)
		}
		n += m
	}
}
