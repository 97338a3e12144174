package buffers_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

func TestAppendCopyFillsUp(t *testing.T) {
	withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
		var c buffers.Chain
		add := func(s string, tag, alone bool) { c.AppendCopy(k, a, []byte(s), tag, alone) }
		add("", false, false) // nothing to do
		check(t, &c, 0)
		add("ab", false, false)
		add("cd", false, false)
		check(t, &c, 0, "abcd")
		add("ef", true, false) // another tag
		check(t, &c, 2, "abcd", "ef")
		add("gh", true, true) // its own segment
		add("", true, true)
		check(t, &c, 4, "abcd", "ef", "gh", "")
		add("ij", true, false) // not into one that is alone
		add("kl", true, false)
		check(t, &c, 8, "abcd", "ef", "gh", "", "ijkl")
		appendText(&c, a, k, "mn", true)
		add("op", true, false) // not into a user's Buffer
		check(t, &c, 12, "abcd", "ef", "gh", "", "ijkl", "mn", "op")
		c.Release(k)
	})
}

// TestAppendCopySharesBlocks: many small pieces cost little memory, whether they
// are segments of their own or not.
func TestAppendCopySharesBlocks(t *testing.T) {
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprint("alone ", alone), func(t *testing.T) {
			withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
				var c buffers.Chain
				var want []byte
				for i := range 20000 {
					p := text(10)
					p[0] = byte(i)
					c.AppendCopy(k, a, p, i%3 == 0, alone)
					want = append(want, p...)
				}
				if k != nil {
					k.Publish()
				}
				s := a.Stats()
				if s.InUse > int64(len(want))*2 || s.Outstanding > 25 {
					t.Errorf("%d bytes in %d blocks hold %d bytes", s.InUse, s.Outstanding, len(want))
				}
				if c.Segments() < 20000/3 || alone && c.Segments() != 20000 {
					t.Errorf("%d segments", c.Segments())
				}
				var got []byte
				for c.Len() > 0 {
					got = append(got, c.Front()...)
					c.Consume(k, len(c.Front()))
				}
				if !bytes.Equal(got, want) {
					t.Error("the bytes differ")
				}
			})
		})
	}
}

func TestAppendCopyOfMuch(t *testing.T) {
	for _, n := range []int{64 << 10, 64<<10 + 1, 200 << 10, 3 << 20} {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d alone %v", n, alone), func(t *testing.T) {
				withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
					var c buffers.Chain
					p := text(n)
					c.AppendCopy(k, a, p, false, alone)
					segments := 1
					if !alone {
						segments = (n + 64<<10 - 1) / (64 << 10)
					}
					if c.Segments() != segments || c.Len() != n {
						t.Errorf("%d segments; want %d", c.Segments(), segments)
					}
					if got := bytes.Join(c.Vectors(make([][]byte, 0, 100), n), nil); !bytes.Equal(got, p) {
						t.Error("the bytes differ")
					}
					if k != nil {
						k.Publish()
					}
					if s := a.Stats(); s.InUse > int64(2*n) || !alone && s.InUse > int64(n+64<<10) {
						t.Errorf("%d bytes in use for %d", s.InUse, n)
					}
					c.Release(k)
				})
			})
		}
	}
}

// TestRoomHasOneOwner: segments that share a block may end up in different chains
// and views; only one of them may write behind the last one.
func TestRoomHasOneOwner(t *testing.T) {
	withCaches(t, func(t *testing.T, a *buffers.Allocator, k *buffers.Cache) {
		var c, done buffers.Chain
		c.AppendCopy(k, a, []byte("ab"), false, true)
		c.AppendCopy(k, a, []byte("cd"), false, true)
		c.AppendCopy(k, a, []byte("ef"), false, true)
		c.MoveFront(k, 2, &done)
		done.AppendCopy(k, a, []byte("XX"), false, false)
		view := c.PopData(k) // "cd"
		mustPanic(t, "Append "+shared, func() { view.Append([]byte("YY")) })
		c.AppendCopy(k, a, []byte("gh"), false, false)
		check(t, &c, 0, "ef", "gh")
		check(t, &done, 0, "ab", "XX")
		c.MoveFront(k, 4, &done)
		check(t, &done, 0, "ab", "XX", "ef", "gh")
		done.AppendCopy(k, a, []byte("ij"), false, false)
		check(t, &done, 0, "ab", "XX", "ef", "ghij")
		pop(t, k, view, "cd", nil)
		done.Release(k)
	})
}
