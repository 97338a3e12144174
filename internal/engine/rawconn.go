package engine

import (
	"errors"
	"syscall"
)

// SyscallConn gives access to the descriptor, for options that have no other way.
// Control keeps it from being closed while f runs. Read and Write of the returned
// value aren't supported: readiness is the loop's business.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	c.mu.Lock()
	defer c.unlock()
	if c.fd < 0 {
		return nil, ErrClosed
	}
	return (*rawConn)(c), nil
}

type rawConn Conn

func (r *rawConn) Control(f func(fd uintptr)) error {
	c := (*Conn)(r)
	c.mu.Lock()
	if c.fd < 0 {
		c.unlock()
		return ErrClosed
	}
	fd := c.fd
	c.extLocked().holds++
	c.unlock()
	defer c.letGo()
	f(uintptr(fd))
	return nil
}

// letGo closes the descriptor if the connection was closed meanwhile.
func (c *Conn) letGo() {
	c.mu.Lock()
	x := c.ext
	x.holds--
	if x.holds == 0 {
		for _, h := range x.held {
			c.shard.kernel.SetLinger(h.fd, h.reset, 0) // now: a holder may have set it
			c.shard.kernel.Close(h.fd)
		}
		x.held = nil
	}
	c.finish()
}

// held is a descriptor that's to be closed, with a reset or without.
type held struct {
	fd    int
	reset bool
}

// closeDescriptorLocked closes fd, or leaves it to those who hold it. A close that lingers
// would block the loop; one that's meant to reset must not wait at all. A dead socket does
// neither.
func (c *Conn) closeDescriptorLocked(fd int, reset bool) {
	if x := c.ext; x != nil && x.holds > 0 {
		x.held = append(x.held, held{fd, reset})
		return
	}
	if !c.dead {
		c.shard.kernel.SetLinger(fd, reset, 0)
	}
	c.shard.kernel.Close(fd)
}

func (r *rawConn) Read(func(uintptr) bool) error  { return errors.ErrUnsupported }
func (r *rawConn) Write(func(uintptr) bool) error { return errors.ErrUnsupported }
