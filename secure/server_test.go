package secure_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

type echo struct{ server.BaseCallback }

func (echo) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { _ = c.Read() }
func (echo) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	_ = c.Write(b)
	_ = c.Read()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEcho(t *testing.T) {
	self, err := secure.SelfSigned(time.Hour, "localhost", "127.0.0.1")
	must(t, err)
	x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{self}, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tcp", Address: "127.0.0.1:0", Sessions: x}},
	})
	must(t, err)
	must(t, srv.Start())
	defer srv.Shutdown(t.Context())
	at := srv.Addrs()["l"][0].String()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, MaxVersion: v})
		must(t, err)
		for _, n := range []int{1, 64, 16 << 10, 100 << 10} {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(i)
			}
			go func() { _, _ = c.Write(p) }()
			got := make([]byte, n)
			_, err := io.ReadFull(c, got)
			must(t, err)
			if string(got) != string(p) {
				t.Error("not the same")
			}
		}
		must(t, c.CloseWrite())
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		must(t, c.Close())
	}
}

func BenchmarkEcho(b *testing.B) {
	self, err := secure.SelfSigned(time.Hour, "localhost", "127.0.0.1")
	must(b, err)
	x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{self}, Logger: slog.New(slog.DiscardHandler)})
	must(b, err)
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tcp", Address: "127.0.0.1:0", Sessions: x}},
	})
	must(b, err)
	must(b, srv.Start())
	defer srv.Shutdown(b.Context())
	c, err := tls.Dial("tcp", srv.Addrs()["l"][0].String(), &tls.Config{InsecureSkipVerify: true})
	must(b, err)
	defer c.Close()
	p := make([]byte, 64)
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
