// Command isocket is an echo server on sluice's ISocket layer: Recv fills the user's own
// memory, Send takes what's in it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"

	"github.com/sluice-net/sluice/conn"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7000", "`address` to listen on")
	loops := flag.Int("loops", 1, "number of event loops")
	flag.Parse()
	if err := run(*addr, *loops); err != nil {
		fmt.Fprintln(os.Stderr, "isocket:", err)
		os.Exit(1)
	}
}

func run(addr string, loops int) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	mux, err := conn.NewMux(conn.MuxConfig{Loops: loops})
	if err != nil {
		return err
	}
	l := &listener{mux: mux}
	s, err := conn.TCP().NewSocket(conn.SocketConfig{Mux: mux, User: l})
	if err != nil {
		return err
	}
	if err := s.Bind(at.Addr().String(), at.Port()); err != nil {
		return err
	}
	return errors.Join(mux.Run(), l.err)
}

// listener accepts everybody. When it ends, so does the server.
type listener struct {
	conn.BaseUser
	mux *conn.Mux
	err error
}

func (l *listener) SocketBindResult(s conn.Socket, _ string, _ uint16) {
	if err := s.Listen(); err != nil {
		l.err = err
		s.Release()
	}
}

func (*listener) SocketListenResult(s conn.Socket, _ string, _ uint16) {
	_ = s.Accept(&echo{memory: make([]byte, memory)})
}

func (l *listener) SocketShutdown(s conn.Socket, _ conn.ShutdownReason) {
	l.err = errors.Join(l.err, s.Err())
	_ = l.mux.Terminate()
}

// memory is what a connection receives into. It's the connection's for good, as with
// std.
const memory = 16 << 10

// echo serves one connection. Its next Recv waits for what was sent: a peer that doesn't read
// isn't read from.
type echo struct {
	conn.BaseUser
	memory []byte
}

func (e *echo) SocketAcceptComplete(s conn.Socket) { e.recv(s) }

func (e *echo) SocketRecvResult(s conn.Socket, p []byte, n int) {
	if err := s.Send(p[:n]); err != nil {
		_ = s.Shutdown()
	}
}

func (e *echo) SocketSendResult(s conn.Socket) { e.recv(s) }

func (e *echo) recv(s conn.Socket) {
	if err := s.Recv(e.memory, true); err != nil {
		_ = s.Shutdown()
	}
}

func (*echo) SocketShutdown(s conn.Socket, _ conn.ShutdownReason) { s.Release() }
