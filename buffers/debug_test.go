package buffers_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

// uses is every method of a Buffer.
var uses = []struct {
	name string
	use  func(b *buffers.Buffer)
}{
	{"AddRef", func(b *buffers.Buffer) { b.AddRef() }},
	{"Release", func(b *buffers.Buffer) { b.Release() }},
	{"Bytes", func(b *buffers.Buffer) { b.Bytes() }},
	{"Len", func(b *buffers.Buffer) { b.Len() }},
	{"Cap", func(b *buffers.Buffer) { b.Cap() }},
	{"Append", func(b *buffers.Buffer) { b.Append([]byte("x")) }},
	{"Reserve", func(b *buffers.Buffer) { copy(b.Reserve(3), "abc") }},
	{"Commit", func(b *buffers.Buffer) { b.Commit(1) }},
	{"Consume", func(b *buffers.Buffer) { b.Consume(1) }},
	{"Slice", func(b *buffers.Buffer) { b.Slice(1, 2).Release() }},
	{"Split", func(b *buffers.Buffer) { b.Split(1).Release() }},
	{"Compact", func(b *buffers.Buffer) { b.Compact() }},
	{"UserData", func(b *buffers.Buffer) { b.UserData() }},
	{"SetUserData", func(b *buffers.Buffer) { b.SetUserData(1) }},
	{"Append to a Chain", func(b *buffers.Buffer) {
		var c buffers.Chain
		c.Append(nil, b, false)
		c.Release(nil)
	}},
}

// views are the kinds of Buffer that there are: the first view of a block, and
// others.
var views = []struct {
	name string
	open func(a *buffers.Allocator) *buffers.Buffer
}{
	{"first view", func(a *buffers.Allocator) *buffers.Buffer { return a.Copy([]byte("abc")) }},
	{"slice", func(a *buffers.Allocator) *buffers.Buffer {
		b := a.Copy([]byte("abc"))
		defer b.Release()
		return b.Slice(0, 3)
	}},
	{"without memory", func(a *buffers.Allocator) *buffers.Buffer {
		var c buffers.Chain
		c.AppendCopy(nil, a, nil, false, true)
		return c.PopFront(nil)
	}},
}

// TestMisusePanicsInDebugMode proves "Double release, use after release: panic in
// debug builds" of the fault contract.
func TestMisusePanicsInDebugMode(t *testing.T) {
	for _, v := range views {
		for _, tt := range uses {
			t.Run(v.name+" "+tt.name, func(t *testing.T) {
				a := buffers.New(buffers.Config{Debug: true, Leaks: buffers.LeaksAll})
				b := v.open(a)
				b.Release()
				// More Buffers come and go: the stale pointer remains recognisable.
				for range 1100 {
					a.Get(3).Release()
				}
				mustPanic(t, tt.name+" on a released Buffer, which was released by\n"+
					"github.com/sluice-net/sluice/buffers_test.TestMisusePanicsInDebugMode",
					func() { tt.use(b) })
				mustBalance(t, a)
				if n := a.Stats().Misuses; n != 1 {
					t.Errorf("%d misuses counted", n)
				}
			})
		}
	}
}

// TestMisuseIsCounted proves "Double release, use after release: … counted
// otherwise" of the fault contract: and nothing else happens.
func TestMisuseIsCounted(t *testing.T) {
	for _, v := range views {
		for _, tt := range uses {
			t.Run(v.name+" "+tt.name, func(t *testing.T) {
				a := buffers.New(buffers.Config{Leaks: buffers.LeaksAll})
				k := a.NewCache()
				defer k.Close()
				b := v.open(a)
				k.Release(b)
				tt.use(b)
				k.Publish()
				if s := a.Stats(); s.Misuses != 1 || s.Outstanding != 0 {
					t.Errorf("%+v; want 1 misuse, nothing outstanding", s)
				}
				if b.Bytes() != nil || b.Len() != 0 || b.Cap() != 0 || b.UserData() != nil {
					t.Error("a released Buffer isn't empty")
				}
				// Nothing is in a pool twice.
				seen := map[*buffers.Buffer]bool{}
				for range 10 {
					x := k.Get(3)
					if seen[x] || x.Len() != 0 || x.UserData() != nil {
						t.Fatal("the pools are corrupt")
					}
					seen[x] = true
					s := x.Slice(0, 0)
					if seen[s] {
						t.Fatal("the pools of views are corrupt")
					}
					seen[s] = true
				}
			})
		}
	}
}

// TestConcurrentDoubleRelease: in debug mode exactly as many releases succeed as
// there are references, even at the same time.
func TestConcurrentDoubleRelease(t *testing.T) {
	a := buffers.New(buffers.Config{Debug: true})
	for range 100 {
		b := a.Get(1)
		var panics [3]bool
		var wg sync.WaitGroup
		for i := range panics {
			wg.Go(func() {
				defer func() { panics[i] = recover() != nil }()
				b.Release()
			})
		}
		wg.Wait()
		n := 0
		for _, p := range panics {
			if p {
				n++
			}
		}
		if n != 2 {
			t.Fatalf("%d of 3 releases panicked; want 2", n)
		}
	}
	mustBalance(t, a)
}

// TestReleasedMemoryIsPoisoned: a slice that outlives its Buffer shows it.
func TestReleasedMemoryIsPoisoned(t *testing.T) {
	a := buffers.New(buffers.Config{Debug: true})
	b := a.Copy([]byte("abc"))
	s := b.Slice(1, 2)
	p := b.Bytes()
	b.Release()
	if string(p) != "abc" {
		t.Errorf("%q: poisoned while a slice was left", p)
	}
	s.Release()
	if string(p) != "\xDB\xDB\xDB" {
		t.Errorf("%q: not poisoned", p)
	}
}

// TestMemoryLeftByGrowthIsPoisoned: so does one from before the Buffer moved.
func TestMemoryLeftByGrowthIsPoisoned(t *testing.T) {
	a := buffers.New(buffers.Config{Debug: true})
	b := a.Copy([]byte("abc"))
	p := b.Bytes()
	b.Append(text(1000))
	if string(p) != "\xDB\xDB\xDB" {
		t.Errorf("%q: not poisoned", p)
	}
	b.Release()
	mustBalance(t, a)
}

// TestWriteAfterReleaseIsFound, at the latest when the memory would be reused.
func TestWriteAfterReleaseIsFound(t *testing.T) {
	for _, tt := range []struct {
		name     string
		size, at int
		find     func(a *buffers.Allocator)
	}{
		{"Trim", 1, 0, (*buffers.Allocator).Trim},
		{"Trim", 100000, 100000, (*buffers.Allocator).Trim},
		{"many later releases", 1, 511, func(a *buffers.Allocator) {
			for range 1024 {
				a.Get(1).Release()
			}
		}},
		{"large later releases", 1, 7, func(a *buffers.Allocator) {
			k := a.NewCache()
			defer k.Close()
			for range 16 {
				k.Release(k.Get(1 << 20))
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := buffers.New(buffers.Config{Debug: true})
			b := a.Get(tt.size)
			stale := b.Reserve(b.Cap())
			b.Release()
			stale[tt.at] = 'x'
			mustPanic(t, "write after release at byte "+strconv.Itoa(tt.at)+" of a block of "+strconv.Itoa(len(stale))+
				", which was released by\ngithub.com/sluice-net/sluice/buffers_test.TestWriteAfterReleaseIsFound",
				func() { tt.find(a) })
			if n := a.Stats().Misuses; n != 1 {
				t.Errorf("%d misuses counted", n)
			}
			a.Trim() // the rest is intact
		})
	}
}

// TestQuarantineIsBounded in blocks and in bytes.
func TestQuarantineIsBounded(t *testing.T) {
	a := buffers.New(buffers.Config{Debug: true})
	for _, n := range []int{1, 1 << 20, 5 << 20, 100} {
		for range 2000 / (1 + n>>16) {
			a.Get(n).Release()
			if q := a.Stats().Quarantined; q > 16<<20 {
				t.Fatalf("%d bytes in quarantine", q)
			}
		}
	}
	if q := a.Stats().Quarantined; q > 1024*512 {
		t.Errorf("%d bytes in quarantine after small blocks only", q)
	}
	a.Trim()
	if q := a.Stats().Quarantined; q != 0 {
		t.Errorf("%d bytes in quarantine after Trim", q)
	}
	mustBalance(t, a)
}
