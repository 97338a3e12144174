package engine

import (
	"sync/atomic"
	"unsafe"
)

// Slot is pointer number i of those that users keep with the connection; n is how many
// there are. Any goroutine may ask, also after the end. All are nil at first, and take no
// memory until the first is set.
func (c *Conn) Slot(i int) unsafe.Pointer {
	all := c.slots.Load()
	if all == nil {
		return nil
	}
	return atomic.LoadPointer(&(*all)[i])
}

// SetSlot sets pointer number i of n.
func (c *Conn) SetSlot(i, n int, p unsafe.Pointer) {
	all := c.slots.Load()
	if all == nil {
		if p == nil {
			return
		}
		made := make([]unsafe.Pointer, n)
		if c.slots.CompareAndSwap(nil, &made) {
			all = &made
		} else {
			all = c.slots.Load()
		}
	}
	atomic.StorePointer(&(*all)[i], p)
}
