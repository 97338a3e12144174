package buffers_test

import (
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

func TestCacheGivesTheLastReleasedFirst(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	defer k.Close()
	x, y := k.Get(1000), k.Get(1000)
	k.Release(x)
	k.Release(y)
	if got := k.Get(600); got != y {
		t.Error("not the last one released")
	}
	if got := k.Get(600); got != x {
		t.Error("not the one released before")
	}
	k.Release(x)
	k.Release(y)
	if k.Allocator() != a {
		t.Error("another Allocator")
	}
}

// TestCacheKeepsTheLastReference: only the release of the last reference puts the
// block into the free list.
func TestCacheKeepsTheLastReference(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	b := k.Get(1).AddRef()
	s := b.Slice(0, 0)
	for i, end := range []func(){
		func() { k.Release(b) }, func() { k.Release(b) }, func() { k.Release(s) },
	} {
		k.Publish()
		if st := a.Stats(); st.Pooled != 0 || st.InUse != 512 {
			t.Errorf("before release %d: %+v", i, st)
		}
		end()
	}
	k.Publish()
	if st := a.Stats(); st.Pooled != 512 || st.InUse != 0 {
		t.Errorf("after the last release: %+v", st)
	}
	k.Close()
	mustBalance(t, a)
}

func TestNilCacheReleases(t *testing.T) {
	a := buffers.New(buffers.Config{})
	(*buffers.Cache)(nil).Release(a.Get(1))
	mustBalance(t, a)
}

// TestForeignBuffers: a Cache passes what isn't its allocator's on to its owner.
func TestForeignBuffers(t *testing.T) {
	a, other := buffers.New(buffers.Config{}), buffers.New(buffers.Config{})
	k := a.NewCache()
	b := other.Copy(text(100))
	s := b.Slice(1, 2)
	var c buffers.Chain
	c.Append(k, b, false)
	k.Release(b)
	c.Consume(k, 100)
	k.Release(s)
	k.Publish()
	if st := a.Stats(); st.Puts != 0 || st.Pooled != 0 {
		t.Errorf("%+v; want nothing", st)
	}
	mustBalance(t, other)
	k.Close()
	mustBalance(t, a)
}

// TestMaxPooled: all Caches together keep no more than the limit.
func TestMaxPooled(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int64
		want  int64 // what is pooled after far more was released, at least
	}{
		{"default", 0, 40 << 20},
		{"none", -1, 0},
		{"less than a block", 400, 0},
		{"less than a lease", 100 << 10, 64 << 10},
		{"some", 3 << 20, 2 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := buffers.New(buffers.Config{MaxPooled: tt.limit})
			caches := []*buffers.Cache{a.NewCache(), a.NewCache()}
			var held []*buffers.Buffer
			for i := range 40 {
				for n := 512; n <= 1<<20; n *= 2 {
					held = append(held, caches[i%2].Get(n))
				}
			}
			limit := tt.limit
			if limit == 0 {
				limit = 64 << 20
			}
			for i, b := range held {
				k := caches[i/12%2]
				k.Release(b)
				k.Publish()
				if s := a.Stats(); s.Pooled > max(limit, 0) {
					t.Fatalf("%d bytes pooled; the limit is %d", s.Pooled, limit)
				}
			}
			if s := a.Stats(); s.Pooled < tt.want {
				t.Errorf("%d bytes pooled; want at least %d", s.Pooled, tt.want)
			}
			for _, k := range caches {
				k.Close()
			}
			if s := a.Stats(); s.Pooled != 0 {
				t.Errorf("%d bytes pooled after Close", s.Pooled)
			}
			mustBalance(t, a)
		})
	}
}

// fill leaves n blocks of 512 bytes in k.
func fill(k *buffers.Cache, n int) {
	var held []*buffers.Buffer
	for range n {
		held = append(held, k.Get(1))
	}
	for _, b := range held {
		k.Release(b)
	}
	k.Publish()
}

// TestBurstIsGivenBack: what a class kept from a burst shrinks while the Cache is
// in use, whether or not that class is.
func TestBurstIsGivenBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int   // what is used afterwards
		want int64 // what is left in the end
	}{
		{"the same class", 1, 512},
		{"another class", 5000, 8192},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := buffers.New(buffers.Config{})
			k := a.NewCache()
			fill(k, 1000)
			last := a.Stats().Pooled
			if last != 1000*512 {
				t.Fatalf("%d bytes pooled; want %d", last, 1000*512)
			}
			for range 20 {
				for range 1024 {
					k.Release(k.Get(tt.size))
				}
				k.Publish()
				s := a.Stats()
				if s.Pooled > last+8192 {
					t.Errorf("pooled bytes went up from %d to %d", last, s.Pooled)
				}
				last = s.Pooled
			}
			if last != tt.want {
				t.Errorf("%d bytes left; want %d", last, tt.want)
			}
			k.Close()
			mustBalance(t, a)
		})
	}
}

// TestOthersBlocks: what others take and release to a Cache, as the goroutines of handshakes
// do, doesn't pile up there until it has seen a thousand of them.
func TestOthersBlocks(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	for range 1000 {
		k.Release(a.Get(16 << 10))
		k.Publish()
		if s := a.Stats(); s.Pooled > 1<<20 {
			t.Fatalf("%d bytes pooled; want 1 MiB at most", s.Pooled)
		}
	}
	k.Close()
	mustBalance(t, a)
}

// TestWorkingSetStays: what is used again and again isn't given back.
func TestWorkingSetStays(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	for range 100 {
		fill(k, 100)
		if s := a.Stats(); s.Pooled != 100*512 {
			t.Fatalf("%d bytes pooled; want %d", s.Pooled, 100*512)
		}
	}
	k.Close()
	mustBalance(t, a)
}

// TestTrim: every Cache gives back what it has, at its next operation, and its
// quota with it.
func TestTrim(t *testing.T) {
	for _, tt := range []struct {
		name string
		next func(k *buffers.Cache)
	}{
		{"Get", func(k *buffers.Cache) { k.Get(1).Release() }},
		{"Release", func(k *buffers.Cache) { k.Release(k.Allocator().Get(2 << 20)) }},
		{"Publish", func(*buffers.Cache) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := buffers.New(buffers.Config{MaxPooled: 512})
			hog, k := a.NewCache(), a.NewCache()
			fill(hog, 3)
			fill(k, 3)
			if s := a.Stats(); s.Pooled != 512 {
				t.Fatalf("%d bytes pooled; want 512", s.Pooled)
			}
			a.Trim()
			tt.next(hog)
			hog.Publish()
			if s := a.Stats(); s.Pooled != 0 {
				t.Errorf("%d bytes pooled after Trim", s.Pooled)
			}
			k.Release(k.Get(1)) // has the quota now
			k.Publish()
			if s := a.Stats(); s.Pooled != 512 {
				t.Errorf("%d bytes pooled; want the quota to have come back", s.Pooled)
			}
			hog.Close()
			k.Close()
			mustBalance(t, a)
		})
	}
}

func TestCloseEndsTheCache(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	b := k.Get(1)
	k.Close()
	k.Close()
	mustPanic(t, "use of a closed Cache", func() { k.Get(1) })
	mustPanic(t, "use of a closed Cache", func() { k.Publish() })
	b.Release()
	mustBalance(t, a)
}
