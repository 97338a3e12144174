//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/cloudwego/netpoll"
)

type netpollServer struct {
	role *role
	loop netpoll.EventLoop // fixed by serve, before any connection
}

func newNetpoll(r *role) framework { return &netpollServer{role: r} }

// linkKey is where a connection's context has its link.
type linkKey struct{}

func (s *netpollServer) serve(network, addr string) error {
	if err := netpoll.Configure(netpoll.Config{PollerNum: 1, LoggerOutput: io.Discard}); err != nil {
		return err
	}
	listener, err := netpoll.CreateListener(network, addr)
	if err != nil {
		return err
	}
	s.loop, err = netpoll.NewEventLoop(s.request,
		netpoll.WithOnPrepare(func(c netpoll.Connection) context.Context {
			l := &netpollLink{c}
			// OnDisconnect would come while requests are still being served.
			_ = c.AddCloseCallback(func(netpoll.Connection) error {
				if s.role.closed != nil {
					s.role.closed(l)
				}
				return nil
			})
			return context.WithValue(context.Background(), linkKey{}, l)
		}),
		netpoll.WithOnConnect(func(ctx context.Context, _ netpoll.Connection) context.Context {
			if s.role.opened != nil {
				s.role.opened(linkOf(ctx))
			}
			return ctx
		}),
	)
	if err != nil {
		return err
	}
	return s.loop.Serve(listener)
}

func linkOf(ctx context.Context) *netpollLink { return ctx.Value(linkKey{}).(*netpollLink) }

// request runs on a goroutine of netpoll's pool, where it may block: that's how it pauses.
func (s *netpollServer) request(ctx context.Context, c netpoll.Connection) error {
	r := c.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	s.role.data(linkOf(ctx), p)
	if s.role.once {
		select {} // it has other things to do
	}
	if err := r.Release(); err != nil || s.role.idle == 0 {
		return err
	}
	// Time-outs are those of reads that block.
	if err := c.SetReadTimeout(s.role.idle); err != nil {
		say("deadline: %v", err)
	}
	if _, err := r.Peek(1); err != nil {
		return c.Close()
	}
	return nil
}

func (s *netpollServer) dial(addr string) error {
	c, err := netpoll.DialConnection("tcp", addr, patience)
	if err != nil {
		return err
	}
	return errors.Join((&netpollLink{c}).write([]byte(greeting)), c.Close())
}

func (s *netpollServer) stop(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.loop.Shutdown(ctx)
}

type netpollLink struct{ c netpoll.Connection }

func (l *netpollLink) write(p []byte) error { return l.writev([][]byte{p}) }

// writev blocks until everything has been sent.
func (l *netpollLink) writev(pieces [][]byte) error {
	w := l.c.Writer()
	for _, p := range pieces {
		if _, err := w.WriteBinary(p); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (l *netpollLink) close() { _ = l.c.Close() }

func (l *netpollLink) after(d time.Duration, f func()) {
	time.Sleep(d)
	f()
}

func (l *netpollLink) writeLater(p []byte) error { return l.write(p) }
