// Package lock has the mutex for what may be locked while the kernel, the poller or
// another seam is called.
//
// It is a sync.Mutex, at the same price, but for one thing: a goroutine that finds it
// locked can be told of. That's the seam by which a simulation, which runs one goroutine
// at a time and stops goroutines inside of system calls, learns that it must let another
// one run.
package lock

import (
	"sync"
	"sync/atomic"
)

// Mutex is a mutual exclusion lock. The zero value is unlocked.
type Mutex struct{ mu sync.Mutex }

// Lock locks m.
func (m *Mutex) Lock() {
	if !m.mu.TryLock() {
		m.wait()
	}
}

// TryLock locks m if it's unlocked, and reports whether it did.
func (m *Mutex) TryLock() bool {
	if m.mu.TryLock() {
		return true
	}
	if f := contended.Load(); f != nil {
		(*f)(nil)
	}
	return false
}

// Unlock unlocks m.
func (m *Mutex) Unlock() { m.mu.Unlock() }

func (m *Mutex) wait() {
	if f := contended.Load(); f != nil && (*f)(m.mu.TryLock) {
		return
	}
	m.mu.Lock()
}

var contended atomic.Pointer[func(try func() bool) bool]

// OnContention has f called by a goroutine that finds a Mutex locked. In Lock, f may
// wait until try has succeeded, and return true; after false the goroutine waits as for
// any mutex. In TryLock, try is nil and the result doesn't matter. For simulations only;
// nil ends it.
func OnContention(f func(try func() bool) bool) {
	if f == nil {
		contended.Store(nil)
		return
	}
	contended.Store(&f)
}
