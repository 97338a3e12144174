package secure_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// BenchmarkEcho is an echo over TLS 1.3: of our server, and of the standard library's with a
// goroutine for each connection. The client, which is the same, is in the figures of both.
func BenchmarkEcho(b *testing.B) {
	self, err := secure.SelfSigned(time.Hour, "localhost")
	must(b, err)
	for _, size := range []int{64, 1024, 16 << 10} {
		b.Run(fmt.Sprintf("sluice/%d", size), func(b *testing.B) { benchEcho(b, ours(b, self), size) })
		b.Run(fmt.Sprintf("goroutines/%d", size), func(b *testing.B) { benchEcho(b, theirs(b, self), size) })
	}
}

// BenchmarkHandshake is a full handshake, with its client's half.
func BenchmarkHandshake(b *testing.B) {
	self, err := secure.SelfSigned(time.Hour, "localhost")
	must(b, err)
	for name, start := range map[string]func(testing.TB, secure.Certificate) string{"sluice": ours, "goroutines": theirs} {
		b.Run(name, func(b *testing.B) {
			at := start(b, self)
			b.ReportAllocs()
			for b.Loop() {
				c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
				must(b, err)
				must(b, c.Close())
			}
		})
	}
}

func benchEcho(b *testing.B, at string, size int) {
	b.Helper()
	c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
	must(b, err)
	defer c.Close()
	p := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			b.Fatal(err)
		}
	}
}

func ours(b testing.TB, self secure.Certificate) string {
	b.Helper()
	x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{self}, Logger: slog.New(slog.DiscardHandler)})
	must(b, err)
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
	})
	must(b, err)
	must(b, srv.Start())
	b.Cleanup(func() { _ = srv.Shutdown(b.Context()) })
	return srv.Addrs()["l"][0].String()
}

func theirs(b testing.TB, self secure.Certificate) string {
	b.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*self.Pair}, DynamicRecordSizingDisabled: true})
	must(b, err)
	b.Cleanup(func() { must(b, l.Close()) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				defer c.Close()
				p := make([]byte, 64<<10)
				for {
					n, err := c.Read(p)
					if err != nil {
						return
					}
					if _, err := c.Write(p[:n]); err != nil {
						return
					}
				}
			}(c)
		}
	}()
	return l.Addr().String()
}
