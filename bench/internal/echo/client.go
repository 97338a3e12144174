//go:build linux

package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/bench/internal/stats"
)

// The ways in which a server can be wrong, found by errors.Is.
var (
	ErrMismatch = errors.New("reply differs from the request")
	ErrExtra    = errors.New("reply has more bytes than were sent")
	ErrClosed   = errors.New("server closed the connection")
	ErrStalled  = errors.New("no reply")
)

const (
	maxEvents = 256
	// readSize is how much is asked for at once: more than any kernel has for a
	// small message, so that a short read tells that the socket is empty.
	readSize = 256 << 10
	// dialBatch bounds the connections under way, below every listen backlog.
	dialBatch  = 256
	pollTime   = 100 * time.Millisecond
	stallLimit = 10 * time.Second
	// timed is how many connections are timed, at least, if there are as many: one in
	// eight of a larger number. Reading the clock for all would cost the client a few
	// per cent.
	timed     = 64
	timedStep = 8
)

// Progress is how far a run has come.
type Progress struct {
	Now    time.Time
	Echoes uint64        // full replies
	Idle   time.Duration // time in which no connection had anything to read
}

// A Client is a number of connections to one echo server.
type Client struct {
	// Immutable after Dial.
	born  time.Time
	size  int
	conns []conn

	// The connections' current requests, one after the other. Replies come in
	// about the order of the requests, so this and conns are walked in order,
	// which keeps cache misses down.
	requests []byte

	loop
	buf []byte // scratch

	// The present run.
	publishing bool // all connections expect the message of the first
	timedEvery int  // the connections whose number it divides are timed
	latency    stats.Histogram
}

// A conn has one request in flight, or none: got ≤ sent ≤ size, and all are
// equal when the reply is complete. It is kept small, see Client.requests.
type conn struct {
	fd    int32
	seq   uint32 // number of the current request
	sent  int32
	got   int32
	began time.Duration // of a timed request: since Client.born
}

// Dial connects conns times and has each connection echo one message of size
// bytes (MinSize to MaxSize), so that all have been accepted when it returns.
func Dial(ctx context.Context, addr netip.AddrPort, conns, size int) (*Client, error) {
	if conns < 1 || size < MinSize || size > MaxSize {
		return nil, fmt.Errorf("echo: %d connections with %d bytes: want at least 1 with %d to %d",
			conns, size, MinSize, MaxSize)
	}
	if !addr.Addr().Is4() {
		return nil, fmt.Errorf("echo: %v: want an IPv4 address", addr)
	}
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	c := &Client{
		born:     time.Now(),
		loop:     l,
		size:     size,
		conns:    make([]conn, 0, conns),
		requests: make([]byte, conns*size),
		buf:      make([]byte, readSize),
	}
	for len(c.conns) < conns {
		first := len(c.conns)
		for len(c.conns) < min(first+dialBatch, conns) {
			if err := c.add(addr); err != nil {
				c.Close()
				return nil, fmt.Errorf("echo: connection %d: %w", len(c.conns), err)
			}
		}
		if err := c.exchange(ctx, first, 1, nil); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Latency is the time from request to full reply, of those connections that are timed, since
// Dial or the last Reset of it. It may be looked at, and reset, while more is running.
func (c *Client) Latency() *stats.Histogram { return &c.latency }

// Close resets all connections.
func (c *Client) Close() {
	for i := range c.conns {
		_ = unix.Close(int(c.conns[i].fd))
	}
	c.conns = nil
	_ = unix.Close(c.epoll)
}

// Once has every connection echo one message.
func (c *Client) Once(ctx context.Context) error {
	return c.exchange(ctx, 0, 1, nil)
}

// Run keeps one request in flight on every connection for as long as more says
// so, then waits for the last replies. more is called after each look for events.
//
// Meanwhile the client never sleeps. A sleeping client would have to be woken,
// by the server and at its expense, and the slower the server, the more often.
func (c *Client) Run(ctx context.Context, more func(Progress) bool) error {
	return c.exchange(ctx, 0, 1, more)
}

// RunSome is Run with one of step connections, evenly spread; the others stay silent.
func (c *Client) RunSome(ctx context.Context, step int, more func(Progress) bool) error {
	return c.exchange(ctx, 0, step, more)
}

func (c *Client) add(addr netip.AddrPort) error {
	id := len(c.conns)
	fd, err := dial(addr, source(id))
	if err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(id)}
	if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	c.conns = append(c.conns, conn{fd: int32(fd), sent: int32(c.size), got: int32(c.size)})
	fill(c.message(id), uint64(id))
	return nil
}

func (c *Client) message(id int) []byte {
	if c.publishing {
		id = 0
	}
	return c.requests[id*c.size : (id+1)*c.size]
}

// exchange sends one request on every step'th connection from first on, then serves
// events until nothing is outstanding. While more (if any) says so, replies are
// followed by requests.
func (c *Client) exchange(ctx context.Context, first, step int, more func(Progress) bool) error {
	timeout := int(pollTime / time.Millisecond)
	if more != nil {
		timeout = 0
	}
	c.sending = more != nil
	c.progress = Progress{Now: time.Now()}
	c.timedEvery = step
	if len(c.conns)/step > timed {
		c.timedEvery *= timedStep
	}
	for id := first; id < len(c.conns); id += step {
		if err := c.request(id); err != nil {
			return err
		}
	}
	return c.await(ctx, first, timeout, more)
}

// await serves events until nothing is outstanding.
func (c *Client) await(ctx context.Context, first, timeout int, more func(Progress) bool) error {
	err := c.run(ctx, timeout, more, func(ev *unix.EpollEvent) error {
		return c.serve(int(ev.Fd), ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	})
	if err != nil {
		return err
	}
	for id := first; id < len(c.conns); id++ {
		if err := c.quiet(id); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) request(id int) error {
	advance(c.message(id))
	k := &c.conns[id]
	k.seq++
	k.sent, k.got = 0, 0
	c.waiting++
	if id%c.timedEvery == 0 {
		k.began = time.Since(c.born)
	}
	return c.flush(id)
}

func (c *Client) flush(id int) error {
	k := &c.conns[id]
	for int(k.sent) < c.size {
		n, errno := send(int(k.fd), c.message(id)[k.sent:])
		switch errno {
		case 0:
			k.sent += int32(n)
		case unix.EAGAIN:
			return nil
		case unix.EINTR:
		default:
			return c.failed(id, "send", errno)
		}
	}
	return nil
}

// serve does what an event may ask for. A short read ends it, as the reply to a
// request sent after that read brings an edge of its own; but the end of a stream
// (hup) can share the edge of the bytes before it.
func (c *Client) serve(id int, hup bool) error {
	if err := c.flush(id); err != nil {
		return err
	}
	k := &c.conns[id]
	for {
		n, errno := recv(int(k.fd), c.buf)
		switch {
		case errno == unix.EAGAIN:
			return nil
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return c.failed(id, "receive", errno)
		case n == 0:
			return c.failed(id, "receive", ErrClosed)
		}
		if err := c.check(id, c.buf[:n]); err != nil {
			return err
		}
		if int(k.got) == c.size {
			if err := c.answered(id); err != nil {
				return err
			}
		}
		if n < len(c.buf) && !hup {
			return nil
		}
	}
}

// answered is for the end of a reply: the next request follows, if any.
func (c *Client) answered(id int) error {
	c.progress.Echoes++
	c.waiting--
	if id%c.timedEvery == 0 {
		c.latency.Add(int64(time.Since(c.born) - c.conns[id].began))
	}
	switch {
	case c.publishing && c.waiting == 0 && c.sending:
		return c.publish()
	case c.publishing || !c.sending:
		return nil
	}
	return c.request(id)
}

// quiet finds bytes that nobody asked for, and a connection that has ended.
func (c *Client) quiet(id int) error {
	for {
		n, errno := recv(int(c.conns[id].fd), c.buf)
		switch {
		case errno == unix.EAGAIN:
			return nil
		case errno == unix.EINTR:
		case errno != 0:
			return c.failed(id, "receive", errno)
		case n == 0:
			return c.failed(id, "receive", ErrClosed)
		default:
			return c.failed(id, "receive", ErrExtra)
		}
	}
}

// check compares the next bytes of a reply.
func (c *Client) check(id int, p []byte) error {
	k := &c.conns[id]
	if int(k.got)+len(p) > int(k.sent) {
		return c.failed(id, fmt.Sprintf("receive %d bytes", len(p)), ErrExtra)
	}
	want := c.message(id)[k.got:][:len(p)]
	if !bytes.Equal(p, want) {
		i := 0
		for p[i] == want[i] {
			i++
		}
		return c.failed(id, fmt.Sprintf("byte %d is %#02x, sent was %#02x", int(k.got)+i, p[i], want[i]), ErrMismatch)
	}
	k.got += int32(len(p))
	return nil
}

func (c *Client) failed(id int, what string, cause error) error {
	k := c.conns[id]
	return fmt.Errorf("echo: connection %d, request %d (%d of %d bytes sent, %d received): %s: %w",
		id, k.seq, k.sent, c.size, k.got, what, cause)
}
