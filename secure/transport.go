package secure

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/lock"
)

var (
	// errWouldBlock is temporary, which makes crypto/tls keep what it has and go on later.
	errWouldBlock error = wouldBlock{}
	// errCut is the network's end. It isn't io.EOF: that's the peer's close_notify.
	errCut = errors.New("the connection ended without close_notify")
)

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "no more input for now" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }

// recordHeader is the size of a TLS record's header, whose last two bytes are its length.
const recordHeader = 5

// transport is the network of a tls.Conn, in memory.
//
// Until handover the handshake's goroutine reads and writes it, and waits in it; after that
// the loop does, under the connection's lock, and nothing waits.
type transport struct {
	// Immutable.
	alloc         *buffers.Allocator
	cache         *buffers.Cache // of the loop, and its alone
	gate          *Gate
	wake          func() // has the loop call Open
	local, remote net.Addr

	arrived chan struct{} // signalled: look again
	ended   chan struct{} // closed by end

	slot bool // the handshake's goroutine has one of the gate's: its own

	// Guarded by mu, until handover.
	mu  lock.Mutex
	in  []byte // received, for the handshake; what's left belongs before src
	out buffers.Chain
	fin bool  // nothing follows
	err error // why it's over

	// The loop's, from handover on.
	handed bool
	src    *buffers.Chain // during Open
	dst    *buffers.Chain // during Open and Seal: where records go
	header [recordHeader]byte
	have   int // bytes of header
	body   int // bytes of the record that are still to come
}

func newTransport(alloc *buffers.Allocator, cache *buffers.Cache, gate *Gate, wake func(), local, remote net.Addr) *transport {
	return &transport{
		alloc: alloc, cache: cache, gate: gate, wake: wake, local: local, remote: remote,
		arrived: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

// Read implements net.Conn.
func (t *transport) Read(p []byte) (int, error) {
	if !t.handed {
		return t.await(p)
	}
	n := t.record(p)
	if n > 0 {
		return n, nil
	}
	if t.fin {
		return 0, errCut
	}
	return 0, errWouldBlock
}

// await is Read during the handshake.
func (t *transport) await(p []byte) (int, error) {
	t.mu.Lock()
	for len(t.in) == 0 && !t.fin && t.err == nil {
		t.mu.Unlock()
		t.wake() // for what was written before, and for more input
		t.leave()
		select {
		case <-t.arrived:
		case <-t.ended:
		}
		t.enter()
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		return 0, t.err
	case len(t.in) == 0:
		return 0, io.ErrUnexpectedEOF
	}
	return t.record(p), nil
}

// enter waits for a slot of the gate; leave gives it up. On the handshake's goroutine.
func (t *transport) enter() { t.slot = t.gate.enter(t.ended) }

func (t *transport) leave() {
	if t.slot {
		t.slot = false
		t.gate.leave()
	}
}

// feed passes input on to the handshake, as much as it can do with at a time.
func (t *transport) feed(src *buffers.Chain, fin bool) {
	for src.Len() > 0 && len(t.in) < maxRecord {
		p := src.Front()
		t.in = append(t.in, p...)
		src.Consume(nil, len(p))
	}
	t.fin = fin && src.Len() == 0
	if len(t.in) > 0 || t.fin {
		t.signal()
	}
}

func (t *transport) signal() {
	select {
	case t.arrived <- struct{}{}:
	default:
	}
}

// end makes whoever waits, and each later call, fail.
func (t *transport) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
		close(t.ended)
	}
	t.out.Release(nil)
	t.in = nil
}

// Write implements net.Conn. It never fails: who may write how much was decided before.
func (t *transport) Write(p []byte) (int, error) {
	if t.handed {
		t.dst.AppendCopy(t.cache, nil, p, false, false)
		return len(p), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return 0, t.err
	}
	t.out.AppendCopy(nil, t.alloc, p, false, false)
	return len(p), nil
}

// record gives crypto/tls what's left of the present record, and never more: what it's
// given beyond that it would keep memory for, as long as the connection lives.
func (t *transport) record(p []byte) (n int) {
	for n < len(p) {
		if t.have < recordHeader {
			got := t.take(p[n:min(len(p), n+recordHeader-t.have)])
			copy(t.header[t.have:], p[n:n+got])
			n, t.have = n+got, t.have+got
			if t.have < recordHeader {
				return n
			}
			t.body = int(t.header[3])<<8 | int(t.header[4])
			continue
		}
		got := t.take(p[n:min(len(p), n+t.body)])
		n, t.body = n+got, t.body-got
		if t.body == 0 {
			t.have = 0
			return n
		}
		if got == 0 {
			return n
		}
	}
	return n
}

// available is how much input there is, and held how much of an incomplete record crypto/tls
// has already: together they bound what the next read can yield.
func (t *transport) available() int {
	n := len(t.in)
	if t.src != nil {
		n += t.src.Len()
	}
	return n
}

func (t *transport) held() int {
	if t.have < recordHeader {
		return t.have
	}
	return recordHeader + int(t.header[3])<<8 + int(t.header[4]) - t.body
}

// take takes input from where the handshake left it, and then from the socket's.
func (t *transport) take(p []byte) int {
	if len(t.in) > 0 {
		n := copy(p, t.in)
		if t.in = t.in[n:]; len(t.in) == 0 {
			t.in = nil
		}
		return n
	}
	if t.src == nil || t.src.Len() == 0 {
		return 0
	}
	n := copy(p, t.src.Front())
	t.src.Consume(t.cache, n)
	return n
}

// Close implements net.Conn; the connection isn't the session's to close.
func (t *transport) Close() error { return nil }

// LocalAddr implements net.Conn.
func (t *transport) LocalAddr() net.Addr { return t.local }

// RemoteAddr implements net.Conn.
func (t *transport) RemoteAddr() net.Addr { return t.remote }

// SetDeadline implements net.Conn; deadlines are the connection's.
func (t *transport) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (t *transport) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (t *transport) SetWriteDeadline(time.Time) error { return nil }
