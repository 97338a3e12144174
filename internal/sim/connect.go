package sim

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// Host is what the program finds at an address.
type Host struct {
	// Accept takes the other end of a connection over; nil refuses it.
	Accept func(*Peer)
	// Silent hosts never answer.
	Silent bool
	// ToProgram and ToPeer are how many bytes can be under way.
	ToProgram, ToPeer int
}

// Host says what is at an address; nothing means that connections are refused.
func (w *World) Host(at sys.Addr, h Host) { w.Kernel.hosts[at] = h }

// Socket implements sys.Kernel.
func (k *Kernel) Socket(to sys.Addr, _ sys.Options) (int, error) {
	k.w.Yield()
	if k.w.enter(); k.w.Chance(10 * k.w.Faults.Call) {
		return -1, fmt.Errorf("socket: %w", unix.ENOBUFS)
	}
	k.made++
	ours, peers := newPair(k.w, fmt.Sprintf("out%d", k.made), to.IsUnix(), 1, 1)
	fd, errno := k.open(ours)
	if errno != 0 {
		return -1, fmt.Errorf("socket: %w", errno)
	}
	ours.fd, ours.connecting, peers.connecting = fd, true, true
	return fd, nil
}

// Connect implements sys.Kernel.
func (k *Kernel) Connect(fd int, to sys.Addr) sys.Errno {
	k.w.Yield()
	s := k.stream(fd, "connect")
	h, found := k.hosts[to]
	errno := unix.EINPROGRESS
	switch {
	case !s.connecting || s.called:
		k.w.Failf("connect of %s, which isn't new", s.label())
		errno = unix.EISCONN
	case s.unix && k.w.Chance(k.w.Faults.Again):
		errno = unix.EAGAIN // the queue is full; no event tells when it isn't
	case !found && k.w.IntN(2) == 0:
		errno = unix.ECONNREFUSED
		if k.w.IntN(3) == 0 {
			errno = unix.ENETUNREACH
		}
	default:
		s.called = true
		k.w.Add(&handshake{s: s, host: h, refused: !found || h.Accept == nil})
	}
	k.w.call("connect", "%s to %v: %s", s.label(), to, result(0, errno))
	return errno
}

// handshake is a connect that's under way.
type handshake struct {
	s       *stream
	host    Host
	refused bool
}

// Ready implements Actor.
func (h *handshake) Ready() bool { return !h.host.Silent }

// Step implements Actor: the answer comes.
func (h *handshake) Step() {
	w, s := h.s.w, h.s
	w.actors = slices.DeleteFunc(w.actors, func(a Actor) bool { return a == Actor(h) })
	switch {
	case s.closed:
	case h.refused:
		w.note("net", "refuse", "%s", s.label())
		s.connecting = false
		s.reset(unix.ECONNREFUSED)
		s.changed()
	default:
		w.note("net", "accept", "%s", s.label())
		s.connecting, s.peer.connecting = false, false
		s.window, s.peer.window = h.host.ToPeer, h.host.ToProgram
		w.Kernel.streams = append(w.Kernel.streams, s, s.peer)
		h.host.Accept(&Peer{s.peer})
		s.changed()
	}
}
