package server_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// The protocol of the sessions here. The client says "SLUICE" and a key; the server answers
// with an ACK. Then each side sends records: a length of two bytes, and as many bytes, each
// combined with the key. A record of length 0 is the side's end.
const (
	helloSize = 7
	ack       = '\x06'
	nak       = "\x15"
	maxRecord = 4096
)

var errHello = errors.New("that's no hello")

// xorSessions is a SessionFactory of these.
type xorSessions struct {
	refuse  error // NewSession fails
	start   error // Start fails
	oneEach bool  // Open yields one record a call
	slowly  bool  // the handshake is over when a goroutine says so
	panics  string

	mu  sync.Mutex
	all []*xorSession
}

func (x *xorSessions) NewSession(role conn.Role, name string) (conn.Session, error) {
	if x.refuse != nil {
		return nil, x.refuse
	}
	if role != conn.Server || name != "" {
		return nil, fmt.Errorf("a session for role %v and name %q", role, name)
	}
	s := &xorSession{config: x, release: make(chan struct{})}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, s)
	return s, nil
}

func (x *xorSessions) session(i int) *xorSession {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all[i]
}

type xorSession struct {
	config *xorSessions
	host   conn.SessionHost

	key     byte
	greeted bool
	more    bool // a whole record is left that wasn't yielded

	release chan struct{} // closed to let a slow handshake go on
	allowed atomic.Bool
	sealed  atomic.Int64 // bytes of plaintext
	aborted atomic.Int64
	ended   atomic.Int64
}

func (s *xorSession) Start(h conn.SessionHost) error {
	s.host = h
	if s.config.slowly {
		h.Spawn(func() {
			<-s.release
			s.allowed.Store(true)
			h.Wake()
		})
	}
	return s.config.start
}

// peek copies the first n bytes of a chain; nil if there are fewer.
func peek(c *buffers.Chain, n int) []byte {
	if c.Len() < n {
		return nil
	}
	p := make([]byte, 0, n)
	for _, v := range c.Vectors(make([][]byte, 0, 64), n) {
		p = append(p, v...)
	}
	return p[:n:n]
}

func (s *xorSession) xor(p []byte) {
	for i := range p {
		p[i] ^= s.key
	}
}

func (s *xorSession) misbehave(where string) {
	if s.config.panics == where {
		panic("on purpose, in " + where)
	}
}

func (s *xorSession) Open(dst, src, reply *buffers.Chain, fin bool) error {
	s.misbehave("Open")
	a := s.host.Allocator()
	if !s.greeted {
		hello := peek(src, helloSize)
		if hello == nil {
			if fin {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if string(hello[:6]) != "SLUICE" {
			reply.AppendCopy(nil, a, []byte(nak), false, false)
			return errHello
		}
		if s.config.slowly && !s.allowed.Load() {
			return nil
		}
		s.key, s.greeted = hello[6], true
		src.Consume(nil, helloSize)
		reply.AppendCopy(nil, a, []byte{ack}, false, false)
	}
	for {
		s.more = false
		head := peek(src, 2)
		if head == nil {
			break
		}
		n := int(binary.BigEndian.Uint16(head))
		record := peek(src, 2+n)
		if record == nil {
			break
		}
		src.Consume(nil, 2+n)
		if n == 0 {
			return io.EOF
		}
		s.xor(record[2:])
		dst.AppendCopy(nil, a, record[2:], false, false)
		if s.config.oneEach {
			if head := peek(src, 2); head != nil && src.Len() >= 2+int(binary.BigEndian.Uint16(head)) {
				s.more = true
				return nil
			}
		}
	}
	if fin {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s *xorSession) Seal(dst, src *buffers.Chain, limit int) error {
	s.misbehave("Seal")
	a := s.host.Allocator()
	for dst.Len() < limit && src.Len() > 0 {
		n := min(src.Len(), maxRecord)
		record := append(binary.BigEndian.AppendUint16(nil, uint16(n)), peek(src, n)...)
		s.xor(record[2:])
		src.Consume(nil, n)
		dst.AppendCopy(nil, a, record, false, false)
		s.sealed.Add(int64(n))
	}
	return nil
}

func (s *xorSession) CloseWrite(dst *buffers.Chain) error {
	s.misbehave("CloseWrite")
	s.ended.Add(1)
	dst.AppendCopy(nil, s.host.Allocator(), []byte{0, 0}, false, false)
	return nil
}

func (s *xorSession) Ready() bool    { return s.greeted }
func (s *xorSession) Buffered() bool { return s.more }

func (s *xorSession) Abort(error) {
	s.aborted.Add(1)
	s.misbehave("Abort")
}

// sessions has the main listener's connections speak the protocol.
func sessions(x *xorSessions) func(*server.Config) {
	return func(c *server.Config) { c.Listeners[0].Sessions = x }
}

// xorPeer is a client that speaks it.
type xorPeer struct {
	*peer
	key byte
}

func (f *fixture) dialSession(key byte) *xorPeer {
	f.t.Helper()
	return f.dial().greet(key)
}

// greet makes the client's part of the handshake.
func (p *peer) greet(key byte) *xorPeer {
	p.t.Helper()
	p.write(append([]byte("SLUICE"), key))
	p.expect(string(ack))
	return &xorPeer{p, key}
}

// record is the wire form of some bytes.
func (p *xorPeer) record(b []byte) []byte {
	r := append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	for i := 2; i < len(r); i++ {
		r[i] ^= p.key
	}
	return r
}

// Write sends records of at most 1,000 bytes.
func (p *xorPeer) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m := min(len(b)-n, 1000)
		if _, err := p.peer.Write(p.record(b[n : n+m])); err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// end sends the end record.
func (p *xorPeer) end() error {
	_, err := p.peer.Write([]byte{0, 0})
	return err
}

// reader opens the records that come; io.EOF stands for the end record, and nothing may
// follow it.
func (p *xorPeer) reader() io.Reader { return &recordReader{p: p} }

type recordReader struct {
	p    *xorPeer
	left []byte
}

func (r *recordReader) Read(b []byte) (int, error) {
	if len(r.left) == 0 {
		head := make([]byte, 2)
		if _, err := io.ReadFull(r.p.peer, head); err != nil {
			return 0, fmt.Errorf("no end record: %w", errors.Join(io.ErrUnexpectedEOF, err))
		}
		n := int(binary.BigEndian.Uint16(head))
		if n == 0 {
			if rest, err := io.ReadAll(r.p.peer); err != nil || len(rest) > 0 {
				return 0, fmt.Errorf("%d bytes behind the end record, %w", len(rest), err)
			}
			return 0, io.EOF
		}
		r.left = make([]byte, n)
		if _, err := io.ReadFull(r.p.peer, r.left); err != nil {
			return 0, err
		}
		for i := range r.left {
			r.left[i] ^= r.p.key
		}
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}
