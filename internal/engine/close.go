package engine

import (
	"errors"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/sluice-net/sluice/buffers"
)

var (
	errWriteTimeout = &timeoutError{"the peer took too little for Timeouts.Write"}
	errReadTimeout  = &timeoutError{"nothing, or not enough, was received within Timeouts.Read"}
	errHandshake    = &timeoutError{"the session wasn't established within Timeouts.Handshake"}
	errLinger       = &timeoutError{"the peer didn't end its side within Timeouts.Linger"}
	errAborted      = errors.New("aborted")
)

// timeoutError is a time-out that names itself; errors.Is finds
// os.ErrDeadlineExceeded in it.
type timeoutError struct{ what string }

func (e *timeoutError) Error() string        { return e.what }
func (e *timeoutError) Timeout() bool        { return true }
func (e *timeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// Shutdown ends the connection gracefully: no more is written or read, what was
// written is sent, then our end; then the peer's end is waited for, within
// Timeouts.Linger. A second call changes nothing.
func (c *Conn) Shutdown() error { return c.ShutdownFor(ReasonLocalShutdown) }

// ShutdownFor is Shutdown for a clean reason.
func (c *Conn) ShutdownFor(r Reason) error {
	c.mu.Lock()
	var err error
	switch {
	case c.state == Draining:
	case c.unbornLocked():
		err = ErrMode
	case c.state < Open:
		if err = c.usableLocked(); err == nil {
			c.endLocked(r, "shutdown", nil)
		}
	default:
		if err = c.usableLocked(); err == nil {
			c.drainLocked(r)
		}
	}
	c.finish()
	return err
}

// ShutdownSend ends our side behind what was written; reading goes on. A second call
// changes nothing.
func (c *Conn) ShutdownSend() error {
	c.mu.Lock()
	err := c.usableLocked()
	if c.unbornLocked() {
		err = ErrMode
	}
	if err == nil {
		c.flags.set(finWanted)
	}
	c.finish()
	return err
}

// Abort ends the connection now, with a reset: what's queued is lost. cause, which may
// be nil, is what Cause tells.
func (c *Conn) Abort(cause error) { c.AbortFor(ReasonLocalAbort, cause) }

// AbortFor is Abort for a reason.
func (c *Conn) AbortFor(r Reason, cause error) {
	if cause == nil {
		cause = errAborted
	}
	c.mu.Lock()
	if c.state < Closed {
		c.endLocked(r, "abort", cause)
		c.flags.set(aborted)
		c.dropReadsLocked() // if the peer was first, what it sent before isn't wanted any more
	}
	c.finish()
}

// drainLocked begins the graceful end.
func (c *Conn) drainLocked(r Reason) {
	if c.flags.has(eof) && (r == ReasonLocalShutdown || r == ReasonUnreferenced) {
		r = ReasonPeerClosed
	}
	c.endLocked(r, "shutdown", nil)
	c.becomeLocked(Draining)
	c.flags.set(finWanted)
	c.flags.clear(idleTimed)
	c.dropReadsLocked()
	if x := c.ext; x != nil {
		if s := x.session; s != nil {
			if s.fin {
				c.flags.set(eof)
			}
			if !s.ready { // it never will be, and what was written fails
				c.flags.clear(writeTimed | lastTry)
			}
		}
	}
}

// finishSendLocked sends our end of the stream.
func (c *Conn) finishSendLocked() {
	if x := c.ext; x != nil && x.session != nil && !x.session.lastWords && !c.closeSessionWriteLocked() {
		return // the session's own end goes first
	}
	c.flags.set(finSent)
	k := c.shard.kernel
	if errno := k.ShutdownWrite(int(c.fd)); errno != 0 {
		// ENOTCONN says that it's over already; SO_ERROR knows why.
		if cause := k.SocketError(int(c.fd)); cause != 0 {
			errno = cause
		}
		c.failLocked("shutdown", errno)
	}
}

// closeStep is how far the end's callbacks have come. Each step is taken before its
// callback runs, so that a panic doesn't repeat or skip one.
type closeStep uint8

const (
	closeNotBegun closeStep = iota
	closeCompletions
	closeReads
	closeWrites
	closeReset
	closeClosed
	closeDone
)

// closeLocked closes the descriptor, on the loop: first the table's slot, then the
// descriptor, so that its number can't be found by anyone once it's reused.
func (c *Conn) closeLocked() {
	if c.reason == ReasonNone {
		c.endLocked(ReasonPeerClosed, "", nil)
	}
	s := c.shard
	fd := int(c.fd)
	if s.env.Wildcard {
		c.localAddrLocked() // it stays after the end
	}
	c.becomeLocked(Closed)
	c.closing = closeCompletions
	c.fd = -1
	s.r.AddLoad(-1)
	if c.flags.has(established) {
		s.gauges.lives.Observe(s.r.Clock() - c.since)
	}
	if c.flags.has(blocked) {
		s.gauges.blocked.Add(-1)
	}
	s.open.remove(c)
	reset := !c.reason.clean() && c.reason != ReasonLinger && !c.hasLastWordsLocked()
	if fd >= 0 {
		s.r.Deregister(fd)
	}
	if x := c.ext; x != nil {
		s.r.Disarm(&x.deadline.timer)
		c.endTimersLocked()
		if x.session != nil {
			x.session.end(c)
		}
	}
	if fd >= 0 {
		c.closeDescriptorLocked(fd, reset)
	}
	s.add(CountClosed0+Counter(c.reason), 1)
	c.openGatesLocked()
}

// openGatesLocked lets go of those who wait for our output, and of whom we wait for.
func (c *Conn) openGatesLocked() {
	x := c.ext
	if x == nil {
		return
	}
	x.unheld = nil
	old := c.setGateLocked(gateOff, nil)
	var watchers []*Conn
	if x.gate != nil {
		x.gate.high.Store(false)
		watchers, x.gate.watchers = x.gate.watchers, nil
	}
	c.mu.Unlock()
	old.unwatch(c)
	for _, w := range watchers {
		w.mu.Lock()
		w.finish()
	}
	c.mu.Lock()
}

// closingStepLocked makes the next call of the end: completions of what was sent,
// failures of what wasn't read or sent, the reset, the closure.
func (c *Conn) closingStepLocked() {
	s := c.shard
	told := c.flags.has(established)
	switch c.closing {
	case closeCompletions:
		if told && c.ext != nil && c.ext.done.Segments() > 0 {
			c.tellWrittenLocked()
			return
		}
		c.closing = closeReads
	case closeReads:
		if told && c.reason.servesReads() && c.shard.env.Memory == nil && (c.read.kind != readNone || c.failing() != nil) {
			c.failReadLocked()
			return
		}
		c.dropReadsLocked()
		if c.mustTellCanceledLocked() {
			c.tellCanceledLocked()
			return
		}
		if c.upgradingLocked() {
			c.changeOwnerLocked()
			return
		}
		c.closing = closeWrites
	case closeWrites:
		if told && (c.out.Segments() > 0 || c.failing() != nil) {
			c.failWriteLocked()
			return
		}
		c.out.Release(s.cache)
		c.closing = closeReset
	case closeReset:
		if !told && c.ext != nil && c.ext.dial != nil && !c.ext.dial.told {
			c.failedToConnectLocked()
			return
		}
		c.closing = closeClosed
		if told && c.reason.fromPeer() {
			err := c.causeLocked()
			c.leave()
			s.env.Consumer.Reset(c, err)
			c.enter()
		}
	case closeClosed:
		c.closing = closeDone
		c.consumeStartLocked()
		r, err := c.reason, c.causeLocked()
		c.leave()
		if told {
			c.log(slog.LevelDebug, "connection closed", func() []any {
				attrs := []any{"reason", r.String()}
				if err != nil {
					attrs = append(attrs, "error", err)
				}
				return attrs
			})
		}
		s.env.Consumer.Closed(c, r, told)
		c.enter()
	case closeNotBegun, closeDone:
	}
}

// failing is the entry about which MayContinue was asked and which wasn't told of yet.
func (c *Conn) failing() *buffers.Buffer {
	if c.ext == nil {
		return nil
	}
	return c.ext.failing
}

// failReadLocked answers one read with the cause.
func (c *Conn) failReadLocked() {
	b := c.failing()
	if b == nil {
		if b = c.partial; b == nil {
			b = c.shard.cache.Get(0)
		}
		c.partial = nil
		c.answeredLocked()
	}
	c.failLentLocked(b, Receiving, readFailed)
}

// failWriteLocked answers one write that wasn't (wholly) sent with the cause.
func (c *Conn) failWriteLocked() {
	b := c.failing()
	if b == nil {
		b = c.out.PopFront(c.shard.cache)
	}
	c.failLentLocked(b, Sending, writeFailed)
}

// failLentLocked asks about the first entry, although nothing can be continued here,
// and tells of each. Asking and telling are two steps, so that a panic in the first
// doesn't swallow the second.
func (c *Conn) failLentLocked(b *buffers.Buffer, dir Direction, asked flags) {
	s := c.shard
	x := c.extLocked()
	err := x.err
	if err == nil {
		err = ErrClosed
	}
	if !c.flags.has(asked) {
		c.flags.set(asked)
		x.failing = b
		c.leave()
		s.env.Consumer.MayContinue(c, b, err, dir)
		c.enter()
		return
	}
	x.failing = nil
	s.handOut(b)
	c.leave()
	if dir == Receiving {
		s.env.Consumer.ReadError(c, b, err)
	} else {
		s.env.Consumer.WriteError(c, b, err)
	}
	c.enter()
	s.takeBack()
}

// releaseHere is the very end of a connection that has outlived its loop, on the goroutine
// that had the last reference. A panic isn't that goroutine's.
func (c *Conn) releaseHere() {
	defer func() {
		if v := recover(); v != nil {
			c.logPanic(v, debug.Stack())
		}
	}()
	c.shard.env.Consumer.Released(c)
}

// releaseLocked is the very end.
func (c *Conn) releaseLocked() {
	c.becomeLocked(Released)
	c.leave()
	c.shard.env.Consumer.Released(c)
	c.enter()
}
