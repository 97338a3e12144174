// Command client is the ISocket interface's example of a client: it sends a line before it
// is connected, and shows what comes until the server ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-net/sluice/conn"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	to := flags.String("to", "127.0.0.1:7100", "the server: ip:port, or with -local a path")
	isLocal := flags.Bool("local", false, "connect to a Unix-domain socket")
	say := flags.String("say", "Hello server", "what to send")
	if err := flags.Parse(args); err != nil {
		return err
	}
	provider := conn.TCP()
	if *isLocal {
		provider = conn.Local()
	}
	mux, err := conn.NewMux(conn.MuxConfig{Loops: 1})
	if err != nil {
		return err
	}
	a := &app{mux: mux, say: func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }}
	socket, err := provider.NewSocket(conn.SocketConfig{Mux: mux, User: a})
	if err != nil {
		return err
	}
	if err := socket.Connect(*to, ""); err != nil {
		return err
	}
	// It isn't connected yet: what's sent is cached, what's received waits.
	if err := socket.Send([]byte(*say + "\n")); err != nil {
		return err
	}
	if err := socket.Recv(make([]byte, 1024), true); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = socket.Shutdown() })()
	if err := mux.Run(); err != nil {
		return err
	}
	return a.err
}

type app struct {
	conn.BaseUser
	mux *conn.Mux
	say func(format string, args ...any)
	err error
}

func (a *app) SocketConnectComplete(conn.Socket) { a.say("connected") }
func (a *app) SocketSendResult(conn.Socket)      { a.say("Data had been sent") }

func (a *app) SocketRecvResult(s conn.Socket, p []byte, n int) {
	a.say("Received %q", p[:n])
	if err := s.Recv(p, true); err != nil {
		a.err = errors.Join(a.err, err)
	}
}

func (a *app) SocketShutdown(s conn.Socket, reason conn.ShutdownReason) {
	a.say("ended: %v", reason)
	if reason != conn.ShutdownNormal && reason != conn.ShutdownByPeer {
		a.err = errors.Join(a.err, s.Err())
	}
	s.Release()
	a.err = errors.Join(a.err, a.mux.Terminate())
}
