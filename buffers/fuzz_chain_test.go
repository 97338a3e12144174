package buffers_test

import (
	"bytes"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

// fuzzSegment is the model of one segment.
type fuzzSegment struct {
	whole    []byte
	consumed int
	user     any
	tag      bool
	copied   bool
	alone    bool
}

func (s *fuzzSegment) rest() []byte { return s.whole[s.consumed:] }

// chainModel is a Chain and what should be in it.
type chainModel struct {
	t    *testing.T
	c    buffers.Chain
	want []*fuzzSegment
}

// FuzzChain does what the input says with two chains and with a model of them. What
// is popped is kept for a while, so that a write to it would be seen.
func FuzzChain(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 5, 100, 1, 0, 2, 0, 3, 9, 20, 4, 0, 1, 5, 0})
	f.Add([]byte("\x03\x02\x00\x05\x10\x01\x02\x00\x05\x10\x03\x04\x00\x01\x05\x00\x06\x00"))
	f.Add(bytes.Repeat([]byte{2, 0, 9, 77, 1, 2, 0, 3, 4, 2, 4, 0, 2, 30}, 15))
	f.Add(bytes.Repeat([]byte{3, 0, 1, 1, 2, 1, 4, 9, 0, 5, 1, 20, 7, 0, 6, 1}, 15))
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &script{input}
		mode := s.next(4)
		a := buffers.New(buffers.Config{Debug: mode&1 != 0, MaxPooled: 1 << 18, Leaks: buffers.LeaksAll})
		var k *buffers.Cache
		if mode&2 != 0 {
			k = a.NewCache()
			defer k.Close()
		}
		p := &chainPair{t: t, a: a, k: k, chains: [2]chainModel{{t: t}, {t: t}}}
		for steps := 0; s.more() && steps < 200; steps++ {
			p.step(s)
			p.check()
		}
		p.chains[0].c.Release(k)
		p.chains[1].c.Release(k)
		for _, h := range p.held {
			h.b.Release()
		}
		if k != nil {
			k.Publish()
		}
		mustBalance(t, a)
		a.Trim()
		if n := a.Stats().Misuses; n != 0 {
			t.Fatalf("%d misuses", n)
		}
	})
}

type chainPair struct {
	t      *testing.T
	a      *buffers.Allocator
	k      *buffers.Cache
	chains [2]chainModel
	held   []fuzzView
	fill   byte
}

func (p *chainPair) step(s *script) {
	op := s.next(9)
	which := s.next(2)
	m, other := &p.chains[which], &p.chains[1-which]
	switch op {
	case 0: // a new Buffer
		data := p.bytes(s.size() * s.next(2))
		b := p.a.Copy(data)
		b.SetUserData(len(data))
		m.append(p.k, b, data, len(data), s.next(2) == 1)
		p.k.Release(b)
	case 1: // one that was popped
		if len(p.held) > 0 {
			h := p.held[s.next(len(p.held))]
			m.append(p.k, h.b, h.want, h.user, s.next(2) == 1)
		}
	case 2, 3:
		flags := s.next(4)
		m.appendCopy(p.k, p.a, p.bytes(s.size()*s.next(2)), flags&1 != 0, flags&2 != 0)
	case 4:
		n := m.amount(s)
		m.c.Consume(p.k, n)
		m.consume(n, nil)
	case 5:
		n := m.amount(s)
		m.c.MoveFront(p.k, n, &other.c)
		m.consume(n, other)
	case 6:
		m.c.MoveAll(&other.c)
		other.want = append(other.want, m.want...)
		m.want = nil
	case 7:
		p.pop(m, s.next(2) == 1)
	case 8: // an end for one that was popped, perhaps after some writing
		if len(p.held) > 0 {
			i := s.next(len(p.held))
			p.scribble(p.held[i].b)
			p.k.Release(p.held[i].b)
			p.held = append(p.held[:i], p.held[i+1:]...)
		}
	}
}

// scribble writes behind b if b allows it. Nobody else may see that.
func (p *chainPair) scribble(b *buffers.Buffer) {
	defer func() { _ = recover() }()
	b.Append(p.bytes(b.Cap() - b.Len()))
}

func (p *chainPair) pop(m *chainModel, data bool) {
	if len(m.want) == 0 {
		if m.c.PopFront(p.k) != nil || m.c.PopData(p.k) != nil {
			p.t.Fatal("a Buffer from an empty chain")
		}
		return
	}
	s := m.want[0]
	m.want = m.want[1:]
	h := fuzzView{want: s.rest(), user: s.user}
	switch {
	case data:
		h.b = m.c.PopData(p.k)
	case s.copied:
		h.b, h.want = m.c.PopFront(p.k), nil
	default:
		h.b, h.want = m.c.PopFront(p.k), s.whole
	}
	p.held = append(p.held, h)
}

// bytes is n bytes that no earlier call returned.
func (p *chainPair) bytes(n int) []byte {
	p.fill++
	return bytes.Repeat([]byte{p.fill}, n)
}

func (p *chainPair) check() {
	p.t.Helper()
	p.chains[0].check()
	p.chains[1].check()
	for i, h := range p.held {
		if !bytes.Equal(h.b.Bytes(), h.want) || h.b.UserData() != h.user {
			p.t.Fatalf("popped Buffer %d has %d bytes and %v; want %d and %v",
				i, h.b.Len(), h.b.UserData(), len(h.want), h.user)
		}
	}
}

// amount is a number of bytes to consume.
func (m *chainModel) amount(s *script) int {
	return m.c.Len() * s.next(9) / 8
}

func (m *chainModel) append(k *buffers.Cache, b *buffers.Buffer, data []byte, user any, tag bool) {
	m.c.Append(k, b, tag)
	m.want = append(m.want, &fuzzSegment{whole: data, user: user, tag: tag})
}

// appendCopy leaves it to the chain how it divides what isn't alone, within the
// rules.
func (m *chainModel) appendCopy(k *buffers.Cache, a *buffers.Allocator, data []byte, tag, alone bool) {
	m.c.AppendCopy(k, a, data, tag, alone)
	if alone {
		m.want = append(m.want, &fuzzSegment{whole: data, tag: tag, copied: true, alone: true})
		return
	}
	vectors := m.c.Vectors(make([][]byte, 0, m.c.Segments()), m.c.Len())
	last := 0 // of the vectors, that belongs to an earlier segment
	for _, s := range m.want {
		if len(s.rest()) > 0 {
			last++
		}
	}
	if n := len(m.want); n > 0 && len(m.want[n-1].rest()) > 0 {
		t := m.want[n-1]
		added := len(vectors[last-1]) - len(t.rest())
		if added < 0 || added > 0 && (!t.copied || t.alone || t.tag != tag) {
			m.t.Fatalf("%d bytes went to a segment that isn't for them", added)
		}
		t.whole = append(t.whole[:len(t.whole):len(t.whole)], data[:added]...)
		data = data[added:]
	}
	for _, v := range vectors[last:] {
		if len(v) > len(data) {
			m.t.Fatalf("too many bytes")
		}
		m.want = append(m.want, &fuzzSegment{whole: data[:len(v)], tag: tag, copied: true})
		data = data[len(v):]
	}
	if len(data) > 0 {
		m.t.Fatalf("%d bytes are missing", len(data))
	}
}

func (m *chainModel) consume(n int, done *chainModel) {
	for len(m.want) > 0 {
		s := m.want[0]
		if n < len(s.rest()) {
			s.consumed += n
			return
		}
		n -= len(s.rest())
		m.want = m.want[1:]
		if done != nil {
			s.consumed = 0
			done.want = append(done.want, s)
		}
	}
}

func (m *chainModel) check() {
	m.t.Helper()
	total, tagged := 0, 0
	vectors := m.c.Vectors(make([][]byte, 0, m.c.Segments()), m.c.Len())
	for i, s := range m.want {
		n := len(s.rest())
		total += n
		if s.tag {
			tagged += n
		}
		if n == 0 {
			continue
		}
		if len(vectors) == 0 || !bytes.Equal(vectors[0], s.rest()) {
			m.t.Fatalf("segment %d differs", i)
		}
		vectors = vectors[1:]
	}
	if len(vectors) > 0 {
		m.t.Fatalf("%d segments too many", len(vectors))
	}
	if m.c.Len() != total || m.c.Tagged() != tagged || m.c.Segments() != len(m.want) {
		m.t.Fatalf("Len %d, Tagged %d, Segments %d; want %d, %d, %d",
			m.c.Len(), m.c.Tagged(), m.c.Segments(), total, tagged, len(m.want))
	}
	if f := m.c.Front(); (f == nil) != (len(m.want) == 0) || f != nil && !bytes.Equal(f, m.want[0].rest()) {
		m.t.Fatalf("Front has %d bytes that aren't the first segment's", len(f))
	}
}
