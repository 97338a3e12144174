package engine

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// openLocked begins a connection's life on its loop.
func (c *Conn) openLocked() {
	if c.ext != nil && c.ext.dial != nil {
		c.beginConnectLocked()
		return
	}
	fd := int(c.fd)
	c.becomeLocked(Open)
	c.shard.add(CountAccepted, 1)
	c.shard.open.add(c)
	c.leave()
	c.shard.env.Consumer.Created(c, fd)
	c.enter()
	if c.shard.env.Refuse.Load() {
		c.endLocked(ReasonDrainAbort, "accept", ErrClosed)
		return
	}
	if err := c.shard.r.Register(fd, c); err != nil {
		c.endLocked(ReasonRejected, "register", err)
		return
	}
	c.openedLocked()
}

// openedLocked goes on with a descriptor that's connected and registered.
func (c *Conn) openedLocked() {
	if c.state == Open && c.timeoutsLocked().Idle > 0 {
		c.startIdleLocked()
	}
	if from := c.sessionsLocked(); from != nil {
		role, name := Server, ""
		if c.ext != nil && c.ext.dial != nil {
			role, name = Client, c.ext.dial.ServerName
		}
		c.startSessionLocked(from, role, name)
		return
	}
	c.establishLocked()
}

func (c *Conn) establishLocked() {
	old := c.phaseLocked()
	c.flags.set(established)
	c.leftLocked(old)
	c.since = c.shard.r.Clock()
	if c.ext != nil && c.ext.session != nil {
		c.shard.gauges.handshakes.Observe(c.shard.r.Now() - c.ext.session.since)
	}
	c.leave()
	c.log(slog.LevelDebug, "connection established", nil)
	c.shard.env.Consumer.Established(c)
	c.enter()
	c.consumeStartLocked()
}

// consumeStartLocked drops the reference that the connection was made with.
func (c *Conn) consumeStartLocked() {
	if c.flags.has(starting) {
		c.flags.clear(starting)
		c.refs.Add(-1)
	}
}

// socketErrorLocked asks for SO_ERROR, which asking clears: so it's kept at once. 0
// means that the event was stale, or meant something else (an error queue).
func (c *Conn) socketErrorLocked() {
	c.flags.clear(errDue)
	if errno := c.shard.kernel.SocketError(int(c.fd)); errno != 0 {
		c.failLocked("socket", errno)
	}
}

// failLocked takes an errno of the socket for the connection's end. What was received
// before may not have been announced yet, so it's looked for; and the kernel tells of the
// error before it tells of the hang-up, so a short read isn't the last.
func (c *Conn) failLocked(op string, errno unix.Errno) {
	c.flags.set(readable | hadHup)
	c.dead = c.dead || errno == unix.ECONNRESET
	c.endLocked(reasonOf(errno), op, errno)
}

// AddRef takes a reference: the connection isn't released, nor closed for want of
// references, before Release. The holder of one may take another anywhere; taking the
// first is for callbacks.
func (c *Conn) AddRef() *Conn {
	if c.refs.Add(1) == 1 && !c.shard.r.OnLoop() {
		if c.shard.env.Debug {
			c.refs.Add(-1) // whoever recovers doesn't have it
		}
		c.misuse("AddRef of a connection that nobody holds, outside its callbacks: it may be closing by itself")
	}
	return c
}

// Release gives a reference back.
func (c *Conn) Release() {
	for {
		n := c.refs.Load()
		switch {
		case n <= 0:
			c.misuse("Release without a reference")
			return
		case n == 1:
			if c.releaseLast() {
				return
			}
		case c.refs.CompareAndSwap(n, n-1):
			return
		}
	}
}

// releaseLast gives the last reference back, if it's still that.
func (c *Conn) releaseLast() bool {
	c.mu.Lock()
	if c.flags.has(starting) && c.refs.Load() == 1 {
		c.unlock()
		c.misuse("Release without a reference: the one that OnConnectionEstablished runs under isn't the callback's")
		return true
	}
	if !c.refs.CompareAndSwap(1, 0) {
		c.unlock()
		return false
	}
	c.finish()
	return true
}

// misuse panics in debug mode, and is logged otherwise.
func (c *Conn) misuse(what string) {
	if c.shard.env.Debug {
		panic("sluice: " + c.String() + ": " + what)
	}
	c.log(slog.LevelError, what, nil)
}

// Post runs f on the connection's loop, one at a time with its callbacks, and keeps
// the connection open until then.
func (c *Conn) Post(f func(*Conn)) error {
	if f == nil {
		return ErrMode
	}
	c.mu.Lock()
	err := c.usableLocked()
	if err == nil && !c.flags.has(established) {
		err = ErrMode
	}
	if err != nil {
		c.unlock()
		return err
	}
	x := c.extLocked()
	x.posts = append(x.posts, f)
	c.finish()
	return nil
}

// usableLocked refuses what can't be done any more.
func (c *Conn) usableLocked() error {
	switch {
	case c.state == Closed || c.state == Released || c.state == Draining || !c.reason.clean():
		return ErrClosed
	case c.state < Open && c.reason != ReasonNone:
		return ErrClosed
	}
	return nil
}

// unbornLocked: it was accepted, and hasn't begun its life. What's outgoing can be used
// from the moment that somebody has it.
func (c *Conn) unbornLocked() bool {
	return c.state == Idle && (c.ext == nil || c.ext.dial == nil)
}

// runPostLocked runs one of the posts that there were when the dispatch came to the
// first: one that posts itself again must not keep the connection from everything else.
func (c *Conn) runPostLocked() {
	x := c.ext
	if x.snapshot == 0 {
		x.snapshot = len(x.posts)
	}
	if x.snapshot--; x.snapshot == 0 {
		c.flags.set(posted)
	}
	f := x.posts[0]
	x.posts[0] = nil
	x.posts = x.posts[1:]
	if len(x.posts) == 0 {
		x.posts = nil
	}
	c.leave()
	f(c)
	c.enter()
}
