package buffers_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

func TestGetRoundsUpToTheClass(t *testing.T) {
	for _, tt := range []struct{ n, capacity int }{
		{0, 512}, {1, 512}, {511, 512}, {512, 512},
		{513, 1024}, {1024, 1024}, {1025, 2048},
		{65535, 65536}, {65536, 65536}, {65537, 131072},
		{1<<20 - 1, 1 << 20}, {1 << 20, 1 << 20},
		{1<<20 + 1, 1<<20 + 1}, {3 << 20, 3 << 20},
	} {
		for _, from := range sources() {
			t.Run(fmt.Sprintf("%d from %s", tt.n, from.name), func(t *testing.T) {
				a := buffers.New(buffers.Config{})
				get, release, done := from.open(a)
				for range 3 { // fresh, then reused
					b := get(tt.n)
					if b.Len() != 0 || b.Cap() != tt.capacity {
						t.Errorf("len %d, cap %d; want 0, %d", b.Len(), b.Cap(), tt.capacity)
					}
					release(b)
				}
				done()
				mustBalance(t, a)
			})
		}
	}
}

// source is a way to come by Buffers.
type source struct {
	name string
	open func(a *buffers.Allocator) (get func(int) *buffers.Buffer, release func(*buffers.Buffer), done func())
}

func sources() []source {
	return []source{
		{"allocator", func(a *buffers.Allocator) (func(int) *buffers.Buffer, func(*buffers.Buffer), func()) {
			return a.Get, (*buffers.Buffer).Release, func() {}
		}},
		{"cache", func(a *buffers.Allocator) (func(int) *buffers.Buffer, func(*buffers.Buffer), func()) {
			k := a.NewCache()
			return k.Get, k.Release, k.Close
		}},
		{"cache to allocator", func(a *buffers.Allocator) (func(int) *buffers.Buffer, func(*buffers.Buffer), func()) {
			k := a.NewCache()
			return k.Get, (*buffers.Buffer).Release, k.Close
		}},
		{"allocator to cache", func(a *buffers.Allocator) (func(int) *buffers.Buffer, func(*buffers.Buffer), func()) {
			k := a.NewCache()
			return a.Get, k.Release, k.Close
		}},
	}
}

func TestNegativeSizePanics(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	defer k.Close()
	k.Release(k.Get(1)) // a block is there, and must not be given for it
	mustPanic(t, "size -1 is negative", func() { a.Get(-1) })
	mustPanic(t, "size -1 is negative", func() { k.Get(-1) })
}

func TestCopy(t *testing.T) {
	a := buffers.New(buffers.Config{})
	for _, n := range []int{0, 1, 512, 513, 1<<20 + 1} {
		p := text(n)
		b := a.Copy(p)
		if !bytes.Equal(b.Bytes(), p) {
			t.Errorf("a copy of %d bytes differs", n)
		}
		if n > 0 {
			p[0]++
			if b.Bytes()[0] == p[0] {
				t.Errorf("a copy of %d bytes shares memory with the original", n)
			}
		}
		b.Release()
	}
	mustBalance(t, a)
}

func TestStatsAreExactWhenQuiet(t *testing.T) {
	for _, debug := range []bool{false, true} {
		t.Run(fmt.Sprint("debug ", debug), func(t *testing.T) {
			a := buffers.New(buffers.Config{Debug: debug})
			k := a.NewCache()
			var held []*buffers.Buffer
			want := int64(0)
			for i, n := range []int{1, 600, 5000, 1 << 20, 1<<20 + 5, 2, 700, 3 << 20} {
				if i%2 == 0 {
					held = append(held, k.Get(n))
				} else {
					held = append(held, a.Get(n))
				}
				want += int64(held[i].Cap())
			}
			slice := held[2].Slice(0, 0) // the same block: not counted again
			k.Publish()
			s := a.Stats()
			if s.InUse != want || s.Outstanding != 8 || s.Gets != 8 || s.Puts != 0 {
				t.Errorf("%+v; want 8 outstanding, %d bytes", s, want)
			}
			for i, b := range held {
				if i%3 == 0 {
					b.Release()
				} else {
					k.Release(b)
				}
			}
			k.Publish()
			if s := a.Stats(); s.Outstanding != 1 || s.InUse != 8192 {
				t.Errorf("%+v; want the slice's block of 8192 bytes", s)
			}
			slice.Release()
			k.Close()
			if s := a.Stats(); s.Gets != 8 || s.Puts != 8 || s.Pooled != 0 {
				t.Errorf("%+v; want 8 gets and 8 puts", s)
			}
			mustBalance(t, a)
		})
	}
}

// TestGrowthIsCounted: the larger block is a Get, the smaller one a Put.
func TestGrowthIsCounted(t *testing.T) {
	a := buffers.New(buffers.Config{Leaks: buffers.LeaksAll})
	b := a.Copy(text(500))
	b.Append(text(100))
	if s := a.Stats(); s.Gets != 2 || s.Puts != 1 || s.InUse != 1024 {
		t.Errorf("%+v; want 2 gets, 1 put, 1024 bytes", s)
	}
	if l := a.Leaks(); len(l) != 1 || l[0].Size != 1024 {
		t.Errorf("leaks %+v; want one of 1024 bytes", l)
	}
	b.Release()
	mustBalance(t, a)
}

// TestSharedByGoroutines has the race detector look at the paths of references:
// views that are released by others, memory that is sliced for others, and one
// Buffer that is queued by several at once.
func TestSharedByGoroutines(t *testing.T) {
	for _, debug := range []bool{false, true} {
		t.Run(fmt.Sprint("debug ", debug), func(t *testing.T) {
			a := buffers.New(buffers.Config{Debug: debug, Leaks: buffers.LeaksAll})
			const workers, rounds = 4, 200
			want := text(300)
			queues := make([]chan *buffers.Buffer, workers)
			var wg sync.WaitGroup
			for w := range workers {
				queues[w] = make(chan *buffers.Buffer, 8)
				wg.Go(func() { consumeAll(t, a, queues[w], want) })
			}
			k := a.NewCache()
			for i := range rounds {
				b := k.Get(300)
				b.Append(want)
				for w := range workers {
					if i%2 == 0 {
						queues[w] <- b.AddRef()
					} else {
						queues[w] <- b.Slice(0, 300)
					}
				}
				k.Release(b)
			}
			for _, q := range queues {
				close(q)
			}
			wg.Wait()
			k.Close()
			mustBalance(t, a)
			a.Trim()
			if s := a.Stats(); s.Misuses != 0 {
				t.Errorf("%d misuses", s.Misuses)
			}
		})
	}
}

// TestLastReferencesAtTheSameTime: of two views that are released at once one is
// the last, and the block is as good as new.
func TestLastReferencesAtTheSameTime(t *testing.T) {
	a := buffers.New(buffers.Config{})
	others := make(chan *buffers.Buffer)
	done := make(chan struct{})
	go func() {
		for s := range others {
			s.Release()
			done <- struct{}{}
		}
	}()
	for range 5000 {
		b := a.Get(1)
		others <- b.Slice(0, 0)
		b.Release()
		<-done
		x := a.Get(1)
		y := x.Slice(0, 0)
		x.Release()
		if n := a.Stats().Outstanding; n != 1 {
			t.Fatalf("%d blocks outstanding; want 1", n)
		}
		y.Release()
	}
	close(others)
	mustBalance(t, a)
}

// TestQueuedBySeveral: goroutines that hold references on one Buffer may queue and
// slice it at the same time.
func TestQueuedBySeveral(t *testing.T) {
	a := buffers.New(buffers.Config{})
	for round := range 1000 {
		b := a.Copy([]byte("abc"))
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 2 {
			b.AddRef()
			wg.Go(func() {
				var c buffers.Chain
				<-start
				if round%2 == 0 {
					b.Slice(0, 1).Release()
				}
				c.Append(nil, b, false)
				b.Release()
				if string(c.Front()) != "abc" {
					t.Errorf("%q", c.Front())
				}
				c.Release(nil)
			})
		}
		b.Release()
		close(start)
		wg.Wait()
		if n := a.Stats().Outstanding; n != 0 {
			t.Fatalf("%d blocks outstanding", n)
		}
	}
	mustBalance(t, a)
}

// consumeAll queues, slices and releases what it is sent, and checks the bytes.
func consumeAll(t *testing.T, a *buffers.Allocator, in <-chan *buffers.Buffer, want []byte) {
	k := a.NewCache()
	defer k.Close()
	var c buffers.Chain
	for b := range in {
		s := b.Slice(10, 20)
		c.Append(k, b, false)
		c.Append(k, s, false)
		k.Release(b)
		s.Release()
		v := c.PopFront(k)
		if !bytes.Equal(v.Bytes(), want) || !bytes.Equal(c.Front(), want[10:20]) {
			t.Error("the bytes have changed")
		}
		k.Release(v)
		c.Release(k)
		k.Release(k.Get(300)) // so that the block is reused
	}
}
