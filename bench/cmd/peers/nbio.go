//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
)

type nbioServer struct {
	role   *role
	engine *nbio.Engine // fixed by serve, before any connection
}

func newNbio(r *role) framework { return &nbioServer{role: r} }

func (s *nbioServer) serve(network, addr string) error {
	logging.SetLevel(logging.LevelNone)
	e := nbio.NewEngine(nbio.Config{Network: network, Addrs: []string{addr}, NPoller: 1})
	s.engine = e
	e.OnOpen(func(c *nbio.Conn) {
		l := &nbioLink{c}
		c.SetSession(l)
		s.awake(c)
		if s.role.opened != nil {
			s.role.opened(l)
		}
	})
	// There's no way to pause: what arrives is brought.
	e.OnData(func(c *nbio.Conn, p []byte) {
		s.awake(c)
		s.role.data(c.Session().(*nbioLink), p)
	})
	e.OnClose(func(c *nbio.Conn, _ error) {
		if l, ok := c.Session().(*nbioLink); ok && s.role.closed != nil {
			s.role.closed(l)
		}
	})
	if err := e.Start(); err != nil {
		return err
	}
	e.Wait()
	return nil
}

func (s *nbioServer) awake(c *nbio.Conn) {
	if s.role.idle > 0 {
		if err := c.SetReadDeadline(time.Now().Add(s.role.idle)); err != nil {
			say("deadline: %v", err)
		}
	}
}

func (s *nbioServer) dial(addr string) error {
	done := make(chan error, 1)
	err := s.engine.DialAsync("tcp", addr, func(c *nbio.Conn, err error) {
		if err == nil {
			_, err = c.Write([]byte(greeting))
			err = errors.Join(err, c.Close())
		}
		done <- err
	})
	if err != nil {
		return err
	}
	return <-done
}

func (s *nbioServer) stop(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.engine.Shutdown(ctx)
}

type nbioLink struct{ c *nbio.Conn }

func (l *nbioLink) write(p []byte) error {
	_, err := l.c.Write(p)
	return err
}

func (l *nbioLink) writev(pieces [][]byte) error {
	_, err := l.c.Writev(pieces)
	return err
}

func (l *nbioLink) close() { _ = l.c.Close() }

func (l *nbioLink) after(d time.Duration, f func()) { time.AfterFunc(d, f) }

func (l *nbioLink) writeLater(p []byte) error { return l.write(p) }
