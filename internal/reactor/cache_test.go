package reactor_test

import (
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/reactor"
)

// reactor.go: one free list per loop and allocator, closed with the loop.
func TestCaches(t *testing.T) {
	a, b := buffers.New(buffers.Config{}), buffers.New(buffers.Config{})
	drive(t, reactor.Config{}, func(l *loop) {
		k := l.r.Cache(a)
		if l.r.Cache(a) != k {
			t.Error("a second cache for one allocator")
		}
		if l.r.Cache(b) == k {
			t.Error("one cache for two allocators")
		}
		k.Release(k.Get(1000))
		k.Publish()
		if a.Stats().Pooled == 0 {
			t.Error("nothing is in the free list")
		}
	})
	if n := a.Stats().Pooled; n != 0 {
		t.Errorf("%d bytes are in the free list of a loop that has ended", n)
	}
}
