package engine

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/sluice-net/sluice/buffers"
)

// Role of a session.
type Role uint8

// The roles.
const (
	Client Role = iota
	Server
)

// SessionFactory makes the sessions of a listener's connections.
type SessionFactory interface {
	NewSession(role Role, serverName string) (Session, error)
}

var errBacklog = errors.New("more than 32 KiB were received without anything coming of it")

// errNoProgress ends a session that would keep its loop turning.
var errNoProgress = errors.New("Session.Seal took nothing and gave nothing")

// Session turns what's on the wire into what the consumer reads, and back: bytes in,
// bytes out, no I/O of its own. All methods but Start run under the connection's lock,
// so they never block and call nobody.
type Session interface {
	// Start comes first, on the loop. h may be kept.
	Start(h SessionHost) error
	// Open consumes received bytes from src and appends what they mean to dst;
	// reply gets what the protocol has to answer. fin: nothing follows src. It
	// returns nil when it needs more (input, or a Wake), io.EOF at the peer's clean
	// end, io.ErrUnexpectedEOF at any other, or what's wrong, and is called again
	// only after nil; with fin until nothing more comes of it.
	Open(dst, src, reply *buffers.Chain, fin bool) error
	// Ready reports whether the handshake is over, which it stays. What Open
	// appended to dst, and the end that it told of, count from then on.
	Ready() bool
	// Seal consumes from src and appends to dst, stopping at about limit bytes.
	Seal(dst, src *buffers.Chain, limit int) error
	// CloseWrite appends the session's own end. Once.
	CloseWrite(dst *buffers.Chain) error
	// Buffered reports whether Open would yield something without more input.
	Buffered() bool
	// Abort ends the session, whatever its state. Once, and last.
	Abort(error)
}

// SessionHost is what a session may use of its connection, from any goroutine but
// never from inside its own methods (Start excepted).
type SessionHost interface {
	// Wake has Open called again.
	Wake()
	// Spawn runs f on a goroutine of its own.
	Spawn(f func())
	Allocator() *buffers.Allocator
	// Cache is the loop's part of it, for the session's own methods alone.
	Cache() *buffers.Cache
	LocalAddr() Addr
	RemoteAddr() Addr
}

// sessionState is a connection's session and the bytes on their way through it.
// Conn.out stays what the application wrote; wire is what becomes of it.
type sessionState struct {
	s        Session       // nil until it's made, on the loop
	in       buffers.Chain // received, not consumed by Open
	plain    buffers.Chain // opened, not read
	wire     buffers.Chain // sealed or answered, not sent
	*tracked               // with Env.Track, else nil
	ready    bool          // the handshake is over
	more     bool          // Buffered, after the last Open
	fin      bool          // the socket's end was read
	idle     bool          // … and Open, which knows, has made nothing of it
	ended    bool          // Open has returned something final
	closed   bool          // CloseWrite was called
	woken    bool

	since     time.Duration // when the handshake began
	upgrade   bool          // the consumer is to be told when it's ready
	lastWords bool          // the end is decided, and what the session has to say to that is being sent
}

// tracked is kept for completions, because a session consumes Conn.out as it likes.
type tracked struct {
	kept   buffers.Chain // what's in Conn.out
	sealed buffers.Chain // … what's in wire
}

func (s *sessionState) hasOutput() bool { return s.wire.Len() > 0 }

const (
	// sessionChunk is how much is received for a session at a time.
	sessionChunk = 32 << 10
	// sessionBacklog is how much a session may leave unconsumed while it yields
	// nothing: two of the largest records.
	sessionBacklog = 32 << 10
)

// sessionsLocked is who makes the connection's session; nil: it has none.
func (c *Conn) sessionsLocked() SessionFactory {
	if x := c.ext; x != nil && x.dial != nil && x.dial.Sessions != nil {
		return x.dial.Sessions
	}
	return c.shard.env.Sessions
}

// Session is what the connection has, or, after its end, had; nil if there's none.
func (c *Conn) Session() Session {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case c.ext == nil:
		return nil
	case c.ext.session != nil:
		return c.ext.session.s
	default:
		return c.ext.past
	}
}

func (c *Conn) startSessionLocked(from SessionFactory, role Role, name string) {
	x := c.extLocked()
	x.session = &sessionState{since: c.shard.r.Now()} // what others do from now on finds it in the way
	if c.shard.env.Track {
		x.session.tracked = &tracked{}
		c.out.Share(c.shard.cache, &x.session.tracked.kept) // what was written before
	}
	x.deadline.armDue = true
	c.leave()
	s, err := from.NewSession(role, name)
	c.enter()
	if err != nil {
		c.endLocked(ReasonHandshake, "session", err)
		return
	}
	x.session.s = s
	c.leave()
	err = s.Start((*sessionHost)(c))
	c.enter()
	if err != nil {
		c.endLocked(ReasonHandshake, "session", err)
		return
	}
	x.session.woken = true
}

// sessionHasWorkLocked: the session wants to be called, or to be fed. It's fed while
// it's handshaking, while a read waits, and when a hang-up may hide its end.
func (c *Conn) sessionHasWorkLocked() bool {
	s := c.ext.session
	if s.ended || c.state != Open || s.wire.Len() >= flushAt {
		return false // what's answered is sent before more is listened to
	}
	if s.woken {
		return true
	}
	wants := !s.ready && s.in.Len() <= sessionBacklog || s.ready && s.plain.Len() == 0 &&
		(c.read.kind != readNone && !c.suspendedLocked() || c.flags.has(hadHup))
	return wants && (c.flags.has(readable) && !s.fin || s.more || s.fin && !s.idle)
}

func (c *Conn) runSessionLocked(t *turn) {
	s := c.ext.session
	s.woken = false
	if c.flags.has(readable) && !s.fin {
		k := c.shard.cache
		b := k.Get(sessionChunk)
		n := c.receiveLocked(b.Reserve(sessionChunk), t)
		b.Commit(n)
		switch {
		case n >= sessionChunk/2, n > 0 && s.ready && s.in.Len() == 0: // it's taken at once, as a rule
			s.in.Append(k, b, false)
		default: // what waits for more must not be mostly air, however small its pieces are
			s.in.AppendCopy(k, nil, b.Bytes(), false, false)
		}
		k.Release(b)
		if c.flags.has(eof) { // the socket's end, which isn't yet the session's
			c.flags.clear(eof)
			s.fin = true
		}
		if n == 0 && !c.reason.clean() { // what came before counts all the same
			s.fin = true
		}
	}
	reply := &c.shard.reply
	before, input := s.plain.Len(), s.in.Len()
	err := c.guardSession(func() error {
		err := s.s.Open(&s.plain, &s.in, reply, s.fin)
		s.ready = s.ready || s.s.Ready()
		s.more = s.s.Buffered()
		return err
	})
	if s.closed || c.flags.has(finSent) {
		reply.Release(c.shard.cache) // nothing may follow our end
	}
	reply.MoveAll(&s.wire)
	opened := s.plain.Len() - before
	s.idle = s.fin && opened == 0 && s.in.Len() == input
	c.shard.add(CountReceivedBytes, uint64(opened))
	switch {
	case err == nil && s.ready && opened == 0 && s.in.Len() > sessionBacklog, err == nil && !s.ready && s.plain.Len() > sessionBacklog:
		err = errBacklog
	case err == nil && s.idle && s.ready: // a handshake may go on elsewhere, but not this
		err = io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF) && !s.ready:
		err = io.ErrUnexpectedEOF
	}
	switch {
	case err == nil:
		return
	case errors.Is(err, io.EOF):
		c.flags.set(eof)
	case !s.ready:
		c.failSessionLocked(ReasonHandshake, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.endLocked(ReasonTruncated, "session", io.ErrUnexpectedEOF)
	default:
		c.failSessionLocked(ReasonSession, err)
	}
	s.ended = true
}

// failSessionLocked ends the connection for what its session has found. What that has to say
// to the peer is sent before, and then our end; a reset would overtake it.
func (c *Conn) failSessionLocked(r Reason, err error) {
	if s := c.ext.session; s.wire.Len() > 0 && c.reason == ReasonNone && !c.flags.has(finSent) {
		s.lastWords = true
		c.flags.clear(idleTimed | readTimed)
	}
	if c.reason.fromPeer() {
		c.reason = ReasonNone // what the session has found came before that
	}
	c.endLocked(r, "session", err)
}

// nextOfLastWordsLocked is the part of nextLocked for a session that has failed, and says why.
func (c *Conn) nextOfLastWordsLocked() work {
	s, f := c.ext.session, c.flags
	switch {
	case s.wire.Len() > 0 && f.has(writable):
		return doFlush
	case c.mustArmLocked():
		return doArm
	case s.wire.Len() > 0:
		return nothing
	case !f.has(finSent):
		return doFIN
	case s.fin || f.has(eof):
		return doClose
	case f.has(readable):
		return doDiscard
	default:
		return nothing
	}
}

// hasLastWordsLocked: the end is decided, and the session has something to say to that.
func (c *Conn) hasLastWordsLocked() bool {
	return c.ext != nil && c.ext.session != nil && c.ext.session.lastWords
}

// wiredLocked takes n sent bytes off the wire's queue. With the last of them go the
// writes that they were made of.
func (c *Conn) wiredLocked(n int) {
	s := c.ext.session
	s.wire.Consume(c.shard.cache, n)
	if s.wire.Len() == 0 && s.tracked != nil {
		s.sealed.MoveAll(&c.ext.done)
	}
}

// handshakingLocked: a session is in the way that isn't ready yet, and may become so.
func (c *Conn) handshakingLocked() bool {
	return c.state == Open && c.ext != nil && c.ext.session != nil && !c.ext.session.ready
}

func (c *Conn) hasPlaintextLocked() bool {
	return c.ext != nil && c.ext.session != nil && c.ext.session.plain.Len() > 0
}

// takePlaintextLocked copies opened bytes into p.
func (c *Conn) takePlaintextLocked(p []byte) int {
	q := &c.ext.session.plain
	n := copy(p, q.Front())
	q.Consume(c.shard.cache, n)
	return n
}

// keptLocked is where what's written is kept for its completion, because a session
// consumes Conn.out as it likes; nil where it needn't be.
func (c *Conn) keptLocked() *buffers.Chain {
	if c.ext == nil || c.ext.session == nil || c.ext.session.tracked == nil {
		return nil
	}
	return &c.ext.session.kept
}

// flushSessionLocked seals only when the last of what was sealed is sent: sealing
// follows what the socket takes.
func (c *Conn) flushSessionLocked(t *turn) {
	s := c.ext.session
	k := c.shard.cache
	if s.wire.Len() == 0 && s.ready && !s.lastWords {
		before := c.out.Len()
		if before == 0 {
			c.out.Consume(k, 0) // empty writes
		} else if err := c.guardSession(func() error { return s.s.Seal(&s.wire, &c.out, flushAt) }); err != nil {
			c.failSessionLocked(ReasonSession, err)
			return
		}
		sealed := before - c.out.Len()
		if sealed == 0 && before > 0 && s.wire.Len() == 0 {
			c.endLocked(ReasonSession, "session", errNoProgress)
			return
		}
		c.shard.add(CountSentBytes, uint64(sealed))
		if s.tracked != nil {
			s.kept.MoveFront(k, sealed, &s.sealed)
		}
	}
	sent := 0
	if s.wire.Len() > 0 {
		n, ok := c.sendChainLocked(&s.wire, flushAt)
		if !ok {
			return
		}
		sent = n
		t.sent += n
	}
	c.wiredLocked(sent)
	c.progressLocked(sent)
}

// guardSession makes an error of a panic in a session: what a peer can bring about there
// must not end more than its connection. The lock stays as it is.
func (c *Conn) guardSession(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return call()
}

// closeSessionWriteLocked has the session's own end sent, and reports whether it has
// been.
func (c *Conn) closeSessionWriteLocked() bool {
	s := c.ext.session
	if !s.closed && s.ready {
		s.closed = true
		if err := c.guardSession(func() error { return s.s.CloseWrite(&s.wire) }); err != nil {
			c.endLocked(ReasonSession, "session", err)
		}
	}
	return s.wire.Len() == 0
}

// end drops the session. What was written and not sent is put back for its failure to
// be reported.
func (s *sessionState) end(c *Conn) {
	k := c.shard.cache
	if s.s != nil {
		_ = c.guardSession(func() error {
			s.s.Abort(c.causeLocked())
			return nil
		})
	}
	if s.tracked != nil {
		c.out.Release(k)
		s.sealed.MoveAll(&c.out)
		s.kept.MoveAll(&c.out)
	}
	for _, q := range []*buffers.Chain{&s.in, &s.plain, &s.wire} {
		q.Release(k)
	}
	c.ext.past, c.ext.session = s.s, nil
}

type sessionHost Conn

func (h *sessionHost) Wake() {
	c := (*Conn)(h)
	c.mu.Lock()
	if c.ext.session != nil {
		c.ext.session.woken = true
	}
	c.finish()
}

func (h *sessionHost) Spawn(f func())                { (*Conn)(h).shard.r.Group().Spawn(f) }
func (h *sessionHost) Allocator() *buffers.Allocator { return (*Conn)(h).shard.env.Allocator }
func (h *sessionHost) Cache() *buffers.Cache         { return (*Conn)(h).shard.cache }
func (h *sessionHost) LocalAddr() Addr               { return (*Conn)(h).LocalAddr() }
func (h *sessionHost) RemoteAddr() Addr              { return (*Conn)(h).RemoteAddr() }
