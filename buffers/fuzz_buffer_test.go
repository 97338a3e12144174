package buffers_test

import (
	"bytes"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

// script reads the steps of a fuzz target from its input.
type script struct{ p []byte }

func (s *script) more() bool { return len(s.p) > 0 }

// next is a number below n.
func (s *script) next(n int) int {
	if len(s.p) == 0 {
		return 0
	}
	v := int(s.p[0])
	s.p = s.p[1:]
	return v % n
}

// size is a number up to 64 KiB, small ones being more likely than large ones.
func (s *script) size() int {
	shift := min(s.next(17), s.next(17))
	return 1<<shift>>1 + s.next(256)<<shift>>8
}

// fuzzView is the model of one Buffer.
type fuzzView struct {
	b       *buffers.Buffer
	want    []byte
	refs    int
	user    any
	sharers *int // the number of views of the block
}

// bufferModel compares Buffers with plain byte slices.
type bufferModel struct {
	t     *testing.T
	a     *buffers.Allocator
	k     *buffers.Cache
	views []*fuzzView
	fill  byte
}

// FuzzBuffer does what the input says with some Buffers and with a model of them.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 10, 100, 3, 0, 12, 200, 7, 0, 1, 4, 8, 0, 2, 2, 0})
	f.Add([]byte("\x01\x00\x0c\x50\x03\x00\x0c\x50\x06\x00\x40\x03\x00\x0d\x20\x09\x00\x02\x00"))
	f.Add([]byte("\x01\x01\x05\x30\x07\x00\x01\x08\x02\x00\x0a\x01\x03\x01\x05\x09\x00\x0b\x02\x01"))
	f.Add(bytes.Repeat([]byte{1, 1, 16, 255, 7, 3, 2, 9, 2, 1, 5, 4, 3, 12, 80}, 20))
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &script{input}
		a := buffers.New(buffers.Config{
			Debug:     s.next(2) == 1,
			MaxPooled: 1 << 18,
			Leaks:     buffers.LeaksAll,
		})
		m := &bufferModel{t: t, a: a, k: a.NewCache()}
		for steps := 0; s.more() && steps < 200; steps++ {
			m.step(s)
			m.check()
		}
		for _, v := range m.views {
			for range v.refs {
				v.b.Release()
			}
		}
		m.k.Close()
		mustBalance(t, a)
		a.Trim()
		if n := a.Stats().Misuses; n != 0 {
			t.Fatalf("%d misuses", n)
		}
	})
}

func (m *bufferModel) step(s *script) {
	op := s.next(12)
	if op == 5 && m.total() > 1<<20 {
		return
	}
	if len(m.views) == 0 || op < 2 && len(m.views) < 16 {
		m.create(s, op)
		return
	}
	i := s.next(len(m.views))
	v := m.views[i]
	switch op {
	case 0, 1, 2:
		m.release(s, i)
	case 3:
		p := m.bytes(s.size())
		m.write(v, func() { v.b.Append(p) }, p)
	case 4:
		p := m.bytes(s.size())
		n := s.next(len(p) + 1)
		m.write(v, func() {
			copy(v.b.Reserve(len(p)), p)
			v.b.Commit(n)
		}, p[:n])
	case 5:
		m.write(v, func() { v.b.Append(v.b.Bytes()) }, bytes.Clone(v.want))
	case 6:
		n := s.next(len(v.want) + 1)
		v.b.Consume(n)
		v.want = v.want[n:]
	case 7:
		i := s.next(len(v.want) + 1)
		j := i + s.next(len(v.want)-i+1)
		m.share(v, v.b.Slice(i, j), v.want[i:j])
	case 8:
		n := s.next(len(v.want) + 1)
		m.share(v, v.b.Split(n), v.want[:n])
		v.want = v.want[n:]
	case 9:
		m.compact(v)
	case 10:
		v.user = s.next(256)
		v.b.SetUserData(v.user)
		v.b.AddRef()
		v.refs++
	case 11:
		m.a.Trim()
	}
}

// total is the number of bytes in all views, which op 5 could double forever.
func (m *bufferModel) total() int {
	n := 0
	for _, v := range m.views {
		n += len(v.want)
	}
	return n
}

func (m *bufferModel) create(s *script, op int) {
	v := &fuzzView{refs: 1, sharers: new(1)}
	n := s.size()
	if op == 0 {
		v.want = m.bytes(n)
		v.b = m.a.Copy(v.want)
	} else {
		v.b = m.k.Get(n)
		if v.b.Cap() < n {
			m.t.Fatalf("Get(%d) has a capacity of %d", n, v.b.Cap())
		}
	}
	m.views = append(m.views, v)
}

func (m *bufferModel) release(s *script, i int) {
	v := m.views[i]
	if s.next(2) == 0 {
		v.b.Release()
	} else {
		m.k.Release(v.b)
	}
	v.refs--
	if v.refs == 0 {
		*v.sharers--
		m.views = append(m.views[:i], m.views[i+1:]...)
	}
}

// write does what adds p to v's content, which must panic if the block is shared.
func (m *bufferModel) write(v *fuzzView, f func(), p []byte) {
	if *v.sharers > 1 {
		mustPanic(m.t, shared, f)
		return
	}
	f()
	v.want = append(v.want[:len(v.want):len(v.want)], p...)
}

func (m *bufferModel) share(v *fuzzView, b *buffers.Buffer, want []byte) {
	*v.sharers++
	m.views = append(m.views, &fuzzView{b: b, want: want, refs: 1, sharers: v.sharers})
}

// compact replaces v's Buffer; other references on the old one remain.
func (m *bufferModel) compact(v *fuzzView) {
	b := v.b.Compact()
	if b == v.b {
		return
	}
	n := &fuzzView{b: b, want: v.want, refs: 1, user: v.user, sharers: new(1)}
	v.refs--
	if v.refs > 0 {
		m.views = append(m.views, n)
		return
	}
	*v.sharers--
	*v = *n
}

// bytes is n bytes that no earlier call returned.
func (m *bufferModel) bytes(n int) []byte {
	m.fill++
	return bytes.Repeat([]byte{m.fill}, n)
}

func (m *bufferModel) check() {
	m.t.Helper()
	for i, v := range m.views {
		if !bytes.Equal(v.b.Bytes(), v.want) || v.b.Len() != len(v.want) || v.b.Cap() < len(v.want) {
			m.t.Fatalf("view %d has %d bytes that aren't the %d wanted", i, v.b.Len(), len(v.want))
		}
		if v.b.UserData() != v.user {
			m.t.Fatalf("view %d has user data %v; want %v", i, v.b.UserData(), v.user)
		}
	}
}
