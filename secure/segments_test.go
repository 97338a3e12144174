package secure_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/sluice-net/sluice/server"
)

// cutter writes in pieces of n bytes.
type cutter struct {
	net.Conn
	n int
}

func (c cutter) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i += c.n {
		if _, err := c.Conn.Write(p[i:min(i+c.n, len(p))]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// faults.md, TLS: records and a ClientHello in 1-byte segments, and in pieces of other sizes:
// crypto/tls resumes after "would block", wherever that comes.
func TestSegments(t *testing.T) {
	x, _, roots := pair(t)
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
	})
	must(t, err)
	must(t, srv.Start())
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, n := range []int{1, 2, 3, 5, 6, 7, 100} {
			raw, err := net.Dial("tcp", srv.Addrs()["l"][0].String())
			must(t, err)
			must(t, raw.(*net.TCPConn).SetNoDelay(true))
			c := tls.Client(cutter{raw, n}, &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: version})
			for _, size := range []int{1, 100, 3000} {
				p := make([]byte, size)
				for i := range p {
					p[i] = byte(i * n)
				}
				if _, err := c.Write(p); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, size)
				if _, err := io.ReadFull(c, got); err != nil || string(got) != string(p) {
					t.Fatalf("version %x in pieces of %d: not the same, %v", version, n, err)
				}
			}
			must(t, c.Close())
		}
	}
	must(t, srv.Shutdown(t.Context()))
}
