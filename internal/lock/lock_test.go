package lock_test

import (
	"sync"
	"testing"

	"github.com/sluice-net/sluice/internal/lock"
)

func TestMutex(t *testing.T) {
	var m lock.Mutex
	n := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				m.Lock()
				n++
				m.Unlock()
			}
		})
	}
	wg.Wait()
	if n != 8000 {
		t.Errorf("%d of 8000", n)
	}
	if !m.TryLock() || m.TryLock() {
		t.Error("TryLock doesn't know who has the lock")
	}
	m.Unlock()
}

func TestWatch(t *testing.T) {
	defer lock.Watch(nil)
	var m lock.Mutex
	took, asked := 0, 0
	lock.Watch(func(try func() bool) bool {
		if try == nil {
			asked++
			return false
		}
		took++
		return took > 1 && try()
	})
	m.Lock() // the watcher leaves it to the mutex
	took++
	m.Unlock()
	m.Lock() // the watcher takes it
	if m.TryLock() {
		t.Error("locked twice")
	}
	m.Unlock()
	if took != 3 || asked != 2 {
		t.Errorf("Lock was watched %d times, TryLock %d times", took, asked)
	}
}

func BenchmarkLock(b *testing.B) {
	b.Run("sync", func(b *testing.B) {
		var m sync.Mutex
		n := 0
		for b.Loop() {
			m.Lock()
			n++
			m.Unlock()
		}
	})
	b.Run("lock", func(b *testing.B) {
		var m lock.Mutex
		n := 0
		for b.Loop() {
			m.Lock()
			n++
			m.Unlock()
		}
	})
}
