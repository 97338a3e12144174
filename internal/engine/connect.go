package engine

import (
	"cmp"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

var (
	errConnectTimeout = &timeoutError{"no address has accepted the connection within its time"}
	errNoAddress      = errors.New("there's no address to connect to")
)

// Dial says what an outgoing connection connects to.
type Dial struct {
	Addrs      []Addr // tried in this order, until one accepts
	Options    sys.Options
	Timeout    time.Duration  // for all of it; 0: none
	Origin     string         // what the connection is called in logs; "": as the Env is
	Sessions   SessionFactory // nil: the Env's
	ServerName string         // for its session
	Failure    error          // why there's no address
	Owner      any            // the connection's Owner
	Hold       bool           // whoever dials has a reference from the beginning
	ID         uint64         // from Group.NextID; 0: its own
}

// dial is how far an outgoing connection has come.
type dial struct {
	*Dial
	next    int   // of Addrs
	at      Addr  // the one that's being tried
	err     error // of the last one that failed; at first, why there's none
	reason  Reason
	since   time.Duration
	known   bool          // the descriptor is registered
	again   bool          // connect is to be called again
	retryAt time.Duration // … then; 0: at once
	told    bool          // the consumer knows that it has failed
}

// retryAfter is how long a Unix-domain listener whose queue is full is left alone.
const retryAfter = 10 * time.Millisecond

// Connect begins an outgoing connection, on one of the loops. Its end, good or bad, comes
// through the Consumer. An error means that the loops have ended, and nothing will come.
func (e *Env) Connect(d *Dial) (*Conn, error) {
	r := e.Mux.Group.Place()
	c := &Conn{
		shard: e.shards[r.Index()],
		id:    d.ID,
		fd:    -1,
		flags: writable | starting | kicked,
		chunk: initialChunk,
		flow:  &e.Flow,
		ext: &ext{owner: d.Owner, dial: &dial{
			Dial: d, err: cmp.Or(d.Failure, errNoAddress), reason: ReasonAddress,
		}},
	}
	if c.id == 0 {
		c.id = r.Group().NextID()
	}
	c.refs.Store(1)
	if d.Hold {
		c.refs.Store(2)
	}
	if err := r.Post(c); err != nil {
		r.AddLoad(-1)
		return nil, ErrClosed
	}
	return c, nil
}

// beginConnectLocked begins an outgoing connection's life on its loop.
func (c *Conn) beginConnectLocked() {
	d := c.ext.dial
	c.becomeLocked(Connecting)
	c.shard.add(CountAccepted, 1)
	c.shard.open.add(c)
	c.flags.set(connectDue)
	if c.shard.env.Refuse.Load() {
		c.endLocked(ReasonDrainAbort, "connect", ErrClosed)
		return
	}
	if d.since = c.shard.r.Now(); d.Timeout > 0 {
		c.ext.deadline.armDue = true
	}
}

// nextOfConnectLocked is the part of nextLocked for a connection that's being made.
func (c *Conn) nextOfConnectLocked() work {
	switch {
	case c.reason != ReasonNone:
		return doClose
	case len(c.ext.canceled) > 0:
		return doCanceled
	case c.flags.has(connectDue):
		return doConnect
	case c.ext.deadline.armDue:
		return doArm
	default:
		return nothing
	}
}

// connectLocked looks what has become of the attempt that's under way, and makes the next
// if there's none.
func (c *Conn) connectLocked() {
	c.flags.clear(connectDue | errDue)
	d := c.ext.dial
	switch {
	case c.fd < 0:
		c.nextAddressLocked()
	case d.again && c.shard.r.Now() >= d.retryAt:
		d.again = false
		c.tryLocked()
	case d.again: // an event that means nothing
	default:
		c.lookLocked()
	}
}

// lookLocked: no error counts for success only once the peer has an address, because an
// event may be stale.
func (c *Conn) lookLocked() {
	k := c.shard.kernel
	errno := k.SocketError(int(c.fd))
	if errno != 0 {
		c.attemptFailedLocked(reasonOfConnect(errno), errno)
		return
	}
	if _, errno = k.RemoteAddr(int(c.fd)); errno == 0 {
		c.connectedLocked()
	}
}

// nextAddressLocked tries the next address, if there is one.
func (c *Conn) nextAddressLocked() {
	d := c.ext.dial
	if d.next == len(d.Addrs) {
		c.endLocked(d.reason, "connect", d.err)
		return
	}
	d.at = d.Addrs[d.next]
	d.next++
	fd, err := c.shard.kernel.Socket(d.at, d.Options)
	if err != nil {
		c.attemptFailedLocked(ReasonOpen, err)
		return
	}
	c.fd = int32(fd)
	at := d.at
	c.leave()
	c.shard.env.Consumer.Created(c, fd)
	c.shard.env.Consumer.Connecting(c, at)
	c.enter()
	if c.reason == ReasonNone {
		c.tryLocked()
	}
}

// tryLocked calls connect. The descriptor is registered after that: one that isn't
// connecting is reported as hung up.
func (c *Conn) tryLocked() {
	d := c.ext.dial
	errno := c.shard.kernel.Connect(int(c.fd), d.at)
	switch errno {
	case 0, unix.EINPROGRESS:
	case unix.EAGAIN: // a Unix-domain listener's queue is full, and no event will tell
		d.again = true
		d.retryAt = c.shard.r.Now() + retryAfter
		c.ext.deadline.armDue = true
	default:
		c.attemptFailedLocked(reasonOfConnect(errno), errno)
		return
	}
	if !d.known {
		if err := c.shard.r.Register(int(c.fd), c); err != nil {
			c.attemptFailedLocked(ReasonOpen, err)
			return
		}
		d.known = true
	}
	if errno == 0 {
		c.connectedLocked()
	}
}

// attemptFailedLocked drops the descriptor; the next address is next.
func (c *Conn) attemptFailedLocked(r Reason, err error) {
	d := c.ext.dial
	d.err, d.reason, d.known, d.again = err, r, false, false
	c.local = nil
	c.flags.clear(readable | hadPri | hadHup | oobDue | errDue) // they were about this one
	c.flags.set(connectDue)
	if fd := int(c.fd); fd >= 0 {
		c.fd = -1
		c.shard.r.Deregister(fd)
		c.closeDescriptorLocked(fd, true) // it may be a connection, which nobody will have
	}
}

// connectedLocked: it's a connection now, like those that were accepted.
func (c *Conn) connectedLocked() {
	d := c.ext.dial
	if d.at.IsUnix() {
		c.named = &d.at
	} else {
		c.remote = d.at.AddrPort
	}
	c.becomeLocked(Open)
	c.flags.set(writable)
	c.shard.r.Disarm(&c.ext.deadline.timer)
	c.local = nil // it had no peer then
	c.holdGateLocked()
	c.openedLocked()
}

// failedToConnectLocked tells the consumer of an outgoing connection that was never
// established. It's the last but for its release.
func (c *Conn) failedToConnectLocked() {
	d := c.ext.dial
	d.told = true
	at, err := d.at, c.causeLocked()
	if err == nil {
		err = ErrClosed
	}
	c.leave()
	c.shard.env.Consumer.ConnectFailed(c, at, err)
	c.enter()
}

// LimitConnect gives an outgoing connection no longer than Timeouts.Write from now to be
// accepted: its user waits for nothing but to have sent what it has.
func (c *Conn) LimitConnect() {
	c.mu.Lock()
	limit := c.timeoutsLocked().Write
	if c.state < Open && limit > 0 {
		d := c.ext.dial
		if c.state == Connecting {
			limit += c.shard.r.Now() - d.since
		}
		if d.Timeout <= 0 || d.Timeout > limit {
			d.Timeout = limit
			c.ext.deadline.armDue = true
		}
	}
	c.finish()
}

// dueLocked is when the timer of a connection that's being made should go off next.
func (d *dial) dueLocked(now time.Duration) (after time.Duration, found bool) {
	if d.Timeout > 0 {
		after, found = d.since+min(d.Timeout, forever)-now, true
	}
	if d.again && (!found || d.retryAt-now < after) {
		after, found = d.retryAt-now, true
	}
	return after, found
}

// connectTimerLocked: it's time to call connect again, or it has taken too long.
func (c *Conn) connectTimerLocked() {
	d := c.ext.dial
	now := c.shard.r.Now()
	if d.Timeout > 0 && now-d.since >= d.Timeout {
		c.endLocked(ReasonConnect, "connect", errConnectTimeout)
		return
	}
	if d.again && now >= d.retryAt {
		c.flags.set(connectDue)
	}
	c.ext.deadline.armDue = true
}
