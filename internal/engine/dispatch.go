package engine

import (
	"fmt"
	"log/slog"

	"github.com/sluice-net/sluice/internal/reactor"
)

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

// The budget of one dispatch, beside Mux.TurnBudget.
const (
	turnOperations = 64
	flushAt        = 64 << 10 // output that isn't kept waiting for further reads
)

// turn counts what a dispatch has done.
type turn struct {
	operations, received, sent int
	heard                      bool // input was looked at
}

func (t *turn) over(budget int) bool {
	return t.operations >= turnOperations || t.received >= budget || t.sent >= budget
}

// OnEvent implements reactor.Handler.
func (c *Conn) OnEvent(ev reactor.Events) {
	if c.mu.TryLock() {
		c.absorbLocked(ev)
		c.dispatchLocked()
		return
	}
	// Somebody holds the lock. The events go where he'll look when he unlocks;
	// he may have done so meanwhile.
	c.pending.Or(uint32(ev))
	if c.mu.TryLock() {
		c.dispatchLocked()
	}
}

// RunTask implements reactor.Task: a kick.
func (c *Conn) RunTask() {
	c.mu.Lock()
	c.flags.clear(kicked)
	c.dispatchLocked()
}

// TaskLink implements reactor.Task.
func (c *Conn) TaskLink() *reactor.Link { return &c.link }

// OnStop implements reactor.Handler: the loop ends, and kicks are refused already.
func (c *Conn) OnStop() {
	c.mu.Lock()
	c.endLocked(ReasonLocalAbort, "stop", reactor.ErrStopped)
	if c.ext != nil && c.ext.session != nil {
		c.ext.session.ended = true // nobody waits for its handshake any more
	}
	c.dispatchLocked()
}

// OnPanic implements reactor.Handler and Task: a callback panicked, and its connection
// ends for it.
func (c *Conn) OnPanic(value any, stack []byte) {
	if !c.calling {
		panic(fmt.Sprintf("sluice: a bug in the engine: %v\n%s", value, stack))
	}
	c.calling = false
	c.shard.endCall()
	c.shard.takeBack()
	c.shard.add(CountPanics, 1)
	c.logPanic(value, stack)
	c.mu.Lock()
	c.flags.clear(dispatching | inRead | posted)
	c.consumeStartLocked()
	if c.state != Closed && c.state != Released {
		c.endLocked(ReasonPanic, "callback", fmt.Errorf("panic: %v", value))
	}
	posted := c.kickLocked()
	c.unlock()
	if !posted {
		// The loop is ending and takes no posts. Each step of the end is taken
		// before its callback runs, so this comes to an end whatever panics.
		c.shard.r.Call(c)
	}
}

func (c *Conn) logPanic(value any, stack []byte) {
	c.log(slog.LevelError, "a callback panicked; its connection is closed", func() []any {
		return []any{"panic", fmt.Sprint(value), "stack", string(stack)}
	})
}

// dispatchLocked does what there is to do, within a budget, and unlocks.
func (c *Conn) dispatchLocked() {
	c.flags.set(dispatching)
	t := &c.shard.turn
	*t = turn{}
	for {
		if ev := c.pending.Load(); ev != 0 {
			c.absorbLocked(reactor.Events(c.pending.Swap(0)))
		}
		w := c.nextLocked()
		if w == nothing && !c.flags.has(posted) {
			c.flags.clear(dispatching)
			break
		}
		if w == nothing || t.over(c.shard.budget) {
			if c.yieldLocked(t) {
				break
			}
			continue
		}
		t.operations++
		if w == doRead || w == doCut || w == doEOF || w == doProbe {
			t.heard = true
		}
		c.do(w, t)
	}
	c.foldLocked()
	c.mu.Unlock()
	c.shard.publish()
}

// yieldLocked ends a dispatch that isn't at its end: others come first, and what's left
// is for another turn. What was written goes out now: a peer that keeps sending must
// not keep the answers back. It returns false if there won't be another turn, because
// the loop is ending.
func (c *Conn) yieldLocked(t *turn) bool {
	if (c.state == Open || c.state == Draining) && c.flags.has(writable) && c.reason.clean() && c.canFlushLocked() {
		c.flushLocked(t)
	}
	// One who writes from completions for ever must hear the peer, and one whose peer
	// never stops sending must have his completions: they take turns.
	c.flags.clear(dispatching | posted | hearFirst)
	if !t.heard {
		c.flags.set(hearFirst)
	}
	if c.nextLocked() == nothing || c.kickLocked() {
		return true
	}
	c.flags.set(dispatching)
	*t = turn{}
	return false
}

// absorbLocked makes flags of events. Hang-ups and errors end nothing: they're reasons
// to read, to write and to ask.
func (c *Conn) absorbLocked(ev reactor.Events) {
	if c.state == Connecting {
		c.flags.set(connectDue) // and what else it means is good for the time after
	}
	if ev&reactor.In != 0 {
		c.flags.set(readable)
	}
	if ev&reactor.Out != 0 {
		c.flags.set(writable)
	}
	if ev&(reactor.Pri|reactor.RdHup|reactor.Hup|reactor.Err) == 0 {
		return
	}
	if ev&reactor.Pri != 0 {
		c.flags.set(readable | hadPri | oobDue)
	}
	if ev&(reactor.RdHup|reactor.Hup) != 0 {
		c.flags.set(readable | hadHup)
		c.flags.clear(probed)
	}
	if ev&(reactor.Hup|reactor.Err) != 0 {
		c.flags.set(readable | writable)
	}
	if ev&reactor.Err != 0 {
		c.flags.set(errDue)
	}
}

// nextLocked is the predicate: what's to be done next, or nothing. It's asked between
// the steps of a dispatch, before one may end, and by whoever changed something from
// outside.
func (c *Conn) nextLocked() work {
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

func (c *Conn) do(w work, t *turn) {
	switch w {
	case nothing:
	case doOpen:
		c.openLocked()
	case doConnect:
		c.connectLocked()
	case doError:
		c.socketErrorLocked()
	case doPosts:
		c.runPostLocked()
	case doOOB:
		c.receiveOOBLocked()
	case doWritten:
		c.tellWrittenLocked()
	case doUpgrade:
		c.upgradeLocked()
	case doUpgraded:
		c.upgradedLocked()
	case doSession:
		c.runSessionLocked(t)
	case doEstablish:
		c.establishLocked()
	case doFlush:
		c.flushLocked(t)
	case doRead:
		c.serveReadLocked(t)
	case doCanceled:
		c.tellCanceledLocked()
	case doExpire:
		c.expireReadLocked()
	case doCut:
		c.cutReadLocked()
	case doEOF:
		c.tellEOFLocked()
	case doProbe:
		c.probeLocked()
	case doDiscard:
		c.discardLocked(t)
	case doFIN:
		c.finishSendLocked()
	case doBlocked:
		c.flags.set(blocked)
		c.shard.gauges.blocked.Add(1)
		c.leave()
		c.shard.env.Consumer.WriteBlocked(c)
		c.enter()
	case doReady:
		c.flags.clear(blocked | refused)
		c.shard.gauges.blocked.Add(-1)
		c.leave()
		c.shard.env.Consumer.WriteReady(c)
		c.enter()
	case doUngate:
		c.ungateLocked()
	case doUnhold:
		c.unholdLocked()
	case doArm:
		c.armLocked()
	case doTimers:
		c.setTimersLocked()
	case doShutdown:
		c.drainLocked(ReasonUnreferenced)
	case doClose:
		c.closeLocked()
	case doClosing:
		c.closingStepLocked()
	case doRelease:
		c.releaseLocked()
	}
}

// leave unlocks for a call of the consumer; enter locks again after it.
func (c *Conn) leave() {
	c.calling = true
	c.mu.Unlock()
	c.shard.beginCall()
}

func (c *Conn) enter() {
	c.shard.endCall()
	c.mu.Lock()
	c.calling = false
}

// kickLocked posts the connection to its loop, unless the loop is in it or on its way.
// It returns false if the loop has ended.
func (c *Conn) kickLocked() bool {
	if c.flags.hasAny(dispatching | kicked) {
		return true
	}
	c.flags.set(kicked)
	if c.shard.r.Post(c) != nil {
		c.flags.clear(kicked)
		return false
	}
	return true
}

// finish ends a change from outside a dispatch: it kicks if the change made work, and
// unlocks.
func (c *Conn) finish() {
	if !c.flags.hasAny(dispatching|kicked) && c.nextLocked() != nothing && !c.kickLocked() {
		// The loop has ended and closed everything; the last reference goes here.
		if c.nextLocked() == doRelease {
			c.becomeLocked(Released)
			c.mu.Unlock()
			c.releaseHere()
			return
		}
	}
	c.unlock()
}

// unlock is how everybody but the loop in a dispatch lets go of the lock: events that
// came meanwhile were left to us.
func (c *Conn) unlock() {
	c.mu.Unlock()
	if c.pending.Load() == 0 || !c.mu.TryLock() {
		return // whoever holds it now will look in his turn
	}
	c.kickLocked()
	c.mu.Unlock()
}

// foldLocked counts what was sent off the loop, and what's left to be sent.
func (c *Conn) foldLocked() {
	c.reportOutputLocked()
	if c.offLoop.writes == 0 {
		return
	}
	c.shard.add(CountSentBytes, c.offLoop.bytes)
	c.shard.add(CountWrites, uint64(c.offLoop.writes))
	c.offLoop.bytes, c.offLoop.writes = 0, 0
}
