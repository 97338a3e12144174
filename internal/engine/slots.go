package engine

import (
	"sync/atomic"
	"unsafe"
)

// slots are the pointers that users keep with a connection, and whose they are: the types
// of what they point to are known to that set alone.
type slots struct {
	set      any
	pointers []unsafe.Pointer
}

// Slot is pointer number i of a set. Any goroutine may ask, also after the end. All are
// nil at first, and take no memory until the first is set.
func (c *Conn) Slot(set any, i int) unsafe.Pointer {
	s := c.slots.Load()
	if s == nil {
		return nil
	}
	return atomic.LoadPointer(&s.of(set)[i])
}

// SetSlot sets pointer number i of a set of n.
func (c *Conn) SetSlot(set any, i, n int, p unsafe.Pointer) {
	s := c.slots.Load()
	if s == nil {
		if p == nil {
			return
		}
		s = &slots{set: set, pointers: make([]unsafe.Pointer, n)}
		if !c.slots.CompareAndSwap(nil, s) {
			s = c.slots.Load()
		}
	}
	atomic.StorePointer(&s.of(set)[i], p)
}

func (s *slots) of(set any) []unsafe.Pointer {
	if s.set != set {
		panic("sluice: a slot is used with a connection whose slots are another set's: one server, one Slots")
	}
	return s.pointers
}
