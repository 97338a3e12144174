package engine

import (
	"math"
	"slices"
	"unsafe"
)

// MemoryConsumer answers Recv. It's called like a [Consumer].
type MemoryConsumer interface {
	// Received: p has n new bytes at its beginning.
	Received(c *Conn, p []byte, n int)
	// Canceled: nothing more is written to p. Each Recv has one of the two.
	Canceled(c *Conn, p []byte)
}

// Recv asks for p to be filled: wholly, or, partial, with at least one byte. Until
// Env.Memory answers, p is the connection's. Without that it's ErrMode.
func (c *Conn) Recv(p []byte, partial bool) error {
	switch {
	case c.shard.env.Memory == nil:
		return ErrMode
	case len(p) > math.MaxInt32:
		return ErrTooLarge
	}
	op := readOp{kind: readMemory, need: int32(len(p)), mem: unsafe.SliceData(p)}
	if partial {
		op.kind = readSome
	}
	return c.askRead(op)
}

// RecvCancel has every Recv that isn't answered yet canceled; ErrMode if there's none. No
// byte is lost: what one had got so far is for the next.
func (c *Conn) RecvCancel() error {
	c.mu.Lock()
	err := c.usableLocked()
	switch {
	case err != nil:
	case c.shard.env.Memory == nil || c.read.kind == readNone:
		err = ErrMode
	default:
		c.cancelReadsLocked()
	}
	c.finish()
	return err
}

// memory is where a Recv's bytes go.
func (op readOp) memory() []byte { return unsafe.Slice(op.mem, op.need) }

// cancelReadsLocked takes all reads off, for their users to be told.
func (c *Conn) cancelReadsLocked() {
	x := c.extLocked()
	if x.have > 0 {
		x.carry = slices.Concat(c.read.memory()[:x.have], x.carry)
		x.have = 0
	}
	if b := c.partial; b != nil {
		c.partial = nil
		x.carry = slices.Concat(b.Bytes(), x.carry)
		b.Release()
	}
	for c.read.kind != readNone {
		x.canceled = append(x.canceled, c.read)
		c.answeredLocked()
	}
	c.holdGateLocked()
}

// mustTellCanceledLocked reports whether a canceled read is to be told of. Those of an
// upgrade's owner wait until he is the connection's.
func (c *Conn) mustTellCanceledLocked() bool {
	x := c.ext
	return x != nil && len(x.canceled) > 0 && (x.upgrade == nil || x.upgrade.canceled > 0)
}

// tellCanceledLocked tells of one canceled read.
func (c *Conn) tellCanceledLocked() {
	x := c.ext
	if x.upgrade != nil {
		x.upgrade.canceled--
	}
	read := x.canceled[0]
	x.canceled = x.canceled[1:]
	if len(x.canceled) == 0 {
		x.canceled = nil
	}
	s := c.shard
	if s.env.Memory != nil {
		c.leave()
		s.env.Memory.Canceled(c, read.memory())
		c.enter()
		return
	}
	b := s.cache.Get(0)
	s.handOut(b)
	c.leave()
	s.env.Consumer.ReadError(c, b, ErrCanceled)
	c.enter()
	s.takeBack()
}

func (c *Conn) serveMemoryLocked(t *turn) {
	x := c.extLocked()
	p := c.read.memory()
	if x.have < len(p) {
		x.have += c.takeLocked(p[x.have:], t)
	}
	if x.have < len(p) && (c.read.kind == readMemory || x.have == 0) {
		return
	}
	n := x.have
	x.have = 0
	c.answeredLocked()
	c.flags.set(inRead)
	c.shard.add(CountReads, 1)
	c.leave()
	c.shard.env.Memory.Received(c, p, n)
	c.enter()
	c.flags.clear(inRead)
	c.holdGateLocked()
}

// takeLocked fills p from what there is.
func (c *Conn) takeLocked(p []byte, t *turn) int {
	x := c.ext
	switch {
	case len(x.carry) > 0:
		n := copy(p, x.carry)
		if x.carry = x.carry[n:]; len(x.carry) == 0 {
			x.carry = nil
		}
		return n
	case x.session != nil:
		return c.takePlaintextLocked(p)
	default:
		return c.receiveLocked(p, t)
	}
}

// hasUnreadLocked reports whether bytes that have left the socket wait to be read.
func (c *Conn) hasUnreadLocked() bool {
	return c.ext != nil && len(c.ext.carry) > 0 || c.hasPlaintextLocked()
}
