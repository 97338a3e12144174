package sys_test

import (
	"sync"
	"testing"

	"github.com/sluice-net/sluice/internal/sys"
)

// DESIGN, Raw calls: sys.G tells whether the caller is the loop.
func TestGIsTheSameWithinAGoroutine(t *testing.T) {
	g := sys.G()
	if g == 0 {
		t.Fatal("G is 0, which stands for no goroutine")
	}
	var deep func(n int) byte
	deep = func(n int) byte { // the stack grows and moves
		var frame [1 << 10]byte
		if n > 0 {
			frame[n%len(frame)] = deep(n - 1)
		}
		if sys.G() != g {
			t.Fatal("G differs after the stack has moved")
		}
		return frame[0]
	}
	deep(1000)
	func() {
		defer func() {
			_ = recover()
			if sys.G() != g {
				t.Error("G differs in a deferred call")
			}
		}()
		panic("any")
	}()
}

func TestGDiffersAcrossLiveGoroutines(t *testing.T) {
	const n = 200
	ids := make(chan uintptr)
	quit := make(chan struct{})
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			ids <- sys.G()
			<-quit
		})
	}
	seen := map[uintptr]bool{sys.G(): true}
	for range n {
		id := <-ids
		if seen[id] {
			t.Errorf("two live goroutines are %#x", id)
		}
		seen[id] = true
	}
	close(quit)
	running.Wait()
}

func BenchmarkG(b *testing.B) {
	for b.Loop() {
		sys.G()
	}
}
