package framing_test

import (
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/framing"
)

// discard is a Stream that takes everything and keeps nothing.
type discard struct{}

func (discard) Writev(...*buffers.Buffer) error { return nil }

// TestSteadyStateAllocatesNothing: neither messages in one piece do, nor those that are
// put together, nor those that are written.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	a := buffers.New(buffers.Config{})
	length := must(framing.NewLength(framing.LengthConfig{}))
	line := must(framing.NewLine(framing.LineConfig{}))
	delimiter := must(framing.NewDelimiter(framing.DelimiterConfig{Delimiter: []byte("--")}))
	fixed := must(framing.NewFixed(framing.FixedConfig{Size: 100}))
	payload := letters(100)
	msg := a.Copy(payload)
	defer msg.Release()
	block := letters(512) // fills a block without its framing
	scratch := make([]byte, 0, 200)

	type step struct {
		name string
		f    func()
	}
	var steps []step
	for _, s := range []struct {
		name string
		both
	}{{"length", length}, {"line", line}, {"delimiter", delimiter}, {"fixed", fixed}} {
		var p []byte
		for range 10 {
			p = must(framing.Append(s.both, p, payload))
		}
		whole := a.Copy(p)
		defer whole.Release()
		half := whole.Slice(0, len(p)/2+30)
		defer half.Release()
		other := whole.Slice(len(p)/2+30, len(p))
		defer other.Release()
		r := framing.NewReader(s.both, a)
		w := framing.NewWriter(s.both, a)
		n := 0
		steps = append(steps,
			step{s.name + " in one piece", func() {
				_ = r.Feed(whole, func(msg *buffers.Buffer) error { n += msg.Len(); return nil })
			}},
			step{s.name + " in two", func() {
				_ = r.Feed(half, func(msg *buffers.Buffer) error { n += msg.Len(); return nil })
				n += r.Need()
				_ = r.Feed(other, func(msg *buffers.Buffer) error { n += msg.Len(); return nil })
			}},
			step{s.name + " Write", func() { _ = w.Write(discard{}, msg) }},
			step{s.name + " Send", func() { _ = w.Send(discard{}, payload) }},
			step{s.name + " Append", func() { scratch, _ = framing.Append(s.both, scratch[:0], payload) }},
		)
	}
	w := framing.NewWriter(length, a)
	steps = append(steps, step{"Send of a block", func() { _ = w.Send(discard{}, block) }})
	for _, s := range steps {
		if n := testing.AllocsPerRun(1000, s.f); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", s.name, n)
		}
	}
}
