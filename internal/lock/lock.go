package lock

import (
	"sync"
	"sync/atomic"
)

// Mutex is a mutual exclusion lock. The zero value is unlocked.
type Mutex struct{ mu sync.Mutex }

// Lock locks m.
func (m *Mutex) Lock() {
	if f := watcher.Load(); f != nil && (*f)(m.mu.TryLock) {
		return
	}
	m.mu.Lock()
}

// TryLock locks m if it's unlocked, and reports whether it did.
func (m *Mutex) TryLock() bool {
	f := watcher.Load()
	if f != nil {
		(*f)(nil)
	}
	if m.mu.TryLock() {
		return true
	}
	if f != nil {
		(*f)(nil)
	}
	return false
}

// Unlock unlocks m.
func (m *Mutex) Unlock() { m.mu.Unlock() }

var watcher atomic.Pointer[func(try func() bool) bool]

// Watch has f called by whoever is about to lock a Mutex: instead of Lock, f may wait until
// try has succeeded, and return true; after false Lock does what it always does. With
// TryLock, before it and after it has failed, try is nil and the result doesn't matter.
// For simulations only; nil ends it.
func Watch(f func(try func() bool) bool) {
	if f == nil {
		watcher.Store(nil)
		return
	}
	watcher.Store(&f)
}
