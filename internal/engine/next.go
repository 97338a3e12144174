package engine

// work is what a connection needs done on its loop.
type work uint8

const (
	nothing     work = iota
	doOpen           // begin life: register, establish
	doConnect        // get on with an outgoing connection
	doError          // ask for SO_ERROR
	doPosts          // run what was posted
	doOOB            // fetch the out-of-band byte
	doWritten        // tell of a completed write
	doUpgrade        // begin the session that an open connection is to get
	doUpgraded       // tell that it's ready
	doSession        // let the session have what there is
	doEstablish      // the session's handshake is over
	doFlush          // send
	doRead           // serve the oldest read
	doCanceled       // tell of a canceled read
	doExpire         // the oldest read has waited for too long
	doCut            // the end came in the middle of a ReadFull
	doEOF            // tell of the peer's end
	doProbe          // look whether the peer's end is next
	doDiscard        // throw input away while draining
	doFIN            // end our side
	doBlocked        // tell that output is above High
	doReady          // … and that it's down at Low
	doUngate         // let those read who waited for our output
	doUnhold         // let one end that our pending reads kept open
	doArm            // set the timer
	doTimers         // file the user's timers
	doShutdown       // nobody wants it any more
	doClose          // close the descriptor
	doClosing        // the next step of the end's callbacks
	doRelease        // nobody holds it any more
)

// nextLocked is the predicate: what's to be done next, or nothing. It's asked between
// the steps of a dispatch, before one may end, and by whoever changed something from
// outside.
func (c *Conn) nextLocked() work {
	if c.plainLocked() {
		return c.nextOfPlainLocked()
	}
	return c.nextOfAnyLocked()
}

// uncommon flags are those that nextOfAnyLocked looks at and nextOfPlainLocked doesn't.
const uncommon = errDue | oobDue | hearFirst | finWanted | finSent | eof | hadHup | blocked | refused

// plainLocked reports whether a connection is as nearly all are nearly always. Most
// questions then have one answer, and asking them would be a third of what the engine
// spends on an echo.
func (c *Conn) plainLocked() bool {
	return c.state == Open && c.ext == nil && c.flags&(established|writable|uncommon) == established|writable && c.reason.clean()
}

// nextOfPlainLocked is nextLocked for a plain connection. A test compares it with nextOfAnyLocked.
func (c *Conn) nextOfPlainLocked() work {
	mayRead := c.canReadLocked()
	switch {
	case c.out.Segments() > 0 && (!mayRead || c.out.Len() >= flushAt):
		return doFlush
	case mayRead:
		return doRead
	case c.mustTimeReadLocked():
		return doArm
	case c.refs.Load() == 0 && c.read.kind == readNone:
		return doShutdown
	default:
		return nothing
	}
}

// nextOfAnyLocked is nextLocked for any connection.
func (c *Conn) nextOfAnyLocked() work {
	switch c.state {
	case Idle:
		return doOpen
	case Connecting:
		return c.nextOfConnectLocked()
	case Open, Draining:
	case Closed:
		switch {
		case c.closing != closeDone:
			return doClosing
		case c.refs.Load() == 0:
			return doRelease
		default:
			return nothing
		}
	case ReadClosed, WriteClosed, Released:
		return nothing
	}
	f := c.flags
	x := c.ext
	if f.has(errDue) {
		return doError
	}
	if x != nil && len(x.posts) > 0 && f&(established|posted) == established {
		return doPosts
	}
	if !c.reason.clean() {
		return c.nextOfFailureLocked()
	}
	if c.state == Open && f.has(oobDue|established) && (x == nil || x.session == nil) {
		return doOOB // before a read passes the mark, and the kernel drops it
	}
	mayRead := c.canReadLocked()
	if x != nil && x.session != nil && x.session.upgrade {
		mayRead = false // first it's told that what's read is the session's
	}
	if f.has(hearFirst) && c.state == Open {
		if mayRead {
			return doRead
		}
		if w := c.nextOfInputLocked(); w != nothing {
			return w
		}
	}
	if x != nil {
		if w := c.nextOfExtLocked(); w != nothing {
			return w
		}
	}
	if f.has(writable) && (!mayRead || c.out.Len() >= flushAt) && c.canFlushLocked() {
		return doFlush
	}
	// A peer that keeps sending must not keep these from happening.
	if f.has(finWanted) && !f.has(finSent) && !c.hasOutputLocked() && !c.handshakingLocked() {
		return doFIN
	}
	if w := c.nextOfFlowLocked(); w != nothing {
		return w
	}
	if c.mustArmLocked() || !mayRead && c.mustTimeReadLocked() {
		return doArm
	}
	if mayRead {
		return doRead
	}
	if c.state == Draining {
		if f.has(readable) && !f.has(eof) {
			return doDiscard
		}
	} else if w := c.nextOfInputLocked(); w != nothing {
		return w
	}
	if x != nil && x.deadline.readOver {
		return doExpire // behind whatever there was to answer it
	}
	return c.nextOfEndLocked()
}

// nextOfFailureLocked is the part of nextLocked for a connection whose end is decided. What
// the peer sent before is still good.
func (c *Conn) nextOfFailureLocked() work {
	x := c.ext
	if c.reason.servesReads() && c.state == Open {
		if x != nil && x.session != nil && x.session.ready {
			switch {
			case !c.flags.has(established) && c.hasPlaintextLocked():
				return doEstablish
			case c.flags.has(established) && x.session.upgrade:
				return doUpgraded
			}
		}
		if c.handshakingLocked() && !x.session.ended && !c.flags.has(aborted) {
			if c.sessionHasWorkLocked() {
				return doSession // its peer may have said why
			}
			if x.session.fin {
				return nothing // it's still thinking about that, within its time
			}
		}
		if c.read.kind != readNone {
			if c.canReadLocked() {
				return doRead
			}
			if x != nil && x.session != nil && c.sessionHasWorkLocked() {
				return doSession
			}
		}
	}
	if c.hasPostsLocked() {
		return nothing // they came in this dispatch, and run in the next
	}
	if c.hasLastWordsLocked() {
		return c.nextOfLastWordsLocked()
	}
	return doClose
}

// nextOfInputLocked is the part of nextLocked about the end of the input.
func (c *Conn) nextOfInputLocked() work {
	f := c.flags
	session := c.ext != nil && (c.ext.session != nil || c.ext.upgrade != nil)
	switch {
	case c.upgradingLocked() || c.handshakingLocked():
		return nothing // the session finds it
	case f.has(eof|established) && !f.has(eofTold) && !c.hasUnreadLocked():
		if c.partial != nil && c.partial.Len() > 0 {
			return doCut
		}
		return doEOF
	case f.has(hadHup|readable) && !f.hasAny(eof|probed) && c.read.kind == readNone && !session:
		return doProbe
	default:
		return nothing
	}
}

// nextOfExtLocked is the part of nextLocked for connections with an extension.
func (c *Conn) nextOfExtLocked() work {
	x := c.ext
	if len(x.timers) > 0 {
		return doTimers
	}
	if x.done.Segments() > 0 {
		return doWritten
	}
	if c.mustTellCanceledLocked() {
		return doCanceled
	}
	if x.unheld != nil {
		return doUnhold
	}
	if s := x.session; s != nil {
		if c.sessionHasWorkLocked() {
			return doSession
		}
		switch {
		case s.ready && !c.flags.has(established):
			return doEstablish
		case s.ready && s.upgrade:
			return doUpgraded
		}
	}
	if x.upgrade != nil && !c.beforeUpgradeLocked() && c.state == Open {
		return doUpgrade
	}
	return nothing
}

// nextOfEndLocked tells how an open connection may come to its end.
func (c *Conn) nextOfEndLocked() work {
	if c.hasOutputLocked() {
		return nothing
	}
	if c.flags.has(eof|finSent) && !c.hasUnreadLocked() { // both halves are closed and flushed
		switch {
		case !c.hasPostsLocked():
			return doClose
		case c.state == Open:
			return doShutdown // no more of them
		default:
			return nothing
		}
	}
	if c.state == Open && c.flags.has(established) && c.unwantedLocked() {
		return doShutdown
	}
	return nothing
}

// unwantedLocked is the seed's rule: nobody refers to the connection and nothing is
// pending on it. (Output and completions were ruled out before.)
func (c *Conn) unwantedLocked() bool {
	if c.refs.Load() != 0 || c.read.kind != readNone || c.upgradingLocked() || c.handshakingLocked() {
		return false
	}
	return !c.hasPostsLocked() && (c.ext == nil || c.ext.gate == nil || c.ext.gate.readers.Load() == 0)
}

// hasPostsLocked reports whether posts that were accepted wait to be run, which they must.
func (c *Conn) hasPostsLocked() bool {
	return c.ext != nil && len(c.ext.posts) > 0 && c.flags.has(established)
}
