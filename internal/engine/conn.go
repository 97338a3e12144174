package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// Conn is a connection. Its exported methods may be called from any goroutine, in any
// callback and after its end.
type Conn struct {
	// Immutable.
	shard *Shard
	id    uint64

	// Atomic.
	refs    atomic.Int32  // user references
	pending atomic.Uint32 // events that came while somebody held mu
	slots   atomic.Pointer[slots]

	// Guarded by mu.
	mu      lock.Mutex
	remote  netip.AddrPort // zero for a Unix-domain peer
	named   *Addr          // the address of a Unix-domain peer that has one
	fd      int32          // −1 once closed
	flags   flags
	state   State
	reason  Reason
	closing closeStep
	chunk   uint8 // the next Read takes 1<<chunk bytes
	quiet   uint8 // looks of the drain since a byte moved
	calling bool  // the consumer is being called; the loop's own, without the lock
	dead    bool  // the peer's reset was told of: the kernel has ended the socket
	read    readOp
	partial *buffers.Buffer // what a ReadFull has so far
	out     buffers.Chain   // to be sent
	flow    *Flow           // the Env's, or its own
	ext     *ext            // what few connections need, made on use
	local   *Addr           // its own address, once asked for
	since   time.Duration   // when it was established
	offLoop tally           // what the shard is to know
	link    reactor.Link    // of kicks

	siblings siblings // in the shard's registry
}

// tally is what was sent off the loop, which the shard doesn't know of yet, and what it
// knows of the output that's left.
type tally struct {
	bytes  uint64
	writes uint32
	left   uint32 // bytes, up to 4 GiB
}

// ext is the part of a connection that most don't need.
type ext struct {
	owner    any             // the consumer's; an Upgrade may change it
	failing  *buffers.Buffer // asked about at the end, not told of yet
	err      error           // the cause
	reads    []readOp        // behind Conn.read
	have     int             // bytes that the oldest Recv has got
	carry    []byte          // what canceled ones had got, to be read first
	canceled []readOp        // to be told of
	done     buffers.Chain
	posts    []func(*Conn)
	snapshot int // of posts: how many of them this dispatch runs
	urgent   []urgent
	timers   []*Timer // set or stopped, for the loop to look at
	armed    []*Timer // in the wheel
	session  *sessionState
	past     Session // what session was
	upgrade  *upgrade
	dial     *dial
	deadline deadlines
	gate     *gate // of those whose reads wait for our output
	waitsFor *gate // of the one whose output our reads wait for
	waiting  bool  // we're counted in waitsFor.readers
	unheld   *Conn // we were the last there
	gateMode gateMode
	holds    int    // users of the descriptor through SyscallConn
	held     []held // descriptors to be closed by the last of them
}

func (c *Conn) extLocked() *ext {
	if c.ext == nil {
		c.ext = &ext{}
	}
	return c.ext
}

// initialChunk and the bounds of chunk: reads adapt to what comes, so that what a user
// keeps, or a slow peer makes us keep, isn't mostly air.
const (
	minChunk     = 11
	initialChunk = 12
	maxChunk     = 16
)

// newAccepted makes the connection of a descriptor that was accepted. It begins its
// life on its loop, by RunTask.
func newAccepted(s *Shard, fd int, peer Addr, owner any) *Conn {
	c := &Conn{
		shard:  s,
		id:     s.r.Group().NextID(),
		remote: peer.AddrPort,
		fd:     int32(fd),
		flags:  inbound | writable | starting | kicked,
		chunk:  initialChunk,
		flow:   &s.env.Flow,
	}
	c.refs.Store(1)
	if peer.Path != "" {
		c.named = &peer
	}
	if owner != nil {
		c.ext = &ext{owner: owner}
	}
	return c
}

// ID is unique among the connections of a group of loops.
func (c *Conn) ID() uint64 { return c.id }

// Owner is what the consumer gave the connection at its beginning.
func (c *Conn) Owner() any {
	c.mu.Lock()
	defer c.unlock()
	if c.ext == nil {
		return nil
	}
	return c.ext.owner
}

// Inbound reports whether the connection was accepted.
func (c *Conn) Inbound() bool {
	c.mu.Lock()
	defer c.unlock()
	return c.flags.has(inbound)
}

// Origin is the name of the listener, or of what was connected to.
func (c *Conn) Origin() string {
	c.mu.Lock()
	defer c.unlock()
	if c.ext != nil && c.ext.dial != nil && c.ext.dial.Origin != "" {
		return c.ext.dial.Origin
	}
	return c.shard.env.Origin
}

// categoryLocked is the kind of socket.
func (c *Conn) categoryLocked() Category {
	if c.ext == nil || c.ext.dial == nil {
		return c.shard.env.Category
	}
	if c.ext.dial.at.IsUnix() {
		return CategoryUnix
	}
	return CategoryTCP
}

func (c *Conn) category() Category {
	c.mu.Lock()
	defer c.unlock()
	return c.categoryLocked()
}

// RemoteAddr is the peer's address; it stays after the end. While connecting it's the one
// that's tried.
func (c *Conn) RemoteAddr() Addr {
	c.mu.Lock()
	defer c.unlock()
	return c.remoteLocked()
}

func (c *Conn) remoteLocked() Addr {
	switch {
	case c.named != nil:
		return *c.named
	case !c.remote.IsValid() && c.ext != nil && c.ext.dial != nil:
		return c.ext.dial.at
	default:
		return Addr{AddrPort: c.remote}
	}
}

// LocalAddr is this end's address; it stays after the end.
func (c *Conn) LocalAddr() Addr {
	c.mu.Lock()
	defer c.unlock()
	return c.localAddrLocked()
}

func (c *Conn) localAddrLocked() Addr {
	if !c.shard.env.Wildcard {
		return c.shard.env.Local
	}
	if c.local == nil {
		if c.fd < 0 {
			return c.shard.env.Local
		}
		a, errno := c.shard.kernel.LocalAddr(int(c.fd))
		if errno != 0 {
			return c.shard.env.Local
		}
		c.local = &a
	}
	return *c.local
}

// State is where the connection is now.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case c.state == Open && c.flags.has(eof):
		return ReadClosed
	case c.state == Open && c.flags.has(finSent):
		return WriteClosed
	default:
		return c.state
	}
}

// Cause is why the connection ended or is ending: ReasonNone while it's open. The
// error is nil for a clean end.
func (c *Conn) Cause() (Reason, error) {
	c.mu.Lock()
	defer c.unlock()
	return c.reason, c.causeLocked()
}

func (c *Conn) causeLocked() error {
	if c.ext == nil {
		return nil
	}
	return c.ext.err
}

// endLocked records why the connection ends. The first cause stays, but for a failure
// on the way to a clean end: then the end wasn't clean.
func (c *Conn) endLocked(r Reason, op string, err error) {
	if c.reason != ReasonNone && (!c.reason.clean() || r.clean()) {
		if !r.clean() && c.hasLastWordsLocked() {
			c.ext.session.lastWords = false // nobody listens
		}
		return
	}
	c.reason = r
	if err != nil {
		c.extLocked().err = &Error{Op: op, ID: c.id, Addr: c.remoteLocked(), Err: err}
	}
}

// PeerCredentials tells who connected to a Unix-domain socket; ErrMode for another
// kind.
func (c *Conn) PeerCredentials() (sys.Credentials, error) {
	c.mu.Lock()
	defer c.unlock()
	if c.categoryLocked() != CategoryUnix || c.state == Connecting {
		return sys.Credentials{}, ErrMode
	}
	if c.fd < 0 {
		return sys.Credentials{}, ErrClosed
	}
	return c.shard.kernel.PeerCredentials(int(c.fd))
}

// log writes to the connection's category, unless that is muted. Attributes are made only
// then. A log handler is user code: no lock is held.
func (c *Conn) log(level slog.Level, message string, attrs func() []any) {
	l := c.shard.env.Logger
	ctx := context.Background()
	if l == nil || !l.Enabled(ctx, level) {
		return
	}
	category := c.category()
	if c.Session() != nil {
		category = CategoryTLS
	}
	if c.shard.env.Muted.has(category) {
		return
	}
	all := []any{"category", category.String(), "listener", c.Origin(), "id", c.id, "peer", c.RemoteAddr().String()}
	if attrs != nil {
		all = append(all, attrs()...)
	}
	l.Log(ctx, level, message, all...)
}

func (c *Conn) String() string { return fmt.Sprintf("connection %d (%s)", c.id, c.RemoteAddr()) }
