package buffers_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

const shared = "to a shared or queued Buffer (take a Slice or Copy)"

func TestReferences(t *testing.T) {
	a := buffers.New(buffers.Config{Debug: true})
	b := a.Copy([]byte("abc"))
	if b.AddRef() != b {
		t.Error("AddRef returned another Buffer")
	}
	b.Release()
	if string(b.Bytes()) != "abc" {
		t.Error("the second reference didn't keep the content")
	}
	b.Release()
	mustBalance(t, a)
}

func TestAppendGrows(t *testing.T) {
	for _, tt := range []struct{ have, add, capacity int }{
		{0, 10, 512}, {0, 512, 512}, {500, 12, 512},
		{500, 13, 1024}, {512, 512, 1024}, {512, 5000, 8192},
		{1 << 20, 1, 1<<20 + 1<<18}, {3 << 20, 4 << 20, 7 << 20},
	} {
		t.Run(fmt.Sprintf("%d+%d", tt.have, tt.add), func(t *testing.T) {
			a := buffers.New(buffers.Config{})
			whole := text(tt.have + tt.add)
			b := a.Copy(whole[:tt.have])
			b.Append(whole[tt.have:])
			if !bytes.Equal(b.Bytes(), whole) {
				t.Error("wrong content")
			}
			if b.Cap() != tt.capacity {
				t.Errorf("cap %d; want %d", b.Cap(), tt.capacity)
			}
			b.Release()
			mustBalance(t, a)
		})
	}
}

// TestAppendReusesTheFront: what Consume has set free is used before a larger
// block is taken, if it pays for moving the rest.
func TestAppendReusesTheFront(t *testing.T) {
	for _, tt := range []struct {
		consumed, add int
		moves         bool
	}{
		{256, 256, true}, {512, 512, true}, {400, 300, true},
		{255, 255, false}, {1, 1, false}, {256, 257, false},
	} {
		t.Run(fmt.Sprintf("%d-%d", tt.consumed, tt.add), func(t *testing.T) {
			a := buffers.New(buffers.Config{})
			whole := text(512 + tt.add)
			b := a.Copy(whole[:512])
			b.Consume(tt.consumed)
			b.Append(whole[512:])
			if !bytes.Equal(b.Bytes(), whole[tt.consumed:]) {
				t.Error("wrong content")
			}
			if grew := a.Stats().InUse != 512; grew == tt.moves {
				t.Errorf("grew: %v; want %v", grew, !tt.moves)
			}
			b.Release()
			mustBalance(t, a)
		})
	}
}

func TestAppendOfItself(t *testing.T) {
	for _, debug := range []bool{false, true} {
		for _, consumed := range []int{0, 300, 400} {
			t.Run(fmt.Sprintf("consumed %d, debug %v", consumed, debug), func(t *testing.T) {
				a := buffers.New(buffers.Config{Debug: debug})
				b := a.Copy(text(500))
				b.Consume(consumed)
				want := append(bytes.Clone(b.Bytes()), b.Bytes()...)
				b.Append(b.Bytes())
				if !bytes.Equal(b.Bytes(), want) {
					t.Error("wrong content")
				}
				b.Release()
				mustBalance(t, a)
			})
		}
	}
}

// TestAppendOfWhatWasConsumed: the bytes in front of the content are still
// readable by who has them, even if the content moves there.
func TestAppendOfWhatWasConsumed(t *testing.T) {
	a := buffers.New(buffers.Config{})
	whole := text(512)
	b := a.Copy(whole)
	p := b.Bytes()
	b.Consume(400)
	b.Append(p[50:150])
	if !bytes.Equal(b.Bytes(), append(bytes.Clone(whole[400:]), whole[50:150]...)) {
		t.Error("wrong content")
	}
	b.Release()
	mustBalance(t, a)
}

func TestReserveCommit(t *testing.T) {
	a := buffers.New(buffers.Config{})
	b := a.Copy([]byte("ab"))
	for _, n := range []int{0, 3, 510, 511, 5000} {
		before := b.Len()
		p := b.Reserve(n)
		if len(p) != n || cap(p) != n {
			t.Fatalf("Reserve(%d): len %d, cap %d", n, len(p), cap(p))
		}
		copy(p, text(n))
		b.Commit(n / 2)
		if b.Len() != before+n/2 || !bytes.Equal(b.Bytes()[before:], text(n)[:n/2]) {
			t.Fatalf("after Commit(%d): wrong content of %d", n/2, b.Len())
		}
		mustPanic(t, "Commit of 1 bytes, 0 were reserved", func() { b.Commit(1) })
	}
	b.Reserve(5)
	mustPanic(t, "Commit of 6 bytes, 5 were reserved", func() { b.Commit(6) })
	mustPanic(t, "Commit of -1 bytes", func() { b.Commit(-1) })
	b.Append([]byte("x"))
	mustPanic(t, "0 were reserved", func() { b.Commit(1) })
	mustPanic(t, "Reserve of -1 bytes", func() { b.Reserve(-1) })
	b.Reserve(5)
	b.Release()
	mustBalance(t, a)

	k := a.NewCache()
	defer k.Close()
	b = k.Get(1)
	b.Reserve(100)
	k.Release(b)
	b = k.Get(1) // the same block
	mustPanic(t, "0 were reserved", func() { b.Commit(1) })
	k.Release(b)
}

// TestSharedIsNotWritten: Append and Reserve panic while anyone else looks at the
// block, and work again afterwards.
func TestSharedIsNotWritten(t *testing.T) {
	var c buffers.Chain
	for _, tt := range []struct {
		name  string
		share func(b *buffers.Buffer) (end func())
	}{
		{"slice", func(b *buffers.Buffer) func() { return b.Slice(0, 1).Release }},
		{"empty slice", func(b *buffers.Buffer) func() { return b.Slice(0, 0).Release }},
		{"split", func(b *buffers.Buffer) func() { return b.Split(1).Release }},
		{"queued", func(b *buffers.Buffer) func() {
			c.Append(nil, b, false)
			return func() { c.Release(nil) }
		}},
		{"lent completion", func(b *buffers.Buffer) func() {
			c.Append(nil, b, false)
			return c.PopFront(nil).Release
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := buffers.New(buffers.Config{})
			b := a.Copy([]byte("abc"))
			end := tt.share(b)
			want := string(b.Bytes())
			mustPanic(t, "Append "+shared, func() { b.Append([]byte("x")) })
			mustPanic(t, "Append "+shared, func() { b.Append(nil) })
			mustPanic(t, "Reserve "+shared, func() { b.Reserve(1) })
			if string(b.Bytes()) != want {
				t.Error("the content changed")
			}
			end()
			b.Append([]byte("x"))
			if string(b.Bytes()) != want+"x" {
				t.Errorf("%q; want %q", b.Bytes(), want+"x")
			}
			b.Release()
			mustBalance(t, a)
		})
	}
}

// TestAddRefIsNotSharing: a view with several references is still the only one.
func TestAddRefIsNotSharing(t *testing.T) {
	a := buffers.New(buffers.Config{})
	b := a.Copy([]byte("abc")).AddRef()
	b.Append([]byte("d"))
	b.Release()
	if string(b.Bytes()) != "abcd" {
		t.Errorf("%q", b.Bytes())
	}
	b.Release()
	mustBalance(t, a)
}

func TestSliceAndSplit(t *testing.T) {
	a := buffers.New(buffers.Config{Leaks: buffers.LeaksAll})
	b := a.Copy([]byte("0123456789"))
	b.SetUserData("mine")
	s := b.Slice(2, 6)
	ss := s.Slice(1, 3)
	h := b.Split(3)
	rest := b.Split(7)
	for _, tt := range []struct {
		name string
		b    *buffers.Buffer
		want string
		user any
	}{
		{"slice", s, "2345", nil}, {"slice of slice", ss, "34", nil},
		{"split", h, "012", nil}, {"split the rest", rest, "3456789", nil},
		{"what remains", b, "", "mine"},
	} {
		if string(tt.b.Bytes()) != tt.want || tt.b.Len() != len(tt.want) || tt.b.UserData() != tt.user {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, tt.b.Bytes(), tt.b.UserData(), tt.want, tt.user)
		}
	}
	s.Consume(2)
	if string(s.Bytes()) != "45" || string(ss.Bytes()) != "34" {
		t.Error("Consume moved more than its own view")
	}
	if p := h.Bytes(); cap(p) != 3 {
		t.Errorf("Bytes has room for %d", cap(p))
	}
	for _, v := range []*buffers.Buffer{b, h, s, rest} { // the first view isn't the last one
		v.Release()
	}
	if s := a.Stats(); s.Outstanding != 1 || string(ss.Bytes()) != "34" {
		t.Errorf("the last view lost its block: %+v", s)
	}
	ss.Append([]byte("!"))
	if string(ss.Bytes()) != "34!" {
		t.Errorf("%q", ss.Bytes())
	}
	ss.Release()
	mustBalance(t, a)
}

func TestRanges(t *testing.T) {
	a := buffers.New(buffers.Config{})
	b := a.Copy([]byte("abc"))
	for _, ij := range [][2]int{{-1, 2}, {2, 1}, {0, 4}} {
		mustPanic(t, "Slice of", func() { b.Slice(ij[0], ij[1]) })
	}
	for _, n := range []int{-1, 4} {
		mustPanic(t, "Split of", func() { b.Split(n) })
		mustPanic(t, "Consume of", func() { b.Consume(n) })
	}
	if string(b.Bytes()) != "abc" {
		t.Errorf("%q", b.Bytes())
	}
	b.Release()
	mustBalance(t, a)
}

func TestCompact(t *testing.T) {
	for _, tt := range []struct {
		capacity, length int
		want             int // capacity afterwards; 0: the same Buffer
	}{
		{512, 0, 0}, {512, 512, 0}, {1024, 513, 0}, {1024, 512, 512},
		{65536, 0, 512}, {65536, 100, 512}, {65536, 32769, 0}, {65536, 20000, 32768},
		{3 << 20, 3 << 20, 0}, {3 << 20, 3<<19 + 1, 0}, {3 << 20, 3 << 19, 3 << 19}, {3 << 20, 10, 512},
	} {
		t.Run(fmt.Sprintf("%d of %d", tt.length, tt.capacity), func(t *testing.T) {
			a := buffers.New(buffers.Config{})
			want := text(tt.length)
			b := a.Get(tt.capacity)
			b.Append(want)
			b.SetUserData(tt.length)
			c := b.Compact()
			if same := c == b; same != (tt.want == 0) {
				t.Errorf("same Buffer: %v", same)
			}
			if tt.want != 0 && c.Cap() != tt.want {
				t.Errorf("cap %d; want %d", c.Cap(), tt.want)
			}
			if !bytes.Equal(c.Bytes(), want) || c.UserData() != tt.length {
				t.Error("the content or the user data changed")
			}
			c.Release()
			mustBalance(t, a)
		})
	}
}

// TestCompactOfAPart: of a shared block only the caller's reference is given up.
func TestCompactOfAPart(t *testing.T) {
	a := buffers.New(buffers.Config{})
	b := a.Copy(text(60000))
	s := b.Slice(100, 200).Compact()
	b.Release()
	if s.Cap() != 512 || !bytes.Equal(s.Bytes(), text(200)[100:]) {
		t.Errorf("cap %d", s.Cap())
	}
	if st := a.Stats(); st.InUse != 512 {
		t.Errorf("%d bytes in use; want 512", st.InUse)
	}
	s.Release()
	mustBalance(t, a)
}

// TestUserDataEnds: a reused Buffer doesn't show what its previous user stored.
func TestUserDataEnds(t *testing.T) {
	a := buffers.New(buffers.Config{})
	k := a.NewCache()
	b := k.Get(1)
	b.SetUserData(1)
	if b.UserData() != 1 {
		t.Error("UserData isn't what was stored")
	}
	k.Release(b)
	if b = k.Get(1); b.UserData() != nil {
		t.Errorf("UserData of a new Buffer is %v", b.UserData())
	}
	k.Release(b)
	k.Close()
	mustBalance(t, a)
}

func TestZeroBuffer(t *testing.T) {
	var b buffers.Buffer
	mustPanic(t, "Release on a Buffer that no Allocator made", b.Release)
}
