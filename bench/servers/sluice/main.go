// Command sluice is the fan-out server on sluice: the echo is measured with echod itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"github.com/sluice-net/sluice/bench/internal/fanout"
	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7000", "`address` to listen on")
	loops := flag.Int("loops", 1, "number of event loops")
	flag.Parse()
	if err := run(*addr, *loops); err != nil {
		fmt.Fprintln(os.Stderr, "sluice:", err)
		os.Exit(1)
	}
}

func run(addr string, loops int) error {
	mux, err := conn.NewMux(conn.MuxConfig{Loops: loops})
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{
		Mux:       mux,
		Listeners: []server.Listener{{Network: "tcp", Address: addr}},
		Callback:  &publisher{room: fanout.New(func(c *conn.Stream, p []byte) { _ = c.Send(p) })},
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return s.Run(context.Background())
}

type publisher struct {
	server.BaseCallback
	room *fanout.Room[*conn.Stream]
}

func (h *publisher) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { _ = c.Read() }

func (h *publisher) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	h.room.Received(c, b.Bytes())
	_ = c.Read()
}

func (h *publisher) OnConnectionClosure(c *conn.Stream, _ conn.Reason) { h.room.Left(c) }
