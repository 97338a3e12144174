//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/panjf2000/gnet/v2"
)

type gnetServer struct {
	gnet.BuiltinEventEngine
	role   *role
	engine gnet.Engine // set by OnBoot, before any connection
}

func newGnet(r *role) framework { return &gnetServer{role: r} }

func (s *gnetServer) serve(network, addr string) error {
	return gnet.Run(s, network+"://"+addr, gnet.WithNumEventLoop(1), gnet.WithLogger(silent{}))
}

func (s *gnetServer) dial(addr string) error {
	client, err := gnet.NewClient(&gnet.BuiltinEventEngine{}, gnet.WithLogger(silent{}))
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	c, err := client.Dial("tcp", addr)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	if err := c.AsyncWrite([]byte(greeting), func(_ gnet.Conn, err error) error {
		sent <- err
		return nil
	}); err != nil {
		return err
	}
	return errors.Join(<-sent, client.Stop())
}

func (s *gnetServer) stop(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.engine.Stop(ctx)
}

func (s *gnetServer) OnBoot(e gnet.Engine) gnet.Action {
	s.engine = e
	return gnet.None
}

func (s *gnetServer) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	l := &gnetLink{c: c}
	c.SetContext(l)
	if s.role.idle > 0 {
		if err := c.SetReadDeadline(time.Now().Add(s.role.idle)); err != nil {
			say("deadline: %v", err)
		}
	}
	if s.role.opened != nil {
		s.role.opened(l)
	}
	return nil, gnet.None
}

// OnTraffic pauses in the one way there is: what isn't taken stays with gnet.
func (s *gnetServer) OnTraffic(c gnet.Conn) gnet.Action {
	l := c.Context().(*gnetLink)
	if s.role.once && l.taken {
		return gnet.None
	}
	l.taken = true
	p, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	s.role.data(l, p)
	return gnet.None
}

func (s *gnetServer) OnClose(c gnet.Conn, _ error) gnet.Action {
	if l, ok := c.Context().(*gnetLink); ok && s.role.closed != nil {
		s.role.closed(l)
	}
	return gnet.None
}

type gnetLink struct {
	c     gnet.Conn
	taken bool
}

func (l *gnetLink) write(p []byte) error {
	_, err := l.c.Write(p)
	return err
}

func (l *gnetLink) writev(pieces [][]byte) error {
	_, err := l.c.Writev(pieces)
	return err
}

func (l *gnetLink) close() { _ = l.c.Close() }

func (l *gnetLink) after(d time.Duration, f func()) { time.AfterFunc(d, f) }

func (l *gnetLink) writeLater(p []byte) error { return l.c.AsyncWrite(p, nil) }

type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}
