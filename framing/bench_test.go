package framing_test

import (
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/framing"
)

// benchSubjects are the framings, for messages of n bytes.
func benchSubjects(n int) []struct {
	name string
	both
} {
	return []struct {
		name string
		both
	}{
		{"Length", must(framing.NewLength(framing.LengthConfig{}))},
		{"Varint", must(framing.NewLength(framing.LengthConfig{Varint: true}))},
		{"Delimiter", must(framing.NewDelimiter(framing.DelimiterConfig{Delimiter: []byte("\r\n\r\n")}))},
		{"Line", must(framing.NewLine(framing.LineConfig{}))},
		{"Fixed", must(framing.NewFixed(framing.FixedConfig{Size: n}))},
	}
}

// BenchmarkFeed: a read of 64 KiB full of messages, by the message.
func BenchmarkFeed(b *testing.B) {
	for _, size := range []int{64, 1024} {
		for _, s := range benchSubjects(size) {
			b.Run(fmt.Sprintf("%s/%d", s.name, size), func(b *testing.B) {
				a := buffers.New(buffers.Config{})
				r := framing.NewReader(s.both, a)
				var p []byte
				messages := 0
				for ; len(p) < 64<<10; messages++ {
					p = must(framing.Append(s.both, p, letters(size)))
				}
				read := a.Copy(p)
				defer read.Release()
				b.SetBytes(int64(len(p) / messages))
				b.ReportAllocs()
				n := 0
				for range b.N/messages + 1 {
					_ = r.Feed(read, func(msg *buffers.Buffer) error { n += msg.Len(); return nil })
				}
			})
		}
	}
}

// BenchmarkFeedInPieces: one message of 64 KiB that comes in 16 reads.
func BenchmarkFeedInPieces(b *testing.B) {
	const size, pieces = 64 << 10, 16
	for _, s := range benchSubjects(size) {
		b.Run(s.name, func(b *testing.B) {
			a := buffers.New(buffers.Config{})
			r := framing.NewReader(s.both, a)
			p := must(framing.Append(s.both, nil, letters(size)))
			var reads []*buffers.Buffer
			for i := range pieces {
				reads = append(reads, a.Copy(p[len(p)*i/pieces:len(p)*(i+1)/pieces]))
			}
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for _, read := range reads {
					_ = r.Feed(read, func(msg *buffers.Buffer) error { n += msg.Len(); return nil })
				}
			}
			for _, read := range reads {
				read.Release()
			}
		})
	}
}

func BenchmarkWriterWrite(b *testing.B) {
	a := buffers.New(buffers.Config{})
	w := framing.NewWriter(must(framing.NewLength(framing.LengthConfig{})), a)
	msg := a.Copy(letters(1024))
	defer msg.Release()
	b.ReportAllocs()
	for b.Loop() {
		_ = w.Write(discard{}, msg)
	}
}

func BenchmarkWriterSend(b *testing.B) {
	a := buffers.New(buffers.Config{})
	w := framing.NewWriter(must(framing.NewLength(framing.LengthConfig{})), a)
	msg := letters(1024)
	b.ReportAllocs()
	for b.Loop() {
		_ = w.Send(discard{}, msg)
	}
}
