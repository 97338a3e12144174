package engine

import (
	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/sys"
	"golang.org/x/sys/unix"
)

const (
	// directSend is what a caller off the loop may send by itself.
	directSend = 64 << 10
	// inlineFlush is the output above which a callback's writes don't wait for its
	// end.
	inlineFlush = 256 << 10
	// entryCost is what one queued piece counts for against MaxPending beyond its
	// bytes, so that a million tiny ones are bounded too.
	entryCost = 64
)

// Send writes a copy of p; what can be sent at once isn't copied.
func (c *Conn) Send(p []byte) error {
	c.mu.Lock()
	if err := c.mayWriteLocked(len(p), 1); err != nil {
		c.finish()
		return err
	}
	k := c.callerCacheLocked()
	track := c.shard.env.Track
	sent := 0
	if c.mayDirectLocked() && len(p) > 0 {
		sent = c.sendDirectLocked(p)
	}
	if sent < len(p) || track || len(p) == 0 {
		c.out.AppendCopy(k, c.shard.env.Allocator, p[sent:], c.tagLocked(k), track)
		if kept := c.keptLocked(); kept != nil {
			kept.AppendCopy(k, c.shard.env.Allocator, p, false, true)
		}
		if sent > 0 && sent == len(p) {
			c.consumeLocked(k, 0) // it's done, whatever becomes of the connection now
		}
	}
	c.queuedLocked(k)
	return nil
}

// Write writes b's bytes as they are now; it takes a reference of its own.
func (c *Conn) Write(b *buffers.Buffer) error {
	n := b.Len() // panics here, before the lock, if b was released
	c.mu.Lock()
	if err := c.mayWriteLocked(n, 1); err != nil {
		c.finish()
		return err
	}
	k := c.callerCacheLocked()
	direct := c.mayDirectLocked()
	c.appendLocked(k, b)
	if direct {
		c.flushDirectLocked()
	}
	c.queuedLocked(k)
	return nil
}

// Writev writes several buffers as one: nothing comes between them. Each completes by
// itself.
func (c *Conn) Writev(bs ...*buffers.Buffer) error {
	n := 0
	for _, b := range bs {
		n += b.Len()
	}
	c.mu.Lock()
	if err := c.mayWriteLocked(n, len(bs)); err != nil {
		c.finish()
		return err
	}
	k := c.callerCacheLocked()
	direct := c.mayDirectLocked()
	for _, b := range bs {
		c.appendLocked(k, b)
	}
	if direct {
		c.flushDirectLocked()
	}
	c.queuedLocked(k)
	return nil
}

func (c *Conn) mayWriteLocked(n, entries int) error {
	switch {
	case c.unbornLocked():
		return ErrMode
	case c.flags.has(finWanted) && c.state == Open && c.reason.clean():
		return ErrWriteClosed
	}
	if err := c.usableLocked(); err != nil {
		return err
	}
	limit := c.flow.MaxPending
	bytes, queued := c.out.Len(), c.out.Segments()
	if x := c.ext; x != nil { // what waits to be reported takes memory too
		bytes += x.done.Len()
		queued += x.done.Segments() + len(x.urgent)
	}
	if n > limit-bytes || entries > limit/entryCost+1-queued {
		if n <= limit && entries <= limit/entryCost+1 { // otherwise there'll never be room
			c.flags.set(refused)
		}
		return ErrOutputFull
	}
	return nil
}

// wouldBlock tells the failures that pass from those that end a connection.
func wouldBlock(errno sys.Errno) bool {
	return errno == unix.EAGAIN || errno == unix.ENOBUFS || errno == unix.ENOMEM
}

// callerCacheLocked is the loop's free list if the caller is the loop, or nil.
func (c *Conn) callerCacheLocked() *buffers.Cache {
	if c.shard.r.OnLoop() {
		return c.shard.cache
	}
	return nil
}

// tagLocked tells whether a write is made by the connection's own Read callback, which
// is what its reads wait for.
func (c *Conn) tagLocked(k *buffers.Cache) bool { return k != nil && c.flags.has(inRead) }

// mayDirectLocked: outside a dispatch, with nothing queued, the caller sends himself.
func (c *Conn) mayDirectLocked() bool {
	return c.flags&(dispatching|writable|established) == writable|established &&
		c.out.Segments() == 0 && !c.upgradingLocked() && (c.ext == nil || c.ext.session == nil && len(c.ext.urgent) == 0)
}

// appendLocked queues b. While output is blocked, what would keep a mostly empty block
// waiting is copied instead.
func (c *Conn) appendLocked(k *buffers.Cache, b *buffers.Buffer) {
	tag := c.tagLocked(k)
	if c.flags.has(writable) || b.Len() > b.Cap()/2 {
		c.appendRefLocked(k, b, tag)
		return
	}
	if c.shard.env.Track {
		small := c.shard.env.Allocator.Copy(b.Bytes())
		small.SetUserData(b.UserData())
		c.appendRefLocked(k, small, tag)
		small.Release()
		return
	}
	c.out.AppendCopy(k, c.shard.env.Allocator, b.Bytes(), tag, false)
}

func (c *Conn) appendRefLocked(k *buffers.Cache, b *buffers.Buffer, tag bool) {
	c.out.Append(k, b, tag)
	if kept := c.keptLocked(); kept != nil {
		kept.Append(k, b, false)
	}
}

// sendDirectLocked sends what it can of p from the caller's goroutine.
func (c *Conn) sendDirectLocked(p []byte) int {
	n, errno := c.shard.kernel.Send(int(c.fd), p[:min(len(p), directSend)])
	switch {
	case wouldBlock(errno):
		c.flags.clear(writable)
		return 0
	case errno != 0:
		c.failLocked("send", errno) // p is queued, and its failure reported
		return 0
	}
	c.sentOffLoopLocked(n)
	return n
}

// flushDirectLocked sends the front of the queue from the caller's goroutine.
func (c *Conn) flushDirectLocked() {
	for left := directSend; left > 0 && c.out.Len() > 0 && c.flags.has(writable) && c.reason.clean(); {
		p := c.out.Front()
		n := 0
		if len(p) > 0 {
			if n = c.sendDirectLocked(p[:min(len(p), left)]); n == 0 {
				return
			}
		}
		c.consumeLocked(nil, n)
		left -= n
	}
}

func (c *Conn) sentOffLoopLocked(n int) {
	c.offLoop.bytes += uint64(n)
	c.offLoop.writes++
	c.movedLocked()
}

// queuedLocked ends a write: it sends inline what's too much to wait, has it taken
// note of, and unlocks.
func (c *Conn) queuedLocked(k *buffers.Cache) {
	if c.flags.has(dispatching) && k != nil {
		for c.out.Len() > inlineFlush && c.flags.has(writable|established) && c.reason.clean() && c.canFlushLocked() {
			c.flushLocked(&c.shard.turn)
		}
	}
	if !c.flags.has(dispatching) {
		c.reportOutputLocked()
	}
	if c.ext != nil && c.ext.gate != nil && c.out.Len() > c.flow.High {
		c.ext.gate.high.Store(true)
	}
	c.finish()
}

// hasOutputLocked reports whether anything is left to send.
func (c *Conn) hasOutputLocked() bool {
	if c.upgradingLocked() && c.state != Open {
		return c.beforeUpgradeLocked() // the rest was for a session that there won't be
	}
	x := c.ext
	if c.out.Segments() > 0 && (c.state == Open || x == nil || x.session == nil || x.session.ready) {
		return true // otherwise there's nobody to receive it, and there won't be
	}
	return x != nil && (len(x.urgent) > 0 || x.session != nil && x.session.hasOutput())
}

// canFlushLocked reports whether a flush would have something to send: what's written
// before a session is ready waits for that.
func (c *Conn) canFlushLocked() bool {
	if c.upgradingLocked() {
		return c.beforeUpgradeLocked()
	}
	if x := c.ext; x != nil && x.session != nil {
		return x.session.hasOutput() || x.session.ready && !x.session.lastWords && c.out.Segments() > 0
	}
	return c.hasOutputLocked()
}

// flushLocked makes one call to send what's queued.
func (c *Conn) flushLocked(t *turn) {
	if c.ext != nil && c.ext.session != nil {
		c.flushSessionLocked(t)
		return
	}
	limit := sys.MaxIO
	if ahead, waiting := c.urgentLocked(); waiting {
		if ahead == 0 {
			c.flushOOBLocked()
			return
		}
		limit = min(limit, ahead)
	}
	if c.upgradingLocked() {
		limit = min(limit, c.ext.upgrade.ahead)
	}
	n, ok := c.sendChainLocked(&c.out, limit)
	if !ok {
		return
	}
	c.consumeLocked(c.shard.cache, n)
	c.shard.add(CountSentBytes, uint64(n))
	t.sent += n
}

// sendChainLocked sends the front of q and returns how much; it doesn't take it off.
func (c *Conn) sendChainLocked(q *buffers.Chain, limit int) (int, bool) {
	s := c.shard
	var n int
	var errno sys.Errno
	switch {
	case q.Len() == 0:
		return 0, true // nothing but empty writes
	case q.Segments() == 1:
		p := q.Front()
		n, errno = s.kernel.Send(int(c.fd), p[:min(len(p), limit)])
	default:
		v := q.Vectors(s.vectors[:0], limit)
		n, errno = s.kernel.Sendv(int(c.fd), v)
		clear(v)
	}
	switch {
	case errno == 0:
		s.add(CountWrites, 1)
		c.movedLocked()
		return n, true
	case wouldBlock(errno):
		// Without memory there may be no later edge: the write deadline tries
		// again before it gives up.
		c.blockedLocked()
	default:
		c.failLocked("send", errno)
	}
	return 0, false
}

// consumeLocked takes n sent bytes off the queue; completions wait in done.
func (c *Conn) consumeLocked(k *buffers.Cache, n int) {
	if c.shard.env.Track {
		c.out.MoveFront(k, n, &c.extLocked().done)
	} else {
		c.out.Consume(k, n)
	}
	if x := c.ext; x != nil {
		for i := range x.urgent {
			x.urgent[i].ahead -= n
		}
		if x.upgrade != nil {
			x.upgrade.ahead -= n
		}
	}
	c.progressLocked(n)
}

// tellWrittenLocked tells of one completed write.
func (c *Conn) tellWrittenLocked() {
	s := c.shard
	b := c.ext.done.PopFront(s.cache)
	s.handOut(b)
	c.leave()
	s.env.Consumer.Written(c, b)
	c.enter()
	s.takeBack()
}
