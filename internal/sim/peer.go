package sim

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// Peer is the other end of one of the program's connections. Its calls don't block.
type Peer struct{ s *stream }

// Connect connects to a listener of the program: toProgram and toPeer are how many bytes
// can be under way in each direction. It's ECONNREFUSED if nobody listens.
func (w *World) Connect(name string, to sys.Addr, toProgram, toPeer int) (*Peer, error) {
	return w.ConnectFrom(sys.Addr{Path: "@" + name}, name, to, toProgram, toPeer)
}

// ConnectFrom is Connect from an address, which Connect makes of the name.
func (w *World) ConnectFrom(from sys.Addr, name string, to sys.Addr, toProgram, toPeer int) (*Peer, error) {
	for _, l := range w.Kernel.listeners {
		if l.addr == to && w.Kernel.files[l.fd] == any(l) {
			ours, peers := newPair(w, name, to.IsUnix(), toProgram, toPeer)
			ours.from = from
			w.Kernel.streams = append(w.Kernel.streams, ours, peers)
			l.backlog = append(l.backlog, ours)
			w.note(name, "connect", "")
			if l.reg != nil {
				l.reg.edge()
			}
			return &Peer{peers}, nil
		}
	}
	return nil, fmt.Errorf("connect: %w", unix.ECONNREFUSED)
}

// Name is what it was called when it connected.
func (p *Peer) Name() string { return p.s.name }

// Room is how many bytes Send would take.
func (p *Peer) Room() int { return p.s.room() }

// Readable reports whether Recv has something to tell.
func (p *Peer) Readable() bool { return p.s.readable() }

// Unread is the bytes that Recv has to give now.
func (p *Peer) Unread() int { return len(p.s.in) }

// Send sends a part of b, and returns its length.
func (p *Peer) Send(b []byte) (int, sys.Errno) {
	n, errno := p.s.send(b, data)
	p.s.w.note(p.s.name, "send", "%d bytes: %s", len(b), result(n, errno))
	return n, errno
}

// SendOOB sends a byte out of band.
func (p *Peer) SendOOB(b byte) sys.Errno {
	n, errno := p.s.send([]byte{b}, urgent)
	p.s.w.note(p.s.name, "send OOB", "%s", result(n, errno))
	return errno
}

// Recv receives up to len(b) bytes: 0 is the end.
func (p *Peer) Recv(b []byte) (int, sys.Errno) {
	n, errno := p.s.recv(b, false)
	p.s.w.note(p.s.name, "recv", "%s", result(n, errno))
	return n, errno
}

// RecvOOB takes the out-of-band byte, if there's one.
func (p *Peer) RecvOOB() (b byte, ok bool) {
	if !p.s.fetch {
		return 0, false
	}
	p.s.fetch = false
	return p.s.urgent, true
}

// CloseWrite ends the peer's side of the stream.
func (p *Peer) CloseWrite() {
	p.s.w.note(p.s.name, "shutdown", "")
	p.s.closeWrite()
}

// Close closes it; with unread bytes that's a reset.
func (p *Peer) Close() {
	p.s.w.note(p.s.name, "close", "")
	p.s.close()
}

// Reset resets the connection.
func (p *Peer) Reset() {
	p.s.w.note(p.s.name, "reset", "")
	p.s.lingers0 = true
	p.s.close()
}

// Fail has the network give the connection up, as both ends notice by errno.
func (p *Peer) Fail(errno sys.Errno) {
	p.s.w.note(p.s.name, "fail", "%s", unix.ErrnoName(errno))
	for _, s := range []*stream{p.s.peer, p.s} {
		if !s.dead && !s.closed {
			s.reset(errno)
			s.changed()
		}
	}
}

// Done reports whether the peer was closed, by Close or Reset.
func (p *Peer) Done() bool { return p.s.closed }

// Waiting reports whether the program hasn't accepted the connection yet.
func (p *Peer) Waiting() bool { return p.s.peer.fd < 0 && !p.s.peer.closed }

// Accepted is when the program has accepted the connection, −1 if it hasn't, and whether it
// has a descriptor for it still.
func (p *Peer) Accepted() (at time.Duration, open bool) {
	return p.s.peer.accepted, p.s.peer.fd >= 0
}

// Level is what the program's end of a connection has before it.
type Level struct {
	Unread int  // bytes that have arrived and weren't received
	Room   int  // bytes that a send would take
	Edge   int  // the room at which a refused send is told of it
	End    bool // the peer's FIN has arrived
}

// Level of the program's end.
func (p *Peer) Level() Level {
	s := p.s.peer
	return Level{Unread: len(s.in), Room: s.room(), Edge: s.edgeAt(), End: s.fin}
}
