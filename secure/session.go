package secure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

const (
	// maxPlaintext is what fits into a record.
	maxPlaintext = 16 << 10
	// maxRecord is the largest record, with its header.
	maxRecord = recordHeader + maxPlaintext + 2048
	// handshakeRecord is the type of a record with a ClientHello.
	handshakeRecord = 22
)

// session is a connection's TLS. It implements conn.Session; but for the handshake's
// goroutine everything in it is the loop's, under the connection's lock.
type session struct {
	// Immutable.
	role   conn.Role
	config *tls.Config
	gate   *Gate

	t     transport // and in it, while there's one, the handshake
	tc    *tls.Conn // handshaking: its goroutine's
	phase phase

	shaken atomic.Pointer[tls.Conn] // tc from handover on, for anybody who wants its state
}

// phase is how far a session has come.
type phase uint8

const (
	waiting     phase = iota // a server's, for a ClientHello
	handshaking              // a goroutine has the tls.Conn
	open                     // the loop has it
	over
)

func (p phase) String() string {
	switch p {
	case waiting:
		return "waiting"
	case handshaking:
		return "handshaking"
	case open:
		return "open"
	case over:
		return "over"
	default:
		return fmt.Sprintf("phase(%d)", uint8(p))
	}
}

// become moves to a later phase; an illegal move is a bug of ours.
func (s *session) become(p phase) {
	if p <= s.phase || p == open && s.phase != handshaking {
		panic(fmt.Sprintf("sluice: a TLS session's illegal move from %v to %v", s.phase, p))
	}
	s.phase = p
}

// Start implements conn.Session. A server's handshake begins with a whole ClientHello: one
// who only connects costs no goroutine.
func (s *session) Start(h conn.SessionHost) error {
	s.t.host = h
	if s.role == conn.Client {
		return s.begin()
	}
	return nil
}

// begin starts the handshake.
func (s *session) begin() error {
	if err := s.gate.begin(); err != nil {
		return err
	}
	s.become(handshaking)
	hs := newHandshake(s.role, s.t.host, s.gate)
	s.t.hs = hs
	if s.role == conn.Client {
		s.t.peer = s.t.host.RemoteAddr()
		s.tc = tls.Client(&s.t, s.config)
	} else {
		s.tc = tls.Server(&s.t, s.config)
	}
	tc := s.tc
	s.t.host.Spawn(func() { hs.run(tc) })
	return nil
}

// Open implements conn.Session.
func (s *session) Open(dst, src, reply *buffers.Chain, fin bool) error {
	switch s.phase {
	case waiting:
		switch {
		case hasHello(src):
		case fin:
			return s.fail(io.ErrUnexpectedEOF, reply)
		default:
			return nil
		}
		if err := s.begin(); err != nil {
			return s.fail(err, reply)
		}
		return s.shuttle(dst, src, reply, fin)
	case handshaking:
		return s.shuttle(dst, src, reply, fin)
	case open:
		return s.decrypt(dst, src, reply, fin)
	case over:
	}
	return errCut
}

// hasHello reports whether src begins with a whole record, or with what can't become a
// ClientHello, which crypto/tls has a word for.
func hasHello(src *buffers.Chain) bool {
	var header [recordHeader]byte
	n := 0
	for _, p := range src.Vectors(make([][]byte, 0, recordHeader), recordHeader) {
		n += copy(header[n:], p)
	}
	if n > 0 && header[0] != handshakeRecord {
		return true
	}
	return n == recordHeader && src.Len() >= min(recordHeader+int(header[3])<<8+int(header[4]), maxRecord)
}

// shuttle passes bytes between the loop and the handshake.
func (s *session) shuttle(dst, src, reply *buffers.Chain, fin bool) error {
	done, err := s.t.hs.exchange(src, reply, fin)
	switch {
	case !done:
		return nil
	case err != nil:
		return s.fail(err, reply)
	}
	s.become(open) // handover: nobody else has the tls.Conn any more
	s.t.rest = append([]byte(nil), s.t.hs.in...)
	s.t.hs = nil
	s.shaken.Store(s.tc)
	return s.decrypt(dst, src, reply, fin)
}

// decrypt opens the records that there are.
func (s *session) decrypt(dst, src, reply *buffers.Chain, fin bool) error {
	t, k := &s.t, s.t.host.Cache()
	t.src, t.dst, t.fin = src, reply, fin
	defer func() { t.src, t.dst = nil, nil }()
	for {
		if t.available() == 0 && !fin {
			return nil // memory is taken only when there's something
		}
		b := k.Get(min(t.available()+t.held()+1, maxPlaintext))
		n, err := s.tc.Read(b.Reserve(b.Cap()))
		b.Commit(n)
		switch {
		case n >= b.Cap()/2, n > 0 && dst.Len() == 0:
			dst.Append(k, b, false)
		default: // small records, of which many may come at once, must not take a block each
			dst.AppendCopy(k, nil, b.Bytes(), false, false)
		}
		k.Release(b)
		var temporary wouldBlock
		switch {
		case err == nil:
		case errors.As(err, &temporary):
			return nil
		case errors.Is(err, io.EOF):
			s.become(over)
			return io.EOF
		case errors.Is(err, errCut):
			s.become(over)
			return io.ErrUnexpectedEOF
		default:
			return s.fail(err, reply)
		}
	}
}

// noTLS is what one who doesn't speak TLS is told, in the alert's form: unexpected_message.
// crypto/tls says nothing then.
var noTLS = []byte{21, 3, 1, 0, 2, 2, 10}

// fail ends the session. What crypto/tls has to say to the peer is in the reply.
func (s *session) fail(err error, reply *buffers.Chain) error {
	var stranger tls.RecordHeaderError
	if errors.As(err, &stranger) && reply.Len() == 0 {
		reply.AppendCopy(nil, s.t.host.Allocator(), noTLS, false, false)
	}
	shaking := s.phase < open
	if s.phase != over {
		s.become(over)
	}
	return newError(err, shaking)
}

// Ready implements conn.Session.
func (s *session) Ready() bool { return s.shaken.Load() != nil }

// state is what the handshake has come to, once it's over. Any goroutine may ask.
func (s *session) state() (tls.ConnectionState, bool) {
	if tc := s.shaken.Load(); tc != nil {
		return tc.ConnectionState(), true
	}
	return tls.ConnectionState{}, false
}

// SelectedProtocol is what ALPN has come to, for the ISocket view; "" before the handshake is
// over, and without.
func (s *session) SelectedProtocol() string {
	state, _ := s.state()
	return state.NegotiatedProtocol
}

// gathered is where small writes come together to one record.
var gathered = sync.Pool{New: func() any { return new([maxPlaintext]byte) }}

// Seal implements conn.Session. What was written in pieces goes out in full records.
func (s *session) Seal(dst, src *buffers.Chain, limit int) error {
	s.t.dst = dst
	defer func() { s.t.dst = nil }()
	for src.Len() > 0 && dst.Len() < limit {
		p := src.Front()
		if len(p) < maxPlaintext && len(p) < src.Len() {
			if err := s.sealGathered(src); err != nil {
				return err
			}
			continue
		}
		p = p[:min(len(p), max(maxPlaintext, (limit-dst.Len())/maxPlaintext*maxPlaintext))]
		if _, err := s.tc.Write(p); err != nil {
			return newError(err, false)
		}
		src.Consume(s.t.host.Cache(), len(p))
	}
	return nil
}

func (s *session) sealGathered(src *buffers.Chain) error {
	record := gathered.Get().(*[maxPlaintext]byte)
	defer gathered.Put(record)
	n := 0
	for n < maxPlaintext && src.Len() > 0 {
		p := src.Front()
		c := copy(record[n:], p)
		src.Consume(s.t.host.Cache(), c)
		n += c
	}
	_, err := s.tc.Write(record[:n])
	clear(record[:n])
	if err != nil {
		return newError(err, false)
	}
	return nil
}

// CloseWrite implements conn.Session: close_notify.
func (s *session) CloseWrite(dst *buffers.Chain) error {
	s.t.dst = dst
	defer func() { s.t.dst = nil }()
	return s.tc.CloseWrite()
}

// Buffered implements conn.Session: Open leaves nothing that it could yield.
func (s *session) Buffered() bool { return false }

// Abort implements conn.Session.
func (s *session) Abort(err error) {
	if err == nil {
		err = conn.ErrClosed
	}
	if s.phase != over {
		s.become(over)
	}
	if s.t.hs != nil {
		s.t.hs.end(err)
	}
}
