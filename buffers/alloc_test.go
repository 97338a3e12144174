package buffers_test

import (
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

// TestSteadyStateAllocatesNothing.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	defer k.Close()
	var c, done buffers.Chain
	vectors := make([][]byte, 0, 8)
	payload := text(100)
	kept := a.Copy(payload)
	defer kept.Release()

	for _, tt := range []struct {
		name string
		f    func()
	}{
		{"Cache.Get and Release", func() { k.Release(k.Get(4096)) }},
		{"Cache.Get and Buffer.Release", func() { k.Get(4096).Release() }},
		{"Allocator.Get and Release", func() { a.Get(4096).Release() }},
		{"Copy", func() { a.Copy(payload).Release() }},
		{"Slice", func() { kept.Slice(1, 2).Release() }},
		{"Slice of a Cache", func() { k.Release(kept.Slice(1, 2)) }},
		{"Split", func() {
			b := k.Get(100)
			b.Append(payload)
			b.Split(10).Release()
			k.Release(b)
		}},
		{"growing", func() {
			b := a.Copy(payload)
			b.Reserve(5000)
			b.Release()
		}},
		{"Compact", func() {
			b := a.Get(5000)
			b.Append(payload)
			b.Compact().Release()
		}},
		{"Chain.Append and Consume", func() {
			c.Append(k, kept, true)
			c.Vectors(vectors, 1000)
			c.Consume(k, 100)
		}},
		{"Chain.Append and Consume without a Cache", func() {
			c.Append(nil, kept, true)
			c.Consume(nil, 100)
		}},
		{"Chain.AppendCopy and Consume", func() {
			c.AppendCopy(k, nil, payload, true, false)
			c.AppendCopy(k, nil, payload, true, true)
			c.Consume(k, 200)
		}},
		{"completions", func() {
			c.Append(k, kept, true)
			c.AppendCopy(k, nil, payload, true, true)
			c.MoveFront(k, 200, &done)
			k.Release(done.PopFront(k))
			k.Release(done.PopData(k))
		}},
		{"Publish", func() { k.Publish() }},
		{"Stats", func() { a.Stats() }},
	} {
		if n := testing.AllocsPerRun(1000, tt.f); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}
