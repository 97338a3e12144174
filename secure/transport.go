package secure

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
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

// transport is the network of a tls.Conn, in memory: the loop's, under the connection's lock,
// and nothing waits; but while there's a handshake, its goroutine's.
type transport struct {
	hs   *handshake // until handover
	host conn.SessionHost
	peer net.Addr // a client's: it's asked for when a ticket comes, under the connection's lock

	rest   []byte         // what the handshake has left: it belongs before src
	src    *buffers.Chain // during Open
	dst    *buffers.Chain // during Open and Seal: where records go
	fin    bool           // nothing follows src
	header [recordHeader]byte
	have   uint8  // bytes of header
	body   uint16 // bytes of the record that are still to come
}

// Read implements net.Conn.
func (t *transport) Read(p []byte) (int, error) {
	for t.hs != nil {
		if err := t.hs.await(); err != nil {
			return 0, err
		}
		if n := t.record(p); n > 0 {
			return n, nil
		}
	}
	if n := t.record(p); n > 0 {
		return n, nil
	}
	if t.fin {
		return 0, errCut
	}
	return 0, errWouldBlock
}

// Write implements net.Conn. On the loop it never fails: who may write how much was decided
// before.
func (t *transport) Write(p []byte) (int, error) {
	if t.hs != nil {
		return t.hs.write(p)
	}
	t.dst.AppendCopy(t.host.Cache(), nil, p, false, false)
	return len(p), nil
}

// record gives crypto/tls what's left of the present record, and never more: what it's
// given beyond that it would keep memory for, as long as the connection lives.
func (t *transport) record(p []byte) (n int) {
	for n < len(p) {
		if t.have < recordHeader {
			got := t.take(p[n:min(len(p), n+recordHeader-int(t.have))])
			copy(t.header[t.have:], p[n:n+got])
			n, t.have = n+got, t.have+uint8(got)
			if t.have < recordHeader {
				return n
			}
			t.body = t.length()
			continue
		}
		got := t.take(p[n:min(len(p), n+int(t.body))])
		n, t.body = n+got, t.body-uint16(got)
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
	n := len(t.rest)
	if t.src != nil {
		n += t.src.Len()
	}
	return n
}

func (t *transport) held() int {
	if t.have < recordHeader {
		return int(t.have)
	}
	return recordHeader + int(t.length()-t.body)
}

// length is the present record's, of which the header is there.
func (t *transport) length() uint16 { return binary.BigEndian.Uint16(t.header[3:]) }

// take takes input: during the handshake what was fed, and then what it has left, and what the
// socket has.
func (t *transport) take(p []byte) int {
	if t.hs != nil {
		return t.hs.take(p)
	}
	if len(t.rest) > 0 {
		n := copy(p, t.rest)
		if t.rest = t.rest[n:]; len(t.rest) == 0 {
			t.rest = nil
		}
		return n
	}
	if t.src == nil || t.src.Len() == 0 {
		return 0
	}
	n := copy(p, t.src.Front())
	t.src.Consume(t.host.Cache(), n)
	return n
}

// Close implements net.Conn; the connection isn't the session's to close.
func (t *transport) Close() error { return nil }

// LocalAddr implements net.Conn.
func (t *transport) LocalAddr() net.Addr { return t.host.LocalAddr() }

// RemoteAddr implements net.Conn.
func (t *transport) RemoteAddr() net.Addr {
	if t.peer != nil {
		return t.peer
	}
	return t.host.RemoteAddr()
}

// SetDeadline implements net.Conn; deadlines are the connection's.
func (t *transport) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (t *transport) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (t *transport) SetWriteDeadline(time.Time) error { return nil }
