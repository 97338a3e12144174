package engine

import "slices"

// receiveOOBLocked fetches the out-of-band byte and hands it over, ahead of the stream.
func (c *Conn) receiveOOBLocked() {
	c.flags.clear(oobDue)
	s := c.shard
	b := s.cache.Get(1)
	n, errno := s.kernel.RecvOOB(int(c.fd), b.Reserve(1))
	if errno != 0 || n == 0 {
		// EINVAL: it was overtaken by another and is in the stream now, or the
		// event was stale. The stream's own reads will tell of real failures.
		s.cache.Release(b)
		return
	}
	b.Commit(n)
	c.movedLocked()
	s.handOut(b)
	c.leave()
	s.env.Consumer.OutOfBand(c, b)
	c.enter()
	s.takeBack()
}

// urgent is an out-of-band byte that waits for the output before it.
type urgent struct {
	ahead int // bytes
	b     byte
}

// SendOOB sends one byte out of band, behind everything written before. It has no
// completion.
func (c *Conn) SendOOB(b byte) error {
	c.mu.Lock()
	if err := c.mayWriteLocked(1, 1); err != nil {
		c.finish()
		return err
	}
	x := c.extLocked()
	if x.session != nil || x.upgrade != nil {
		c.unlock()
		return ErrMode
	}
	x.urgent = append(x.urgent, urgent{ahead: c.out.Len(), b: b})
	c.finish()
	return nil
}

// flushOOBLocked sends the out-of-band byte whose turn it is.
func (c *Conn) flushOOBLocked() {
	x := c.ext
	n, errno := c.shard.kernel.SendOOB(int(c.fd), []byte{x.urgent[0].b})
	switch {
	case wouldBlock(errno) || errno == 0 && n == 0:
		c.blockedLocked()
	case errno != 0:
		c.failLocked("send", errno)
	default:
		x.urgent = slices.Delete(x.urgent, 0, 1)
		if len(x.urgent) == 0 {
			x.urgent = nil
		}
		c.movedLocked()
		c.progressLocked(1)
	}
}

// urgentLocked returns how many bytes may be sent before an out-of-band byte's turn.
func (c *Conn) urgentLocked() (ahead int, waiting bool) {
	if c.ext == nil || len(c.ext.urgent) == 0 {
		return 0, false
	}
	return c.ext.urgent[0].ahead, true
}
