package engine

import (
	"math"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/sys"
	"golang.org/x/sys/unix"
)

// readOp is a read that was asked for.
type readOp struct {
	mem  *byte // readMemory, readSome: where the bytes go
	need int32 // all but readChunk: how many
	kind readKind
}

type readKind uint8

const (
	readNone readKind = iota
	readChunk
	readFull
	readMemory // Recv
	readSome   // Recv, partial
)

// Read asks for whatever comes next: one pooled chunk of at least one byte. The
// consumer's Read answers it. Reads are served in order.
func (c *Conn) Read() error { return c.askRead(readOp{kind: readChunk}) }

// ReadFull asks for exactly n bytes, which may be 0 and at most Flow.MaxRead.
func (c *Conn) ReadFull(n int) error {
	if n < 0 || n > math.MaxInt32 {
		return ErrTooLarge
	}
	return c.askRead(readOp{kind: readFull, need: int32(n)})
}

func (c *Conn) askRead(op readOp) error {
	c.mu.Lock()
	if err := c.mayAskReadLocked(op); err != nil {
		c.unlock()
		return err
	}
	if c.read.kind == readNone {
		c.read = op
	} else {
		x := c.extLocked()
		x.reads = append(x.reads, op)
	}
	if c.ext != nil {
		c.holdGateLocked()
	}
	c.finish()
	return nil
}

func (c *Conn) mayAskReadLocked(op readOp) error {
	switch {
	case c.reason.servesReads() && c.state == Open && !c.flags.has(aborted):
		// The peer is gone, but what it sent before may be asked for.
	case c.unbornLocked():
		return ErrMode
	default:
		if err := c.usableLocked(); err != nil {
			return err
		}
	}
	if c.flags.has(eofTold) || c.flags.has(eof) && !c.hasUnreadLocked() {
		return ErrReadClosed
	}
	if op.kind == readFull && int(op.need) > c.flow.MaxRead {
		return ErrTooLarge
	}
	return nil
}

// answeredLocked takes the oldest read off.
func (c *Conn) answeredLocked() {
	c.read = readOp{}
	c.flags.clear(readTimed)
	x := c.ext
	if x == nil {
		return
	}
	x.deadline.readOver = false
	if len(x.reads) > 0 {
		c.read = x.reads[0]
		x.reads = x.reads[1:]
		if len(x.reads) == 0 {
			x.reads = nil
		}
	}
}

// dropReadsLocked forgets all reads and what they have so far; whoever gave memory of
// his own is told.
func (c *Conn) dropReadsLocked() {
	if c.shard.env.Memory != nil {
		c.cancelReadsLocked()
		c.ext.carry = nil
		return
	}
	c.read = readOp{}
	c.flags.clear(readTimed)
	if c.ext != nil {
		c.ext.reads, c.ext.canceled = nil, nil
		c.ext.deadline.readOver = false
	}
	if c.partial != nil {
		c.partial.Release()
		c.partial = nil
	}
	if c.ext != nil {
		c.holdGateLocked()
	}
}

// canReadLocked reports whether the oldest read may be tried now.
func (c *Conn) canReadLocked() bool {
	switch c.read.kind {
	case readNone:
		return false
	case readFull, readMemory, readSome:
		if c.read.need == 0 {
			return c.flags.has(established)
		}
	case readChunk:
	}
	if c.state != Open || !c.flags.has(established) || c.upgradingLocked() {
		return false
	}
	if x := c.ext; x != nil && (x.session != nil || len(x.carry) > 0) {
		return c.hasUnreadLocked() && !c.suspendedLocked()
	}
	return c.flags&(readable|eof) == readable && !c.suspendedLocked()
}

// serveReadLocked serves the oldest read, or learns that it can't be served now.
func (c *Conn) serveReadLocked(t *turn) {
	switch c.read.kind {
	case readNone:
	case readChunk:
		c.serveChunkLocked(t)
	case readFull:
		c.serveFullLocked(t)
	case readMemory, readSome:
		c.serveMemoryLocked(t)
	}
}

func (c *Conn) serveChunkLocked(t *turn) {
	if c.ext != nil && c.ext.session != nil {
		c.deliverLocked(c.ext.session.plain.PopData(c.shard.cache))
		return
	}
	size := 1 << c.chunk
	b := c.shard.cache.Get(size)
	n := c.receiveLocked(b.Reserve(size), t)
	if n == 0 {
		c.shard.cache.Release(b)
		return
	}
	b.Commit(n)
	switch {
	case n == size:
		c.chunk = min(c.chunk+2, maxChunk)
	case n < size/4:
		c.chunk = max(c.chunk-1, minChunk)
	}
	c.deliverLocked(b)
}

// deliverLocked answers the oldest read with b, which it takes over.
func (c *Conn) deliverLocked(b *buffers.Buffer) {
	s := c.shard
	c.answeredLocked()
	c.flags.set(inRead)
	s.add(CountReads, 1)
	s.handOut(b)
	c.leave()
	s.env.Consumer.Read(c, b)
	c.enter()
	s.takeBack()
	c.flags.clear(inRead)
	if c.ext != nil {
		c.holdGateLocked()
	}
}

func (c *Conn) serveFullLocked(t *turn) {
	need := int(c.read.need)
	if c.partial == nil {
		c.partial = c.shard.cache.Get(min(need, 1<<initialChunk))
	}
	b := c.partial
	if have := b.Len(); have < need {
		// Memory grows with what has come, never with what was asked for.
		room := min(need-have, max(b.Cap()-have, have))
		var n int
		if c.ext != nil && c.ext.session != nil {
			n = c.takePlaintextLocked(b.Reserve(room))
		} else {
			n = c.receiveLocked(b.Reserve(room), t)
		}
		b.Commit(n)
		if b.Len() == 0 { // waiting needs no memory
			c.shard.cache.Release(b)
			c.partial = nil
			return
		}
		if b.Len() < need {
			return
		}
	}
	c.partial = nil
	c.deliverLocked(b)
}

// receiveLocked receives from the socket and notes what that tells: bytes, EAGAIN,
// the end, or a failure. The last three give 0.
func (c *Conn) receiveLocked(p []byte, t *turn) int {
	p = p[:min(len(p), sys.MaxIO)] // the kernel is asked for no more, so that's no short read
	n, errno := c.shard.kernel.Recv(int(c.fd), p)
	switch {
	case errno == unix.EAGAIN:
		c.emptyLocked()
		return 0
	case errno != 0:
		c.failLocked("recv", errno)
		// What the kernel says twice, it said once: nothing is left to read.
		c.flags.clear(readable)
		return 0
	case n == 0:
		c.flags.set(eof)
		c.flags.clear(readable)
		return 0
	}
	if n < len(p) && c.drainedByShortReadLocked() {
		c.flags.clear(readable)
	}
	c.flags.clear(probed)
	c.movedLocked()
	if c.ext == nil || c.ext.session == nil { // a session's bytes count when they're opened
		c.shard.add(CountReceivedBytes, uint64(n))
	}
	t.received += n
	return n
}

// emptyLocked notes that the socket has nothing now: no edge was missed, the next is
// to come. A connection that was sent out-of-band data has to ask once more: at its mark
// a pending signal makes EAGAIN of what could be read, and Go sends signals (SIGURG, of
// all) to threads that it wants back.
func (c *Conn) emptyLocked() {
	if c.categoryLocked() != CategoryTCP || !c.flags.has(hadPri) || !c.shard.kernel.Readable(int(c.fd)) {
		c.flags.clear(readable)
	}
}

// drainedByShortReadLocked: a short read means drained only for TCP on epoll, and only
// while neither out-of-band data nor a hang-up was announced. An out-of-band mark, or
// ancillary data on a Unix socket, cuts a read short with bytes behind it, and no
// further edge comes for those.
func (c *Conn) drainedByShortReadLocked() bool {
	return shortReadDrains && c.categoryLocked() == CategoryTCP && !c.flags.hasAny(hadPri|hadHup)
}

// probeLocked looks behind a hang-up when nobody reads: the end is told at once, unread
// bytes postpone it.
func (c *Conn) probeLocked() {
	var p [1]byte
	n, errno := c.shard.kernel.Peek(int(c.fd), p[:])
	switch {
	case errno == unix.EAGAIN:
		c.emptyLocked()
	case errno != 0:
		c.failLocked("recv", errno)
	case n == 0:
		c.flags.set(eof)
		c.flags.clear(readable)
	default:
		c.flags.set(probed)
	}
}

// cutReadLocked: the end came in the middle of a ReadFull.
func (c *Conn) cutReadLocked() {
	if !c.disappointLocked(errUnexpectedEOF) {
		c.flags.set(readFailed)
	}
}

// expireReadLocked: the oldest read has waited for too long.
func (c *Conn) expireReadLocked() {
	if c.shard.env.Memory == nil && c.disappointLocked(errReadTimeout) {
		return
	}
	if c.state == Open && c.reason.clean() {
		c.drainLocked(ReasonReadTimeout)
	}
}

// disappointLocked answers the oldest read with what it has and an error, and reports
// whether the connection is to go on nevertheless.
func (c *Conn) disappointLocked(err error) (survives bool) {
	s := c.shard
	b := c.partial
	if b == nil {
		b = s.cache.Get(0)
	}
	c.partial = nil
	c.answeredLocked()
	s.handOut(b)
	c.leave()
	survives = s.env.Consumer.MayContinue(c, b, err, Receiving)
	if !survives {
		s.env.Consumer.ReadError(c, b, err)
	}
	c.enter()
	s.takeBack()
	if c.ext != nil {
		c.holdGateLocked()
	}
	return survives
}

// tellEOFLocked tells of the peer's end, which answers all reads.
func (c *Conn) tellEOFLocked() {
	c.flags.set(eofTold)
	c.dropReadsLocked()
	c.leave()
	c.shard.env.Consumer.ClientClose(c)
	c.enter()
	if c.flags.has(readFailed) && c.state == Open && c.reason.clean() {
		c.drainLocked(ReasonPeerClosed)
	}
}

// discardLocked throws input away while draining: a peer that doesn't read before its
// own writes are done would otherwise keep our output waiting.
func (c *Conn) discardLocked(t *turn) {
	n, errno := c.shard.kernel.Recv(int(c.fd), c.shard.discard())
	switch {
	case errno == unix.EAGAIN:
		c.emptyLocked()
	case errno != 0:
		c.failLocked("recv", errno)
	case n == 0:
		c.flags.set(eof)
	default:
		t.received += n
	}
}

// AtMark reports whether the next byte to be read is the one behind the out-of-band
// mark (sockatmark). It tells most inside the consumer's Read.
func (c *Conn) AtMark() (bool, error) {
	c.mu.Lock()
	defer c.unlock()
	if c.fd < 0 {
		return false, ErrClosed
	}
	at, errno := c.shard.kernel.AtMark(int(c.fd))
	if errno != 0 {
		return false, &Error{Op: "sockatmark", ID: c.id, Addr: c.remoteLocked(), Err: errno}
	}
	return at, nil
}
