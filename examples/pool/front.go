package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/server"
)

const (
	headerSize = 4
	maxMessage = 64 << 10
)

// front is what the server calls, about clients and about links, which are the pool's
// connections to the backend. A link has itself in its slot, a client has nothing there.
type front struct {
	server.BaseCallback
	log     *slog.Logger
	srv     *server.Server
	alloc   *buffers.Allocator
	framing *framing.Length
	writer  *framing.Writer
	readers conn.Slot[framing.Reader]
	links   conn.Slot[link]
	pool    *pool
}

// OnStartAcceptingConnections tells the addresses, and begins to connect: now the server
// runs.
func (f *front) OnStartAcceptingConnections() {
	for _, bound := range f.srv.Addrs() {
		f.log.Info("listening", "address", bound[0].String())
	}
	f.pool.start()
}

// OnPreOutgoingConnect keeps the link with its connection.
func (f *front) OnPreOutgoingConnect(d *conn.UserData, _ conn.Addr, userData any) {
	f.links.Set(d, userData.(*link))
}

// OnConnectionEstablished begins to read: of a client one request, of the backend whatever
// comes.
func (f *front) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	f.readers.Set(c, framing.NewReader(f.framing, f.alloc))
	if l := f.links.Get(c); l != nil {
		l.open(c, f.writer)
		f.pool.add(l)
		c.Read()
		return
	}
	c.SetReadGate(c) // responses are written by the links' loops, and count, too
	_ = c.ReadFull(headerSize)
}

// OnReadCompleted is the way of a request, or of responses.
func (f *front) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	if l := f.links.Get(c); l != nil {
		f.readResponses(c, l, b)
	} else {
		f.readRequest(c, b)
	}
}

// readRequest forwards a request. The next is read when this one is answered: so a client's
// responses come in order, whatever links they come over, and no queue has more entries than
// there are clients.
func (f *front) readRequest(c *conn.Stream, b *buffers.Buffer) {
	reader, forwarded := f.readers.Get(c), false
	err := reader.Feed(b, func(request *buffers.Buffer) error {
		forwarded = true
		f.forward(c, request)
		return nil
	})
	switch {
	case err != nil:
		c.Abort(err)
	case !forwarded:
		_ = c.ReadFull(reader.Need())
	}
}

// forward gives a request to a link, or an error to the client. The reference keeps the
// client's connection while nothing is pending on it, until the answer.
func (f *front) forward(client *conn.Stream, request *buffers.Buffer) {
	client.AddRef()
	l := f.pool.next()
	if l == nil {
		f.answer(client, []byte("ERROR no backend"))
	} else if err := l.ask(client, request); err != nil {
		f.answer(client, fmt.Appendf(nil, "ERROR %v", err))
	}
}

// answer gives a client its response, from any goroutine, and reads on. If its connection
// has ended meanwhile, these do nothing.
func (f *front) answer(client *conn.Stream, response []byte) {
	_ = f.writer.Send(client, response)
	_ = client.ReadFull(headerSize)
	client.Release()
}

// readResponses passes responses on, in the order in which requests were sent.
func (f *front) readResponses(c *conn.Stream, l *link, b *buffers.Buffer) {
	err := f.readers.Get(c).Feed(b, func(response *buffers.Buffer) error {
		client := l.shift()
		if client == nil {
			return errors.New("a response that nobody has asked for")
		}
		f.answer(client, response.Bytes())
		return nil
	})
	if err != nil {
		c.Abort(err)
		return
	}
	c.Read()
}

// OnConnectionClientClose: a client may well have ended its side and wait for a response. A
// backend that has won't respond any more.
func (f *front) OnConnectionClientClose(c *conn.Stream) {
	if f.links.Get(c) != nil {
		_ = c.Shutdown()
	}
}

// OnConnectionClosure of a link answers those who wait: their requests may or may not have
// been done.
func (f *front) OnConnectionClosure(c *conn.Stream, r conn.Reason) {
	_ = f.readers.Get(c).Close()
	l := f.links.Get(c)
	if l == nil {
		return
	}
	f.pool.remove(l)
	for _, client := range l.end() {
		f.answer(client, fmt.Appendf(nil, "ERROR the connection to the backend has ended: %v", r))
	}
}
