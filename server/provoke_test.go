package server_test

import (
	"io"
	"net"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// provocation is how to have a connection get a certain callback.
type provocation struct {
	callback string
	base     hooks                                 // what the server does beside what a test adds
	client   func(f *fixture, p *peer, j *journal) // what the client does, whatever the server makes of it
	reason   conn.Reason                           // how the connection ends then, by itself
	after    bool                                  // the callback comes after the descriptor was closed
}

// tight bounds what the kernel takes for sending.
func tight(c *server.Config) { c.Listeners[0].Options.SendBuffer = 64 << 10 }

// sending makes hooks that queue more than the client takes, if the kernel is tight.
func sending() hooks {
	b := make([]byte, 300<<10)
	return hooks{established: func(c *conn.Stream) {
		c.Read()
		_ = c.Send(b)
		_ = c.Send(b[:1000])
	}}
}

// hangUp ends a connection whose output is blocked so that the server's side is reset.
func hangUp(f *fixture, p *peer, j *journal) {
	f.rec.seen(f.t, j, cbBlocked, 1)
	_, _ = p.Read(make([]byte, 1))
	if c, ok := p.Conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	p.Close()
}

// drained takes everything.
func drained(f *fixture, p *peer, j *journal) {
	f.rec.seen(f.t, j, cbBlocked, 1)
	_ = p.Conn.(half).CloseWrite()
	_, _ = io.Copy(io.Discard, p)
}

// cut sends three bytes and ends.
func cut(_ *fixture, p *peer, _ *journal) {
	_, _ = p.Write([]byte("few"))
	_ = p.Conn.(half).CloseWrite()
	_, _ = io.Copy(io.Discard, p)
}

func urgent(f *fixture, p *peer, _ *journal) {
	p.sendOOB('!')
	cut(f, p, nil)
}

var readingTen = hooks{established: func(c *conn.Stream) { _ = c.ReadFull(10) }}

// provocations has all callbacks of a connection but OnSocketCreated, which knows none.
var provocations = []provocation{
	{cbEstablished, discarding(), cut, conn.ReasonPeerClosed, false},
	{cbRead, echoing(), cut, conn.ReasonPeerClosed, false},
	{cbOOB, discarding(), urgent, conn.ReasonPeerClosed, false},
	{cbClientClose, echoing(), cut, conn.ReasonPeerClosed, false},
	{cbReadMayLive, readingTen, cut, conn.ReasonPeerClosed, false},
	{cbReadError, readingTen, cut, conn.ReasonPeerClosed, false},
	{cbWritten, echoing(), cut, conn.ReasonPeerClosed, false},
	{cbBlocked, sending(), hangUp, conn.ReasonReset, false},
	{cbReady, sending(), drained, conn.ReasonPeerClosed, false},
	{cbWriteMayLive, sending(), hangUp, conn.ReasonReset, true},
	{cbWriteError, sending(), hangUp, conn.ReasonReset, true},
	{cbReset, sending(), hangUp, conn.ReasonReset, true},
	{cbClosure, echoing(), cut, conn.ReasonPeerClosed, true},
	{cbClosed, echoing(), cut, conn.ReasonPeerClosed, true},
	{cbReleased, echoing(), cut, conn.ReasonPeerClosed, true},
}

// add has a hook call f, too; c is nil in OnSocketReleased.
func (h hooks) add(callback string, f func(c *conn.Stream)) hooks {
	one := func(old func(*conn.Stream)) func(*conn.Stream) {
		return func(c *conn.Stream) {
			if old != nil {
				old(c)
			}
			f(c)
		}
	}
	data := func(old func(*conn.Stream, *buffers.Buffer)) func(*conn.Stream, *buffers.Buffer) {
		return func(c *conn.Stream, b *buffers.Buffer) {
			if old != nil {
				old(c, b)
			}
			f(c)
		}
	}
	asked := func(c *conn.Stream, _ *buffers.Buffer, _ error) bool { f(c); return false }
	failed := func(c *conn.Stream, _ *buffers.Buffer, _ error) { f(c) }
	switch callback {
	case cbEstablished:
		h.established = one(h.established)
	case cbRead:
		h.read = data(h.read)
	case cbOOB:
		h.oob = data(h.oob)
	case cbClientClose:
		h.clientClose = one(h.clientClose)
	case cbReadMayLive:
		h.readMayLive = asked
	case cbReadError:
		h.readError = failed
	case cbWriteMayLive:
		h.writeMayLive = asked
	case cbWriteError:
		h.writeError = failed
	case cbWritten:
		h.written = data(h.written)
	case cbBlocked:
		h.blocked = one(h.blocked)
	case cbReady:
		h.ready = one(h.ready)
	case cbReset:
		h.reset = func(c *conn.Stream, _ error) { f(c) }
	case cbClosure:
		h.closure = func(c *conn.Stream, _ conn.Reason) { f(c) }
	case cbClosed:
		h.closed = one(h.closed)
	case cbReleased:
		h.released = func(*conn.UserData) { f(nil) }
	default:
		panic("no callback " + callback)
	}
	return h
}

// aside has connections of the listener "side" echoed, whatever h does with the others.
func (h hooks) aside() hooks {
	main, side := h, echoing()
	pick := func(c *conn.Stream) hooks {
		if c.Origin() == "side" {
			return side
		}
		return main
	}
	h.established = func(c *conn.Stream) {
		if f := pick(c).established; f != nil {
			f(c)
		}
	}
	h.read = func(c *conn.Stream, b *buffers.Buffer) {
		if f := pick(c).read; f != nil {
			f(c, b)
		}
	}
	h.written = func(c *conn.Stream, b *buffers.Buffer) {
		if f := pick(c).written; f != nil {
			f(c, b)
		}
	}
	return h
}

// side adds the listener "side".
func side(c *server.Config) {
	c.Listeners = append(c.Listeners, server.Listener{Name: "side", Network: "tcp", Address: "127.0.0.1:0"})
}

// bystander is a connection to the listener "side", which is echoed.
func (f *fixture) bystander() *peer {
	f.t.Helper()
	return dial(f.t, "tcp", f.srv.Addrs()["side"][0].String())
}

// run provokes the callback on a new connection and waits for the connection's end.
func (pr provocation) run(t *testing.T, f *fixture) journal {
	t.Helper()
	f.rec.mu.Lock()
	n := len(f.rec.accepted)
	f.rec.mu.Unlock()
	p, err := tryDial(t, f.network, f.addr, smallReceive)
	j := f.rec.next(t, n)
	if err == nil { // else it was reset at once
		defer p.Close()
		pr.client(f, p, j)
	}
	return f.rec.released(t, j)
}
