package buffers_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

func TestLeaksNamesWhoAllocated(t *testing.T) {
	a := buffers.New(buffers.Config{Leaks: buffers.LeaksAll})
	k := a.NewCache()
	var c buffers.Chain
	var held []*buffers.Buffer
	for _, f := range []func(){
		func() { held = append(held, a.Get(100)) },
		func() { held = append(held, a.Copy(text(600))) },
		func() { held = append(held, k.Get(1<<20+7)) },
		func() { c.AppendCopy(k, nil, text(9), false, true) },
		func() { c.AppendCopy(nil, a, text(2000), false, true) },
	} {
		f()
	}
	leaks := a.Leaks()
	want := []int{512, 1024, 1<<20 + 7, 512, 2048}
	if len(leaks) != len(want) {
		t.Fatalf("%d leaks; want %d", len(leaks), len(want))
	}
	for i, l := range leaks {
		if l.Size != want[i] {
			t.Errorf("leak %d has %d bytes; want %d", i, l.Size, want[i])
		}
		// The first line is the caller, not this package.
		first, _, _ := strings.Cut(l.Stack, "\n")
		if !strings.HasPrefix(first, "github.com/sluice-net/sluice/buffers_test.TestLeaksNamesWhoAllocated") {
			t.Errorf("leak %d begins with %q", i, first)
		}
		if !strings.Contains(l.Stack, "leak_test.go:") || !strings.Contains(l.Stack, "testing.tRunner") {
			t.Errorf("leak %d: no file, or not the whole stack:\n%s", i, l.Stack)
		}
	}
	for _, b := range held {
		s := b.Slice(0, 0)
		b.Release()
		k.Release(s)
	}
	c.Release(nil)
	k.Close()
	mustBalance(t, a)
}

func TestSampling(t *testing.T) {
	for _, tt := range []struct {
		level buffers.Level
		want  int
	}{{buffers.LeaksOff, 0}, {buffers.LeaksSampled, 10}, {buffers.LeaksAll, 640}} {
		t.Run(tt.level.String(), func(t *testing.T) {
			a := buffers.New(buffers.Config{Leaks: tt.level})
			k := a.NewCache()
			for _, get := range []func(int) *buffers.Buffer{a.Get, k.Get} {
				var held []*buffers.Buffer
				for range 640 {
					held = append(held, get(1))
				}
				if n := len(a.Leaks()); n != tt.want {
					t.Errorf("%d followed; want %d", n, tt.want)
				}
				for _, b := range held {
					b.Release()
				}
			}
			k.Close()
			mustBalance(t, a)
		})
	}
	if s := buffers.Level(9).String(); s != "invalid" {
		t.Error(s)
	}
}

// TestDroppedBuffersAreReported when they are garbage collected: whatever kind of
// holder forgot them.
func TestDroppedBuffersAreReported(t *testing.T) {
	for _, tt := range []struct {
		name string
		drop func(a *buffers.Allocator, k *buffers.Cache)
	}{
		{"Buffer", func(a *buffers.Allocator, _ *buffers.Cache) { a.Get(100) }},
		{"Buffer of a Cache", func(_ *buffers.Allocator, k *buffers.Cache) { k.Get(100) }},
		{"slice", func(a *buffers.Allocator, _ *buffers.Cache) {
			b := a.Get(100)
			b.Slice(0, 0)
			b.Release()
		}},
		{"chain", func(a *buffers.Allocator, k *buffers.Cache) {
			b := a.Get(100)
			new(buffers.Chain).Append(k, b, false)
			k.Release(b)
		}},
		{"copy in a chain", func(_ *buffers.Allocator, k *buffers.Cache) {
			new(buffers.Chain).AppendCopy(k, nil, text(100), false, false)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := make(chan buffers.LeakReport, 1)
			a := buffers.New(buffers.Config{
				Leaks:  buffers.LeaksAll,
				OnLeak: func(r buffers.LeakReport) { reports <- r },
			})
			k := a.NewCache()
			defer k.Close()
			for range 5 { // these are in order
				k.Release(k.Get(100))
				a.Get(100).Release()
			}
			tt.drop(a, k)
			r := collect(reports)
			if r.Size != 512 || !strings.Contains(r.Stack, "TestDroppedBuffersAreReported") {
				t.Errorf("%d bytes from\n%s", r.Size, r.Stack)
			}
			if n := a.Stats().Leaked; n != 1 {
				t.Errorf("%d leaked; want 1", n)
			}
			if l := a.Leaks(); len(l) != 0 {
				t.Errorf("%d leaks are still listed", len(l))
			}
		})
	}
}

// collect collects garbage until there is a report.
func collect(reports <-chan buffers.LeakReport) buffers.LeakReport {
	for {
		runtime.GC()
		select {
		case r := <-reports:
			return r
		default:
			runtime.Gosched()
		}
	}
}

// TestLeaksAreCounted without OnLeak.
func TestLeaksAreCounted(t *testing.T) {
	a := buffers.New(buffers.Config{Leaks: buffers.LeaksAll})
	a.Get(1)
	for a.Stats().Leaked == 0 {
		runtime.GC()
		runtime.Gosched()
	}
	if n := a.Stats().Leaked; n != 1 {
		t.Errorf("%d leaked; want 1", n)
	}
}
