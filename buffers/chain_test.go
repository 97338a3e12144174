package buffers_test

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/sluice-net/sluice/buffers"
)

func TestChainIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(buffers.Chain{}); n > 48 {
		t.Errorf("%d bytes; a connection has room for 48", n)
	}
}

// withCaches runs f with a Cache and without, in normal and in debug mode, and
// checks that everything comes back.
func withCaches(t *testing.T, f func(t *testing.T, a *buffers.Allocator, k *buffers.Cache)) {
	t.Helper()
	for _, debug := range []bool{false, true} {
		for _, cached := range []bool{false, true} {
			t.Run(fmt.Sprintf("debug %v cache %v", debug, cached), func(t *testing.T) {
				a := buffers.New(buffers.Config{Debug: debug, Leaks: buffers.LeaksAll})
				var k *buffers.Cache
				if cached {
					k = a.NewCache()
				}
				f(t, a, k)
				if cached {
					k.Close()
				}
				mustBalance(t, a)
				a.Trim()
				if s := a.Stats(); s.Misuses != 0 {
					t.Errorf("%d misuses", s.Misuses)
				}
			})
		}
	}
}

// check compares what the chain has with what it should have, segment by segment;
// an empty string is a segment without bytes.
func check(t *testing.T, c *buffers.Chain, tagged int, want ...string) {
	t.Helper()
	total := 0
	var full []string
	for _, w := range want {
		total += len(w)
		if w != "" {
			full = append(full, w)
		}
	}
	if c.Len() != total || c.Segments() != len(want) || c.Tagged() != tagged {
		t.Errorf("Len %d, Segments %d, Tagged %d; want %d, %d, %d",
			c.Len(), c.Segments(), c.Tagged(), total, len(want), tagged)
	}
	var got []string
	for _, v := range c.Vectors(make([][]byte, 0, 100), 1<<30) {
		got = append(got, string(v))
	}
	if !slices.Equal(got, full) {
		t.Errorf("segments %q; want %q", got, full)
	}
	if front := c.Front(); (front == nil) != (len(want) == 0) || len(want) > 0 && string(front) != want[0] {
		t.Errorf("Front %q; want the first of %q", front, want)
	}
}

// appendText appends a new Buffer with text s as both its content and user data.
func appendText(c *buffers.Chain, a *buffers.Allocator, k *buffers.Cache, s string, tag bool) {
	b := a.Copy([]byte(s))
	b.SetUserData(s)
	c.Append(k, b, tag)
	k.Release(b)
}

// pop compares a popped Buffer with what is wanted and releases it.
func pop(t *testing.T, k *buffers.Cache, b *buffers.Buffer, want string, user any) {
	t.Helper()
	if b == nil {
		t.Errorf("no Buffer; want %q", want)
		return
	}
	if string(b.Bytes()) != want || b.UserData() != user {
		t.Errorf("%q with %v; want %q with %v", b.Bytes(), b.UserData(), want, user)
	}
	k.Release(b)
}

func TestChainAppendIsASnapshot(t *testing.T) {
	withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
		var c buffers.Chain
		b := a.Copy([]byte("hello"))
		b.SetUserData(1)
		c.Append(k, b, true)
		b.Consume(2)
		b.SetUserData(2)
		c.Append(k, b, false)
		b.Release()
		check(t, &c, 5, "hello", "llo")
		pop(t, k, c.PopFront(k), "hello", 1)
		pop(t, k, c.PopFront(k), "llo", 2)
		check(t, &c, 0)
		if c.PopFront(k) != nil || c.PopData(k) != nil {
			t.Error("a Buffer from an empty chain")
		}
	})
}

func TestChainConsume(t *testing.T) {
	for _, tt := range []struct {
		n      int
		tagged int
		want   []string
	}{
		// segments "", "ab", "", "cde", ""; the last two are tagged
		{0, 3, []string{"ab", "", "cde", ""}},
		{1, 3, []string{"b", "", "cde", ""}},
		{2, 3, []string{"cde", ""}},
		{3, 2, []string{"de", ""}},
		{5, 0, nil},
	} {
		t.Run(fmt.Sprint(tt.n), func(t *testing.T) {
			withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
				var c buffers.Chain
				for i, s := range []string{"", "ab", "", "cde", ""} {
					appendText(&c, a, k, s, i >= 3)
				}
				check(t, &c, 3, "", "ab", "", "cde", "")
				c.Consume(k, tt.n)
				check(t, &c, tt.tagged, tt.want...)
				mustPanic(t, "bytes from a Chain of", func() { c.Consume(k, c.Len()+1) })
				mustPanic(t, "Consume of -1 bytes", func() { c.Consume(k, -1) })
				check(t, &c, tt.tagged, tt.want...)
				c.Release(k)
				check(t, &c, 0)
				c.Release(k)
			})
		})
	}
}

func TestChainMoveFront(t *testing.T) {
	withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
		var c, done buffers.Chain
		appendText(&done, a, k, "x", false)
		appendText(&c, a, k, "", false)
		appendText(&c, a, k, "abc", true)
		c.AppendCopy(k, a, []byte("defg"), true, true)
		c.AppendCopy(k, a, nil, true, true)
		appendText(&c, a, k, "hi", false)
		check(t, &c, 7, "", "abc", "defg", "", "hi")

		c.MoveFront(k, 0, &done)
		check(t, &c, 7, "abc", "defg", "", "hi")
		check(t, &done, 0, "x", "")

		c.MoveFront(k, 2, &done)
		check(t, &c, 5, "c", "defg", "", "hi")
		check(t, &done, 0, "x", "")

		c.MoveFront(k, 2, &done)
		check(t, &c, 3, "efg", "", "hi")
		check(t, &done, 3, "x", "", "abc")

		c.MoveFront(k, 4, &done)
		check(t, &c, 0, "i")
		check(t, &done, 7, "x", "", "abc", "defg", "")

		c.MoveFront(k, 1, &done)
		check(t, &c, 0)
		check(t, &done, 7, "x", "", "abc", "defg", "", "hi")

		// A completed Send completes with an empty Buffer.
		pop(t, k, done.PopFront(k), "x", "x")
		pop(t, k, done.PopFront(k), "", "")
		pop(t, k, done.PopFront(k), "abc", "abc")
		pop(t, k, done.PopFront(k), "", nil)
		pop(t, k, done.PopFront(k), "", nil)
		pop(t, k, done.PopFront(k), "hi", "hi")
		check(t, &done, 0)
	})
}

// TestChainPopAfterConsume: PopFront lends the whole, PopData gives the rest.
func TestChainPopAfterConsume(t *testing.T) {
	withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
		for _, tt := range []struct {
			name string
			pop  func(*buffers.Chain, *buffers.Cache) *buffers.Buffer
			copy bool
			want string
			user any
		}{
			{"PopFront", (*buffers.Chain).PopFront, false, "abc", "abc"},
			{"PopData", (*buffers.Chain).PopData, false, "c", "abc"},
			{"PopFront", (*buffers.Chain).PopFront, true, "", nil},
			{"PopData", (*buffers.Chain).PopData, true, "c", nil},
		} {
			var c buffers.Chain
			if tt.copy {
				c.AppendCopy(k, a, []byte("abc"), true, false)
			} else {
				appendText(&c, a, k, "abc", true)
			}
			c.Consume(k, 2)
			b := tt.pop(&c, k)
			if string(b.Bytes()) != tt.want || b.UserData() != tt.user {
				t.Errorf("%s, copy %v: %q with %v; want %q with %v",
					tt.name, tt.copy, b.Bytes(), b.UserData(), tt.want, tt.user)
			}
			b.Append([]byte("!")) // it is the only one of its block
			if string(b.Bytes()) != tt.want+"!" {
				t.Errorf("%q after Append; want %q", b.Bytes(), tt.want+"!")
			}
			check(t, &c, 0)
			k.Release(b)
		}
	})
}

func TestChainMoveAll(t *testing.T) {
	withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
		var x, y buffers.Chain
		x.MoveAll(&y)
		check(t, &y, 0)
		appendText(&x, a, k, "ab", true)
		x.AppendCopy(k, a, []byte("c"), false, false)
		x.MoveAll(&x)
		check(t, &x, 2, "ab", "c")
		x.MoveAll(&y)
		check(t, &x, 0)
		check(t, &y, 2, "ab", "c")
		x.AppendCopy(k, a, []byte("d"), true, false)
		x.MoveAll(&y)
		y.AppendCopy(k, a, []byte("e"), true, false) // still has the room
		check(t, &y, 4, "ab", "c", "de")
		x.Release(k)
		y.Release(k)
	})
}

func TestVectors(t *testing.T) {
	a := buffers.New(buffers.Config{})
	var c buffers.Chain
	for _, s := range []string{"ab", "", "cde", "f"} {
		appendText(&c, a, nil, s, false)
	}
	for _, tt := range []struct {
		room, limit int
		want        []string
	}{
		{10, 100, []string{"ab", "cde", "f"}},
		{10, 6, []string{"ab", "cde", "f"}},
		{10, 5, []string{"ab", "cde"}},
		{10, 4, []string{"ab", "cd"}},
		{10, 1, []string{"a"}},
		{10, 0, nil},
		{10, -1, nil},
		{2, 100, []string{"ab", "cde"}},
		{1, 100, []string{"ab"}},
		{0, 100, nil},
	} {
		dst := make([][]byte, tt.room/2, tt.room)
		var got []string
		for _, v := range c.Vectors(dst, tt.limit) {
			if cap(v) != len(v) {
				t.Errorf("%q has room for %d", v, cap(v))
			}
			got = append(got, string(v))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("Vectors(%d, %d): %q; want %q", tt.room, tt.limit, got, tt.want)
		}
	}
	c.Release(nil)
	mustBalance(t, a)
}

// TestEmptyChainHoldsNothing.
func TestEmptyChainHoldsNothing(t *testing.T) {
	withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
		var c buffers.Chain
		for range 3 {
			c.AppendCopy(k, a, text(100000), true, false)
			appendText(&c, a, k, "abc", false)
			c.AppendCopy(k, a, nil, true, true)
			c.Consume(k, c.Len())
			if c != (buffers.Chain{}) {
				t.Errorf("not a zero Chain: %d segments, %d tagged", c.Segments(), c.Tagged())
			}
			if k != nil {
				k.Publish()
			}
			if s := a.Stats(); s.Outstanding != 0 {
				t.Errorf("%d blocks outstanding", s.Outstanding)
			}
		}
	})
}
