//go:build linux

package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

type sluiceServer struct {
	server.BaseCallback
	role   *role
	alloc  *buffers.Allocator
	server *server.Server // fixed by serve, before any connection
	links  map[*conn.Stream]*sluiceLink
}

func newSluice(r *role) framework {
	return &sluiceServer{role: r, alloc: buffers.New(buffers.Config{}), links: map[*conn.Stream]*sluiceLink{}}
}

func (s *sluiceServer) serve(network, addr string) error {
	mux, err := conn.NewMux(conn.MuxConfig{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s.server, err = server.New(server.Config{
		Mux:       mux,
		Callback:  s,
		Listeners: []server.Listener{{Network: network, Address: addr}},
		Flow:      conn.Flow{MaxPending: s.role.output},
		Timeouts:  conn.Timeouts{Idle: s.role.idle},
		Allocator: s.alloc,
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return s.server.Run(context.Background())
}

func (s *sluiceServer) dial(addr string) error {
	c, err := s.server.Connect(context.Background(), server.Target{Network: "tcp", Address: addr}, nil)
	if err != nil {
		return err
	}
	defer c.Release()
	return errors.Join(c.Send([]byte(greeting)), c.Shutdown())
}

func (s *sluiceServer) stop(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.server.Shutdown(ctx)
}

// There's one loop, so the links need no lock. Each holds a reference while it's open, for a
// role may keep it.
func (s *sluiceServer) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	l := &sluiceLink{c: c.AddRef(), alloc: s.alloc}
	s.links[c] = l
	if s.role.opened != nil {
		s.role.opened(l)
	}
	_ = c.Read()
}

// OnReadCompleted pauses by not asking for more.
func (s *sluiceServer) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	s.role.data(s.links[c], b.Bytes())
	if !s.role.once {
		_ = c.Read()
	}
}

func (s *sluiceServer) OnReadOOBCompleted(c *conn.Stream, b *buffers.Buffer) {
	if s.role.oob != nil {
		s.role.oob(s.links[c], b.Bytes()[0])
	}
}

// OnConnectionClientClose ends the connection when what's under way has been said: it's held
// then by who says it.
func (s *sluiceServer) OnConnectionClientClose(c *conn.Stream) { s.links[c].drop() }

func (s *sluiceServer) OnConnectionClosure(c *conn.Stream, _ conn.Reason) {
	l := s.links[c]
	l.drop()
	delete(s.links, c)
	if s.role.closed != nil {
		s.role.closed(l)
	}
}

type sluiceLink struct {
	c       *conn.Stream
	alloc   *buffers.Allocator
	dropped bool // the loop's own: the reference has been given back
}

func (l *sluiceLink) drop() {
	if !l.dropped {
		l.dropped = true
		l.c.Release()
	}
}

func (l *sluiceLink) write(p []byte) error { return l.c.Send(p) }

func (l *sluiceLink) writev(pieces [][]byte) error {
	bs := make([]*buffers.Buffer, len(pieces))
	for i, p := range pieces {
		bs[i] = l.alloc.Copy(p)
		defer bs[i].Release()
	}
	return l.c.Writev(bs...)
}

func (l *sluiceLink) close() { _ = l.c.Shutdown() }

func (l *sluiceLink) after(d time.Duration, f func()) {
	l.c.AddRef()
	time.AfterFunc(d, func() {
		f()
		l.c.Release()
	})
}

func (l *sluiceLink) writeLater(p []byte) error { return l.c.Send(p) }
