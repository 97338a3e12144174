package buffers_test

import (
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

func BenchmarkCacheGetRelease(b *testing.B) {
	k := buffers.New(buffers.Config{}).NewCache()
	defer k.Close()
	b.ReportAllocs()
	for b.Loop() {
		k.Release(k.Get(4096))
	}
}

func BenchmarkCacheGetReleaseSampled(b *testing.B) {
	k := buffers.New(buffers.Config{Leaks: buffers.LeaksSampled}).NewCache()
	defer k.Close()
	b.ReportAllocs()
	for b.Loop() {
		k.Release(k.Get(4096))
	}
}

func BenchmarkAllocatorGetRelease(b *testing.B) {
	a := buffers.New(buffers.Config{})
	b.ReportAllocs()
	for b.Loop() {
		a.Get(4096).Release()
	}
}

func BenchmarkAllocatorParallel(b *testing.B) {
	a := buffers.New(buffers.Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			a.Get(4096).Release()
		}
	})
}

func BenchmarkSliceRelease(b *testing.B) {
	k := buffers.New(buffers.Config{}).NewCache()
	defer k.Close()
	v := k.Get(100)
	v.Append(make([]byte, 100))
	b.ReportAllocs()
	for b.Loop() {
		v.Slice(10, 20).Release()
	}
	v.Release()
}

func BenchmarkChainAppendConsume(b *testing.B) {
	k := buffers.New(buffers.Config{}).NewCache()
	defer k.Close()
	v := k.Get(100)
	v.Append(make([]byte, 100))
	var c buffers.Chain
	b.ReportAllocs()
	for b.Loop() {
		c.Append(k, v, true)
		c.Consume(k, 100)
	}
	v.Release()
}

func BenchmarkChainAppendCopyConsume(b *testing.B) {
	k := buffers.New(buffers.Config{}).NewCache()
	defer k.Close()
	p := make([]byte, 64)
	var c buffers.Chain
	b.ReportAllocs()
	for b.Loop() {
		c.AppendCopy(k, nil, p, true, false)
		c.Consume(k, 64)
	}
}

// BenchmarkEcho is what one echoed message costs: a buffer to read into, queued,
// released, and consumed when it was sent.
func BenchmarkEcho(b *testing.B) {
	k := buffers.New(buffers.Config{}).NewCache()
	defer k.Close()
	var c buffers.Chain
	var vec [16][]byte
	b.ReportAllocs()
	for b.Loop() {
		v := k.Get(4096)
		_ = v.Reserve(4096)
		v.Commit(128)
		c.Append(k, v, true)
		k.Release(v)
		_ = c.Vectors(vec[:], 1<<16)
		c.Consume(k, 128)
		k.Publish()
	}
}

func BenchmarkBytes(b *testing.B) {
	v := buffers.New(buffers.Config{}).Copy(make([]byte, 100))
	n := 0
	for b.Loop() {
		n += len(v.Bytes())
	}
	v.Release()
	_ = n
}
