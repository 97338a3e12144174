package conn_test

import (
	"net"
	"testing"

	"github.com/sluice-net/sluice/conn"
)

// echoer sends back what comes.
type echoer struct {
	conn.BaseUser
	buffer []byte
	ready  chan struct{}
}

func (e *echoer) SocketBindResult(s conn.Socket, _ string, port uint16) {
	if s.Listen() == nil {
		close(e.ready)
	}
}

func (e *echoer) SocketListenResult(s conn.Socket, _ string, _ uint16) {
	_ = s.Accept(&echoer{buffer: make([]byte, 4096)})
}
func (e *echoer) SocketAcceptComplete(s conn.Socket) { _ = s.Recv(e.buffer, true) }

func (e *echoer) SocketRecvResult(s conn.Socket, p []byte, n int) {
	_ = s.Send(p[:n])
	_ = s.Recv(p, true)
}

func (e *echoer) SocketShutdown(s conn.Socket, _ conn.ShutdownReason) { s.Release() }

// BenchmarkSocketEcho is one echo of 64 bytes, with its client's system calls.
func BenchmarkSocketEcho(b *testing.B) {
	at := benchServer(b)
	c, err := net.Dial("unix", at)
	must(b, err)
	defer c.Close()
	p := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSocketAccept is a connection's whole life with one echo; what it allocates is what
// a socket costs.
func BenchmarkSocketAccept(b *testing.B) {
	at := benchServer(b)
	p := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		c, err := net.Dial("unix", at)
		must(b, err)
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(p); err != nil {
			b.Fatal(err)
		}
		must(b, c.Close())
	}
}

func benchServer(b *testing.B) (at string) {
	b.Helper()
	e := &echoer{ready: make(chan struct{})}
	s, err := conn.Local().NewSocket(conn.SocketConfig{Mux: startMux(b, nil), User: e})
	must(b, err)
	at = "@sluice-conn-bench"
	must(b, s.Bind(at, 0))
	receive(b, e.ready, "Listen")
	return at
}
