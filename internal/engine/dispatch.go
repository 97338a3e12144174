package engine

import (
	"fmt"
	"log/slog"

	"github.com/sluice-net/sluice/internal/reactor"
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
		if w == doRead {
			t.heard = true
			c.serveReadLocked(t)
		} else if w == doFlush {
			c.flushLocked(t)
		} else { // the others don't share their indirect jump with what nearly all work is
			c.do(w, t)
		}
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

func (c *Conn) do(w work, t *turn) {
	switch w {
	case nothing, doRead, doFlush: // dispatchLocked's
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
	case doCanceled:
		c.tellCanceledLocked()
	case doExpire:
		c.expireReadLocked()
	case doCut:
		t.heard = true
		c.cutReadLocked()
	case doEOF:
		t.heard = true
		c.tellEOFLocked()
	case doProbe:
		t.heard = true
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
