package sim

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// stream is one end of a connection: the program's, which has a descriptor, or the
// peer's.
type stream struct {
	w    *World
	name string
	ours bool
	unix bool
	from sys.Addr // the peer's, as the program sees it
	fd   int      // −1: not accepted yet, or closed
	peer *stream
	reg  *registration

	accepted   time.Duration // when the program has accepted it; −1: it hasn't
	connecting bool          // nobody has accepted it yet
	called     bool          // connect was called

	// What has arrived.
	in       []byte
	mark     int // where the out-of-band byte was, in in; −1: there's none ahead
	urgent   byte
	fetch    bool // urgent is there to be fetched
	fin      bool // the other end's, behind in
	err      sys.Errno
	dead     bool // reset
	closed   bool
	lingers0 bool

	// What has been sent.
	flight  []*segment
	window  int // bytes under way and unread at the other end, at most
	refused bool
	finSent bool
	total   int // bytes that this end has sent

	signal bool // a signal is pending for whoever receives at the mark
}

type segmentKind uint8

const (
	data segmentKind = iota
	urgent
	fin
	rst
)

// segment is something under way to the other end.
type segment struct {
	from *stream
	kind segmentKind
	p    []byte
}

func newPair(w *World, name string, unix bool, toProgram, toPeer int) (ours, peers *stream) {
	ours = &stream{w: w, name: name, ours: true, unix: unix, fd: -1, mark: -1, window: toPeer}
	peers = &stream{w: w, name: name, unix: unix, fd: -1, mark: -1, window: toProgram}
	ours.peer, peers.peer = peers, ours
	ours.from, ours.accepted = sys.Addr{Path: "@" + name}, -1
	return ours, peers
}

func (s *stream) label() string {
	if s.ours {
		return fmt.Sprintf("%s fd %d", s.name, s.fd)
	}
	return s.name
}

// room is what a send could take now.
func (s *stream) room() int {
	n := s.window - len(s.peer.in)
	for _, f := range s.flight {
		n -= len(f.p)
	}
	return max(n, 0)
}

// edgeAt is the room at which a send that was refused is told of it.
func (s *stream) edgeAt() int { return (s.window + 2) / 3 }

// freed makes an edge if a send was refused and there's room again.
func (s *stream) freed() {
	if s.refused && (s.room() >= s.edgeAt() || s.peer.closed) {
		s.refused = false
		s.changed()
	}
}

func (s *stream) launch(kind segmentKind, p []byte) {
	s.flight = append(s.flight, &segment{from: s, kind: kind, p: p})
}

// readable is what poll would say.
func (s *stream) readable() bool { return len(s.in) > 0 || s.fin || s.dead || s.err != 0 }

// events is what epoll would report now.
func (s *stream) events() (ev reactor.Events) {
	if s.connecting {
		if !s.called {
			ev = reactor.Out | reactor.Hup // as epoll has it
		}
		return ev
	}
	if s.readable() {
		ev |= reactor.In
	}
	if s.dead || s.finSent || s.room() > 0 {
		ev |= reactor.Out
	}
	if s.fetch {
		ev |= reactor.Pri
	}
	if s.fin || s.dead {
		ev |= reactor.RdHup
	}
	if s.dead || s.fin && s.finSent {
		ev |= reactor.Hup
	}
	if s.err != 0 {
		ev |= reactor.Err
	}
	return ev
}

// changed makes an edge.
func (s *stream) changed() {
	if s.reg != nil {
		s.reg.edge()
	}
}

// underWay is what may arrive next: the first segment of each direction.
func (k *Kernel) underWay() (first []*segment) {
	for _, s := range k.streams {
		if len(s.flight) > 0 {
			first = append(first, s.flight[0])
		}
	}
	return first
}

// arrive has (a part of) a segment arrive.
func (f *segment) arrive() {
	s, to := f.from, f.from.peer
	w := s.w
	whole := true
	if f.kind == data && len(f.p) > 1 && w.IntN(4) == 0 {
		whole = false
	}
	got := f.p
	if whole {
		s.flight = s.flight[1:]
	} else {
		got = f.p[:1+w.IntN(len(f.p)-1)]
		f.p = f.p[len(got):]
	}
	who := "net"
	if to.closed || to.dead {
		w.note(who, "lost", "%s: %d bytes for an end that's closed", to.label(), len(got))
		if to.closed && !to.dead && f.kind <= urgent {
			to.dead = true
			to.flight = nil // what was sent before is lost with it, in the worst case
			to.launch(rst, nil)
		}
		return
	}
	switch f.kind {
	case data:
		w.note(who, "arrive", "%s: %d bytes", to.label(), len(got))
		to.in = append(to.in, got...)
	case urgent:
		w.note(who, "arrive", "%s: an out-of-band byte", to.label())
		to.announce(got[0])
		s.freed() // it takes no room
	case fin:
		w.note(who, "arrive", "%s: FIN", to.label())
		to.fin = true
	case rst:
		w.note(who, "arrive", "%s: RST", to.label())
		to.reset(unix.ECONNRESET)
	}
	to.changed()
}

// announce has the out-of-band byte arrive. One that nobody fetched before becomes a
// byte of the stream, where it was.
func (s *stream) announce(b byte) {
	if s.fetch && s.mark >= 0 {
		s.in = slices.Insert(s.in, s.mark, s.urgent)
	}
	s.urgent, s.fetch, s.mark = b, true, len(s.in)
	s.signal = !s.unix && s.w.IntN(2) == 0
}

// reset ends the stream at once. What has arrived can still be read.
func (s *stream) reset(errno sys.Errno) {
	s.dead, s.err = true, errno
	s.flight = nil
}

// takeErr is the socket's error, which asking clears.
func (s *stream) takeErr() sys.Errno {
	e := s.err
	s.err = 0
	return e
}

// recv is recv(2) without blocking; peek leaves the bytes.
func (s *stream) recv(p []byte, peek bool) (int, sys.Errno) {
	n := min(len(p), len(s.in))
	switch {
	case n == 0 && s.err != 0:
		return 0, s.takeErr()
	case n == 0 && (s.fin || s.dead):
		return 0, 0
	case n == 0:
		return 0, unix.EAGAIN
	}
	if s.mark == 0 {
		if s.signal {
			s.signal = false
			return 0, unix.EAGAIN
		}
		if !peek {
			s.mark, s.fetch = -1, false // passed
		}
	} else if s.mark > 0 {
		n = min(n, s.mark)
	}
	if s.unix && n > 1 && s.w.Chance(s.w.Faults.Short) {
		n = 1 + s.w.IntN(n-1) // a read ends where a sender's credentials change
	}
	copy(p, s.in[:n])
	if peek {
		return n, 0
	}
	s.in = s.in[n:]
	if s.mark > 0 {
		s.mark -= n
	}
	s.peer.freed()
	return n, 0
}

// send is send(2) without blocking.
func (s *stream) send(p []byte, kind segmentKind) (int, sys.Errno) {
	w := s.w
	switch {
	case s.err != 0:
		return 0, s.takeErr()
	case s.dead || s.finSent:
		return 0, unix.EPIPE
	}
	n := min(len(p), s.room())
	if s.ours && n > 0 {
		switch {
		case w.Chance(w.Faults.Memory):
			return 0, []sys.Errno{unix.ENOBUFS, unix.ENOMEM}[w.IntN(2)]
		case w.Chance(w.Faults.Again):
			w.Add(&debt{s})
			return 0, unix.EAGAIN
		case n > 1 && w.Chance(w.Faults.Short):
			n = 1 + w.IntN(n-1)
		}
	}
	if n < len(p) {
		s.refused = true
	}
	if n == 0 {
		return 0, unix.EAGAIN
	}
	s.total += n
	sent := slices.Clone(p[:n])
	if kind == urgent && n == len(p) {
		if n > 1 {
			s.launch(data, sent[:n-1])
		}
		s.launch(urgent, sent[n-1:])
	} else {
		s.launch(data, sent)
	}
	return n, 0
}

func (s *stream) closeWrite() {
	if !s.finSent && !s.dead {
		s.finSent = true
		s.launch(fin, nil)
		s.changed() // EPOLLHUP, if the other end was first
	}
}

// close is close(2): with unread bytes, or SO_LINGER at 0, it resets.
func (s *stream) close() {
	if s.closed {
		return
	}
	s.closed = true
	switch {
	case s.dead, s.connecting:
	case s.lingers0 || len(s.in) > 0:
		s.dead = true
		s.flight = nil
		s.launch(rst, nil)
	case !s.finSent:
		s.finSent = true
		s.launch(fin, nil)
	}
	s.in, s.mark = nil, -1
	s.peer.freed()
}
