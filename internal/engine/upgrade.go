package engine

import "slices"

// Upgrade is a session that an open connection is to get (STARTTLS).
type Upgrade struct {
	Sessions   SessionFactory
	Role       Role
	ServerName string
	Prefix     []byte // what was received already, and is the session's; copied
	Owner      any    // the connection's from then on; nil: as it was
}

// upgrade is an Upgrade that waits for the output before it.
type upgrade struct {
	Upgrade
	ahead    int // bytes of it
	canceled int // reads of the owner before that he's to be told of
}

// Upgrade has the connection's bytes pass a session from now on. What was written before goes
// out as it is; what's written after it is the session's, once that's ready. Reads that are
// pending are canceled; what they had got so far, and what comes now, is the session's. The
// consumer's Upgraded follows, or the end. ErrMode: it isn't open, has or gets a session
// already, or one of its halves is closed.
func (c *Conn) Upgrade(u Upgrade) error {
	c.mu.Lock()
	err := c.usableLocked()
	x := c.extLocked()
	switch {
	case err != nil:
	case c.state != Open || !c.flags.has(established) || x.session != nil || x.upgrade != nil ||
		c.flags.hasAny(eof|finWanted):
		err = ErrMode
	default:
		u.Prefix = slices.Clone(u.Prefix)
		c.consumeLocked(c.callerCacheLocked(), 0) // empty writes at the front are done
		c.cancelReadsLocked()
		x.upgrade = &upgrade{Upgrade: u, ahead: c.out.Len(), canceled: len(x.canceled)}
	}
	c.finish()
	return err
}

// upgradingLocked: a session was asked for, and isn't there yet.
func (c *Conn) upgradingLocked() bool { return c.ext != nil && c.ext.upgrade != nil }

// beforeUpgradeLocked reports whether output before an upgrade is left, out-of-band bytes
// included.
func (c *Conn) beforeUpgradeLocked() bool {
	return c.ext.upgrade.ahead > 0 || len(c.ext.urgent) > 0
}

// upgradeLocked begins the session.
func (c *Conn) upgradeLocked() {
	x := c.ext
	u := x.upgrade
	c.changeOwnerLocked()
	early := append(u.Prefix, x.carry...)
	x.carry = nil
	c.startSessionLocked(u.Sessions, u.Role, u.ServerName)
	if s := x.session; s != nil {
		s.upgrade = true
		s.in.AppendCopy(c.shard.cache, nil, early, false, false)
		if c.flags.has(eof) { // the socket's, and not yet the session's
			c.flags.clear(eof)
			s.fin = true
		}
	}
}

// changeOwnerLocked ends an upgrade's waiting: what's told from now on is for the next owner.
func (c *Conn) changeOwnerLocked() {
	x := c.ext
	if x.upgrade.Owner != nil {
		x.owner = x.upgrade.Owner
	}
	x.upgrade = nil
}

// upgradedLocked tells that the session is ready.
func (c *Conn) upgradedLocked() {
	c.ext.session.upgrade = false
	c.shard.gauges.handshakes.Observe(c.shard.r.Now() - c.ext.session.since)
	c.leave()
	c.shard.env.Consumer.Upgraded(c)
	c.enter()
}
