package secure_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// recordHeader is the size of a record's header, whose last two bytes are its length.
const recordHeader = 5

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

// fragmenter makes a record of each byte of what a client says in the clear.
type fragmenter struct {
	net.Conn
	sealed bool // from ChangeCipherSpec on
}

func (f *fragmenter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := recordHeader + int(rest[3])<<8 + int(rest[4])
		var out []byte
		if f.sealed = f.sealed || rest[0] != handshakeRecord; f.sealed {
			out = rest[:n]
		} else {
			for _, b := range rest[recordHeader:n] {
				out = append(out, rest[0], rest[1], rest[2], 0, 1, b)
			}
		}
		if _, err := f.Conn.Write(out); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// faults.md, TLS: 1-byte records, of the handshake and of data.
func TestRecordsOfOneByte(t *testing.T) {
	ca := authority(t, "fragments")
	at := serve(t, echo{}, newContext(t, secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}}))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		raw, err := net.Dial("tcp", at[0])
		must(t, err)
		must(t, raw.SetDeadline(time.Now().Add(failSafe)))
		config := trusting(ca, "a.test")
		config.MaxVersion = version
		c := tls.Client(&fragmenter{Conn: raw}, config)
		must(t, c.Handshake())
		for _, b := range []byte(said) {
			_, err := c.Write([]byte{b})
			must(t, err)
		}
		again := make([]byte, len(said))
		if _, err := io.ReadFull(c, again); err != nil || string(again) != said {
			t.Errorf("%s: %q, %v, want %q", tls.VersionName(version), again, err, said)
		}
		must(t, c.Close())
	}
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
