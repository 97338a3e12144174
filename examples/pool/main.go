// Command pool answers its clients' requests by a backend, over a few connections that all
// clients share. Requests and responses are messages behind their length (4 bytes, the most
// significant first), as those of examples/reqresp, which can be the backend.
//
// It shows outgoing connections that are kept up, and slots for what belongs to them.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/server"
)

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "tcp://127.0.0.1:7003", "`URL` where clients connect, tcp://host:port or unix:///path")
	flag.StringVar(&o.backend, "backend", "tcp://127.0.0.1:7001", "`URL` of who answers")
	flag.IntVar(&o.size, "size", 4, "connections to the backend")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long the backend may take for its next response")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C doesn't wait for the drain
	if err := run(ctx, slog.Default(), o); err != nil {
		slog.Error("pool", "error", err)
		os.Exit(1)
	}
}

type options struct {
	listen, backend string
	size            int
	timeout         time.Duration
}

// run serves until ctx ends, and drains.
func run(ctx context.Context, log *slog.Logger, o options) error {
	listener, err := server.ParseListener(o.listen)
	if err != nil {
		return err
	}
	backend, err := server.ParseListener(o.backend)
	if err != nil {
		return err
	}
	length, err := framing.NewLength(framing.LengthConfig{Max: maxMessage})
	if err != nil {
		return err
	}
	var slots conn.Slots
	alloc := buffers.New(buffers.Config{})
	f := &front{
		log:     log,
		alloc:   alloc,
		framing: length,
		writer:  framing.NewWriter(length, alloc),
		readers: conn.NewSlot[framing.Reader](&slots, "reader"),
		links:   conn.NewSlot[link](&slots, "link"),
	}
	f.srv, err = server.New(server.Config{
		Callback:  f,
		Listeners: []server.Listener{listener},
		Allocator: alloc,
		Slots:     &slots,
		Logger:    log,
	})
	if err != nil {
		return err
	}
	f.pool = &pool{
		log:     log,
		srv:     f.srv,
		target:  server.Target{Network: backend.Network, Address: backend.Address},
		size:    o.size,
		timeout: o.timeout,
	}
	f.pool.ctx, f.pool.stop = context.WithCancel(ctx)
	defer f.pool.end()
	return f.srv.Run(ctx)
}
