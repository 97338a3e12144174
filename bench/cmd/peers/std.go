//go:build linux

package main

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// stdServer is package net with a goroutine for each connection.
type stdServer struct {
	role *role

	mu       sync.Mutex   // also one callback at a time, as on one loop
	listener net.Listener // guarded by mu
}

// accept is how long to wait before the next try of it.
const accept = 50 * time.Millisecond

func newStd(r *role) framework { return &stdServer{role: r} }

func (s *stdServer) serve(network, addr string) error {
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			time.Sleep(accept) // as net/http does
			continue
		case err != nil:
			return err
		}
		go s.connection(&stdLink{c})
	}
}

func (s *stdServer) dial(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(greeting))
	return errors.Join(err, c.Close())
}

// stop is all that package net has: the connections are the program's business.
func (s *stdServer) stop(time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.Close()
}

func (s *stdServer) connection(l *stdLink) {
	defer func() {
		_ = l.c.Close()
		if s.role.closed != nil {
			s.role.closed(l)
		}
	}()
	if s.role.opened != nil {
		s.role.opened(l)
	}
	p := make([]byte, chunk)
	for {
		if s.role.idle > 0 {
			_ = l.c.SetReadDeadline(time.Now().Add(s.role.idle))
		}
		n, err := l.c.Read(p)
		if n > 0 {
			s.role.data(l, p[:n])
		}
		if err != nil {
			return
		}
		if s.role.once {
			select {} // it has other things to do
		}
	}
}

type stdLink struct{ c net.Conn }

func (l *stdLink) write(p []byte) error {
	_, err := l.c.Write(p)
	return err
}

func (l *stdLink) writev(pieces [][]byte) error {
	b := net.Buffers(pieces)
	_, err := b.WriteTo(l.c)
	return err
}

func (l *stdLink) close() { _ = l.c.Close() }

func (l *stdLink) after(d time.Duration, f func()) {
	time.Sleep(d)
	f()
}

func (l *stdLink) writeLater(p []byte) error { return l.write(p) }
