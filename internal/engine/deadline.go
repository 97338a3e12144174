package engine

import (
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// Timeouts end connections that don't get on. 0 stands for the default, a negative
// duration for none.
type Timeouts struct {
	Idle      time.Duration // no byte in either direction; off
	Read      time.Duration // a read that waits, its last byte included, while output doesn't hold it up; off
	Handshake time.Duration // from the beginning of a session (TLS) until it's established; 10 s
	Write     time.Duration // queued output neither emptied nor shrank by 16 KiB; 30 s
	Linger    time.Duration // from our end of the stream to the peer's, after Shutdown; 5 s
}

var defaultTimeouts = Timeouts{Idle: -1, Read: -1, Handshake: 10 * time.Second, Write: 30 * time.Second, Linger: 5 * time.Second}

func (t Timeouts) withDefaults(base Timeouts) Timeouts {
	for _, f := range []struct {
		d    *time.Duration
		base time.Duration
	}{{&t.Idle, base.Idle}, {&t.Read, base.Read}, {&t.Handshake, base.Handshake}, {&t.Write, base.Write}, {&t.Linger, base.Linger}} {
		if *f.d == 0 {
			*f.d = f.base
		}
		*f.d = min(*f.d, forever)
	}
	return t
}

// forever is a time-out that never comes, and can be added to any time.
const forever = 100 * 365 * 24 * time.Hour

// progressBytes is what output must shrink by to count as progress, so that a drip
// doesn't.
const progressBytes = 16 << 10

// deadlines are a connection's times, all served by one timer. They move without
// touching the wheel: a timer that goes off early is set again.
type deadlines struct {
	own       *Timeouts // SetTimeouts
	timer     reactor.Timer
	idleSince time.Duration // the last byte
	stalled   time.Duration // since when output hasn't got on
	flushed   int           // bytes since then
	lingering time.Duration // since our end was sent
	readSince time.Duration // since when the oldest read waits
	readOver  bool          // … for too long
	armDue    bool
}

func (c *Conn) timeoutsLocked() *Timeouts {
	if c.ext != nil && c.ext.deadline.own != nil {
		return c.ext.deadline.own
	}
	return &c.shard.env.Timeouts
}

// SetTimeouts changes the connection's time-outs; 0 keeps the listener's. They count
// from now.
func (c *Conn) SetTimeouts(t Timeouts) {
	own := t.withDefaults(c.shard.env.Timeouts)
	c.mu.Lock()
	d := &c.extLocked().deadline
	d.own, d.readOver = &own, false
	c.flags.clear(idleTimed | writeTimed | lastTry | lingerTimed | readTimed)
	if own.Idle > 0 && c.state == Open {
		c.startIdleLocked()
	}
	c.finish()
}

func (c *Conn) startIdleLocked() {
	d := &c.extLocked().deadline
	d.idleSince = c.shard.r.Now()
	d.armDue = true
	c.flags.set(idleTimed)
}

// movedLocked notes that bytes moved.
func (c *Conn) movedLocked() {
	c.flags.set(moved)
	if c.flags.has(idleTimed) {
		c.ext.deadline.idleSince = c.shard.r.Now()
	}
}

// blockedLocked notes that the socket takes nothing more now.
func (c *Conn) blockedLocked() {
	c.flags.clear(writable)
	if c.flags.has(lastTry) {
		c.endLocked(ReasonWriteTimeout, "send", errWriteTimeout)
	}
}

// progressLocked notes n bytes of output sent.
func (c *Conn) progressLocked(n int) {
	if !c.flags.has(writeTimed) {
		return
	}
	d := &c.ext.deadline
	d.flushed += n
	switch {
	case !c.canFlushLocked():
		c.flags.clear(writeTimed | lastTry)
	case d.flushed >= progressBytes:
		d.stalled, d.flushed = c.shard.r.Now(), 0
		c.flags.clear(lastTry)
	}
}

// mustArmLocked reports whether a deadline begins. Output that can be sent now has
// none, so an echo that flows never comes here.
func (c *Conn) mustArmLocked() bool {
	switch {
	case c.ext != nil && c.ext.deadline.armDue:
		return true
	case !c.flags.hasAny(writeTimed|writable) && c.timeoutsLocked().Write > 0 && c.canFlushLocked():
		return true
	default:
		return c.lingersLocked() && !c.flags.has(lingerTimed) && c.timeoutsLocked().Linger > 0
	}
}

// lingersLocked: our end was sent, and the peer's is waited for.
func (c *Conn) lingersLocked() bool {
	return c.flags&(finSent|eof) == finSent && (c.state == Draining || c.hasLastWordsLocked())
}

// mustTimeReadLocked reports whether a read begins to wait.
func (c *Conn) mustTimeReadLocked() bool {
	return c.read.kind != readNone && !c.flags.has(readTimed) && c.timeoutsLocked().Read > 0 && c.readWaitsLocked()
}

// readWaitsLocked: the oldest read waits for the peer, and for nothing else.
func (c *Conn) readWaitsLocked() bool {
	return c.read.kind != readNone && c.state == Open && c.flags&(established|eof) == established && !c.suspendedLocked()
}

// armLocked begins the deadlines that are due to begin, and sets the timer. On the
// loop.
func (c *Conn) armLocked() {
	d := &c.extLocked().deadline
	d.armDue = false
	now := c.shard.r.Now()
	if c.state == Connecting {
		c.setTimerLocked(now)
		return
	}
	limits := c.timeoutsLocked()
	if !c.flags.has(writeTimed) && limits.Write > 0 && c.canFlushLocked() {
		c.flags.set(writeTimed)
		d.stalled, d.flushed = now, 0
	}
	if c.lingersLocked() && !c.flags.has(lingerTimed) && limits.Linger > 0 {
		c.flags.set(lingerTimed)
		d.lingering = now
	}
	if limits.Read > 0 && !c.flags.has(readTimed) && c.readWaitsLocked() {
		c.flags.set(readTimed)
		d.readSince = now
	}
	c.setTimerLocked(now)
}

func (c *Conn) setTimerLocked(now time.Duration) {
	d := &c.ext.deadline
	limits := c.timeoutsLocked()
	next, found := forever, false
	sooner := func(f flags, since, limit time.Duration) {
		if c.flags.has(f) && limit > 0 {
			next, found = min(next, since+limit-now), true
		}
	}
	sooner(idleTimed, d.idleSince, limits.Idle)
	sooner(writeTimed, d.stalled, limits.Write)
	sooner(lingerTimed, d.lingering, limits.Linger)
	sooner(readTimed, d.readSince, limits.Read)
	if c.handshakingLocked() && limits.Handshake > 0 {
		next, found = min(next, c.ext.session.since+limits.Handshake-now), true
	}
	if c.state == Connecting {
		next, found = c.ext.dial.dueLocked(now)
	}
	if found {
		d.timer.Target = c
		c.shard.r.Arm(&d.timer, next)
	}
}

// OnTimer implements reactor.TimerTarget.
func (c *Conn) OnTimer(*reactor.Timer) {
	c.mu.Lock()
	if c.state == Connecting {
		c.connectTimerLocked()
		c.dispatchLocked()
		return
	}
	if c.state != Open && c.state != Draining {
		c.mu.Unlock()
		return
	}
	d := &c.ext.deadline
	now := c.shard.r.Now()
	limits := c.timeoutsLocked()
	over := func(f flags, since, limit time.Duration) bool {
		return c.flags.has(f) && limit > 0 && now-since >= limit
	}
	switch {
	case c.handshakingLocked() && limits.Handshake > 0 && now-c.ext.session.since >= limits.Handshake:
		c.endLocked(ReasonHandshakeTimeout, "session", errHandshake)
		c.ext.session.ended = true
	case over(lingerTimed, d.lingering, limits.Linger):
		c.endLocked(ReasonLinger, "shutdown", errLinger)
	case over(writeTimed, d.stalled, limits.Write):
		// Try once more: the kernel may have had no memory, and no edge since.
		c.flags.set(lastTry | writable)
		d.armDue = true
	case c.state == Open && over(idleTimed, d.idleSince, limits.Idle):
		c.flags.clear(idleTimed)
		c.drainLocked(ReasonIdle)
	case over(readTimed, d.readSince, limits.Read):
		c.flags.clear(readTimed)
		d.readOver = c.readWaitsLocked() // if output holds it up, it counts anew after that
		d.armDue = true
	default:
		c.setTimerLocked(now)
	}
	c.dispatchLocked()
}
