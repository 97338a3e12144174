//go:build linux

package echo

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/bench/internal/stats"
)

// A Churn connects, has one message echoed, and ends the connection, over and over, on a
// number of sockets at a time. The end is a reset, from an end that has received all it waits
// for: so no connection is left in TIME_WAIT, and ports don't run out.
//
// A socket is used again after its end (connect to AF_UNSPEC), in the same place of the
// epoll: to the server that's a new connection like any other, and the client, which has the
// dearer part of a handshake on loopback anyway, is spared four system calls.
//
// It belongs to one goroutine.
type Churn struct {
	// Fixed after NewChurn.
	born    time.Time
	to      unix.SockaddrInet4
	size    int
	sockets []short

	loop
	buf     []byte // scratch
	latency stats.Histogram
}

// A short is a connection with one request: got ≤ sent ≤ size.
type short struct {
	fd        int
	message   []byte
	seq       uint32
	sent, got int
	began     time.Duration
}

// NewChurn makes the sockets; nothing is connected before Run.
func NewChurn(addr netip.AddrPort, sockets, size int) (*Churn, error) {
	if sockets < 1 || size < MinSize || size > readSize {
		return nil, fmt.Errorf("echo: %d sockets with %d bytes: want at least 1 with %d to %d", sockets, size, MinSize, readSize)
	}
	if !addr.Addr().Is4() {
		return nil, fmt.Errorf("echo: %v: want an IPv4 address", addr)
	}
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	c := &Churn{
		born: time.Now(),
		loop: l,
		to:   unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())},
		size: size,
		buf:  make([]byte, readSize),
	}
	for id := range sockets {
		fd, err := c.socket(id)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("echo: socket %d: %w", id, err)
		}
		c.sockets = append(c.sockets, short{fd: fd, message: make([]byte, size)})
		fill(c.sockets[id].message, uint64(id))
	}
	return c, nil
}

func (c *Churn) socket(id int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(id)}
	err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err == nil {
		err = unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Close ends everything.
func (c *Churn) Close() {
	for i := range c.sockets {
		_ = unix.Close(c.sockets[i].fd)
	}
	c.sockets = nil
	_ = unix.Close(c.epoll)
}

// Latency is the time from connect to full reply; see Client.Latency.
func (c *Churn) Latency() *stats.Histogram { return &c.latency }

// Run connects, echoes and ends for as long as more says so, then waits for the last replies.
// Progress counts connections. It never sleeps, like Client.Run.
func (c *Churn) Run(ctx context.Context, more func(Progress) bool) error {
	c.sending = true
	c.progress = Progress{Now: time.Now()}
	for id := range c.sockets {
		if err := c.connect(id); err != nil {
			return err
		}
	}
	return c.run(ctx, 0, more, func(ev *unix.EpollEvent) error { return c.serve(int(ev.Fd)) })
}

// connect starts a connection. On loopback it's there at once, and the request with it.
func (c *Churn) connect(id int) error {
	k := &c.sockets[id]
	advance(k.message)
	k.seq++
	k.sent, k.got, k.began = 0, 0, time.Since(c.born)
	if err := unix.Connect(k.fd, &c.to); err != nil && err != unix.EINPROGRESS {
		return c.failed(id, "connect", err)
	}
	c.waiting++
	return c.flush(id)
}

func (c *Churn) flush(id int) error {
	k := &c.sockets[id]
	for k.sent < c.size {
		n, errno := send(k.fd, k.message[k.sent:])
		switch errno {
		case 0:
			k.sent += n
		case unix.EAGAIN:
			return nil
		case unix.EINTR:
		default:
			return c.failed(id, "send", errno)
		}
	}
	return nil
}

// serve takes events for hints: one can be of the connection before.
func (c *Churn) serve(id int) error {
	k := &c.sockets[id]
	if k.got == c.size {
		return nil // ended, and there's no next one
	}
	if err := c.flush(id); err != nil {
		return err
	}
	for k.got < c.size {
		n, errno := recv(k.fd, c.buf)
		switch {
		case errno == unix.EAGAIN:
			return nil
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return c.failed(id, "receive", errno)
		case n == 0:
			return c.failed(id, "receive", ErrClosed)
		case k.got+n > k.sent:
			return c.failed(id, "receive", ErrExtra)
		case !bytes.Equal(c.buf[:n], k.message[k.got:][:n]):
			return c.failed(id, "receive", ErrMismatch)
		}
		k.got += n
	}
	return c.end(id)
}

func (c *Churn) end(id int) error {
	k := &c.sockets[id]
	c.latency.Add(int64(time.Since(c.born) - k.began))
	c.progress.Echoes++
	c.waiting--
	if errno := disconnect(k.fd); errno != 0 {
		return c.failed(id, "disconnect", errno)
	}
	if !c.sending {
		return nil
	}
	return c.connect(id)
}

func (c *Churn) failed(id int, what string, cause error) error {
	k := &c.sockets[id]
	return fmt.Errorf("echo: socket %d, connection %d (%d of %d bytes sent, %d received): %s: %w",
		id, k.seq, k.sent, c.size, k.got, what, cause)
}
