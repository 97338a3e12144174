// Command chat passes lines on among its clients. The first line is a client's name.
//
// It shows writing from another goroutine than the connection's loop, and what can be done
// about a member who doesn't read: lines are dropped for him, or he is disconnected. The
// others don't notice, and what he costs in memory has a bound.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/server"
)

func main() {
	listen := flag.String("listen", "tcp://127.0.0.1:7002", "`URL` to listen on, tcp://host:port or unix:///path")
	slow := flag.String("slow", "drop", "what to do about who doesn't read: drop or disconnect")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C doesn't wait for the drain
	if err := run(ctx, slog.Default(), *listen, *slow); err != nil {
		slog.Error("chat", "error", err)
		os.Exit(1)
	}
}

const (
	maxLine   = 1 << 10
	maxOutput = 64 << 10 // queued for a member: here, and again in the kernel
)

// run serves until ctx ends, and drains.
func run(ctx context.Context, log *slog.Logger, listen, slow string) error {
	if slow != "drop" && slow != "disconnect" {
		return fmt.Errorf("-slow=%s: want drop or disconnect", slow)
	}
	listener, err := server.ParseListener(listen)
	if err != nil {
		return err
	}
	listener.Options.SendBuffer = maxOutput
	lines, err := framing.NewLine(framing.LineConfig{Max: maxLine})
	if err != nil {
		return err
	}
	var slots conn.Slots
	c := &chat{
		log:     log,
		alloc:   buffers.New(buffers.Config{}),
		framing: lines,
		members: conn.NewSlot[member](&slots, "member"),
		room:    newRoom(slow == "disconnect"),
	}
	c.srv, err = server.New(server.Config{
		Callback:  c,
		Listeners: []server.Listener{listener},
		Flow:      conn.Flow{High: maxOutput / 2, Low: maxOutput / 4, MaxPending: maxOutput},
		Allocator: c.alloc,
		Slots:     &slots,
		Logger:    log,
	})
	if err != nil {
		return err
	}
	go c.room.run()
	defer c.room.end()
	return c.srv.Run(ctx)
}

// chat is what the server calls. It leaves everything that concerns others to the room.
type chat struct {
	server.BaseCallback
	log     *slog.Logger
	srv     *server.Server
	alloc   *buffers.Allocator
	framing *framing.Line
	members conn.Slot[member]
	room    *room
}

// OnStartAcceptingConnections tells the addresses: of port 0 the system makes one.
func (c *chat) OnStartAcceptingConnections() {
	for _, bound := range c.srv.Addrs() {
		c.log.Info("listening", "address", bound[0].String())
	}
}

// OnConnectionEstablished keeps a reference, because in this program a connection isn't
// over when nothing is pending: the room may have nothing to say for a while.
func (c *chat) OnConnectionEstablished(s *conn.Stream, _ conn.Addr) {
	m := &member{stream: s.AddRef(), reader: framing.NewReader(c.framing, c.alloc)}
	c.members.Set(s, m)
	c.room.do(func() { c.room.greet(m) })
}

// OnReadCompleted hands the lines to the room, which asks for the next read when it has
// passed them on. So a member can't say more than the room can repeat.
func (c *chat) OnReadCompleted(s *conn.Stream, b *buffers.Buffer) {
	m := c.members.Get(s)
	var said []string // copies: messages are lent
	err := m.reader.Feed(b, func(line *buffers.Buffer) error {
		said = append(said, string(line.Bytes()))
		return nil
	})
	if err != nil {
		s.Abort(err)
		return
	}
	c.room.do(func() { c.room.hear(m, said) })
}

// OnConnectionClientClose: who has ended his side leaves. He gets what was sent to him.
func (c *chat) OnConnectionClientClose(s *conn.Stream) { _ = s.Shutdown() }

// OnWriteReady: the output is low again, after it was high or full.
func (c *chat) OnWriteReady(s *conn.Stream) {
	m := c.members.Get(s)
	c.room.do(func() { c.room.catchUp(m) })
}

// OnConnectionClosure takes the member out, behind all that he has said. Until the room
// has heard of it, what it does with the stream is refused.
func (c *chat) OnConnectionClosure(s *conn.Stream, r conn.Reason) {
	m := c.members.Get(s)
	_ = m.reader.Close()
	m.stream.Release()
	why := r.String()
	if _, err := s.Cause(); errors.Is(err, errTooSlow) {
		why = errTooSlow.Error()
	}
	c.log.Info("closed", "connection", s.ID(), "reason", why)
	c.room.do(func() { c.room.leave(m, why) })
}
