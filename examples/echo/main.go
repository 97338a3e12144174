// Command echo sends back what it receives. It's the smallest useful server: two callbacks,
// and memory stays bounded whatever the clients do.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

func main() {
	var listeners []server.Listener
	flag.Func("listen", "`URL` to listen on, tcp://host:port or unix:///path; may be repeated (default tcp://127.0.0.1:7007)", func(url string) error {
		l, err := server.ParseListener(url)
		listeners = append(listeners, l)
		return err
	})
	flag.Parse()
	if len(listeners) == 0 {
		listeners = []server.Listener{{Network: "tcp", Address: "127.0.0.1:7007"}}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C doesn't wait for the drain
	if err := run(ctx, slog.Default(), listeners); err != nil {
		slog.Error("echo", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and drains.
func run(ctx context.Context, log *slog.Logger, listeners []server.Listener) (err error) {
	e := &echo{log: log}
	e.srv, err = server.New(server.Config{Callback: e, Listeners: listeners, Logger: log})
	if err != nil {
		return err
	}
	return e.srv.Run(ctx)
}

// echo is what the server calls. Its connections keep no state, so there's nothing to guard.
type echo struct {
	server.BaseCallback
	log *slog.Logger
	srv *server.Server
}

// OnStartAcceptingConnections tells the addresses: of port 0 the system makes one.
func (e *echo) OnStartAcceptingConnections() {
	for _, bound := range e.srv.Addrs() {
		e.log.Info("listening", "address", bound[0].String())
	}
}

// OnConnectionEstablished asks for the first bytes. Without that the connection would have
// nothing to wait for, and close.
func (e *echo) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { c.Read() }

// OnReadCompleted writes b, without a copy, and asks for what comes next. That comes when
// b is sent, but for the 64 KiB of Flow.High: a client that doesn't read isn't read from.
func (e *echo) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	c.Write(b)
	c.Read()
}
