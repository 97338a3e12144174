// Command server is the ISocket interface's own example of a server: it greets everybody
// who connects, and shows what they send.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sluice-net/sluice/conn"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		stop()
		os.Exit(1)
	}
}

// run is the program: it returns when the socket has ended, and with it the event loop.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:7100", "the address and port to listen at")
	deny := flags.String("deny", "", "an address whose connections are denied")
	if err := flags.Parse(args); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*listen)
	if err != nil {
		return fmt.Errorf("-listen %q: want ip:port", *listen)
	}
	// One loop: all callbacks come one at a time, as in the seeds.
	mux, err := conn.NewMux(conn.MuxConfig{Loops: 1})
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	a := &app{mux: mux, say: say, deny: *deny}
	socket, err := conn.TCP().NewSocket(conn.SocketConfig{Mux: mux, User: a, IPv6: at.Addr().Is6()})
	if err != nil {
		return err
	}
	if err := socket.Bind(at.Addr().String(), at.Port()); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = socket.Shutdown() })()
	if err := mux.Run(); err != nil {
		return err
	}
	return a.err
}

// app listens.
type app struct {
	conn.BaseUser
	mux  *conn.Mux
	say  func(format string, args ...any)
	deny string
	err  error
}

func (a *app) SocketBindResult(s conn.Socket, localAddr string, localPort uint16) {
	if err := s.Listen(); err != nil {
		a.fail(err)
		return
	}
	a.say("listening on %s port %d", localAddr, localPort)
}

func (a *app) SocketListenResult(s conn.Socket, remoteAddr string, _ uint16) {
	var user conn.User
	if remoteAddr != a.deny {
		user = &remoteUser{say: a.say, buffer: make([]byte, 1024)}
	}
	if err := s.Accept(user); err != nil { // nil: denied
		a.fail(err)
	}
}

func (a *app) SocketShutdown(s conn.Socket, reason conn.ShutdownReason) {
	if reason != conn.ShutdownNormal {
		a.fail(fmt.Errorf("%v: %w", reason, s.Err()))
	}
	s.Release()
	a.fail(a.mux.Terminate())
}

func (a *app) fail(err error) { a.err = errors.Join(a.err, err) }

// remoteUser serves one connection.
type remoteUser struct {
	conn.BaseUser
	say    func(format string, args ...any)
	buffer []byte
}

func (u *remoteUser) SocketAcceptComplete(s conn.Socket) {
	u.receive(s)
	if err := s.Send([]byte("Hello world\n")); err != nil {
		u.say("Send: %v", err)
	}
}

func (u *remoteUser) receive(s conn.Socket) {
	if err := s.Recv(u.buffer, true); err != nil {
		u.say("Recv: %v", err)
	}
}

func (u *remoteUser) SocketSendResult(conn.Socket) { u.say("Data had been sent") }

func (u *remoteUser) SocketRecvResult(s conn.Socket, p []byte, n int) {
	u.say("Received data\n%s", strings.TrimSuffix(hex.Dump(p[:n]), "\n"))
	u.receive(s)
}

// SocketRecvCanceled has the buffer back, which is the user's own.
func (u *remoteUser) SocketRecvCanceled(conn.Socket, []byte) {}

func (u *remoteUser) SocketShutdown(s conn.Socket, reason conn.ShutdownReason) {
	u.say("%v has ended: %v", s, reason)
	s.Release()
}
