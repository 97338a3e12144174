package framing_test

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/framing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newAllocator makes an Allocator that panics at misuse, and that everything must have
// come back to at the end of the test.
func newAllocator(t *testing.T) *buffers.Allocator {
	t.Helper()
	a := buffers.New(buffers.Config{Debug: true, Leaks: buffers.LeaksAll})
	t.Cleanup(func() { mustBalance(t, a) })
	return a
}

// mustBalance fails unless everything that a handed out has come back, unharmed.
func mustBalance(t *testing.T, a *buffers.Allocator) {
	t.Helper()
	a.Trim()
	if s := a.Stats(); s.Outstanding != 0 || s.InUse != 0 || s.Misuses != 0 {
		t.Errorf("not everything came back: %+v", s)
	}
	if l := a.Leaks(); len(l) != 0 {
		t.Errorf("%d leaks; the first of %d bytes from\n%s", len(l), l[0].Size, l[0].Stack)
	}
}

// must takes a constructor's result.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// collector keeps copies of the messages.
type collector struct{ got []string }

func (c *collector) take(msg *buffers.Buffer) error {
	c.got = append(c.got, string(msg.Bytes()))
	return nil
}

// feed gives p to r in a Buffer of its own.
func feed(a *buffers.Allocator, r *framing.Reader, p string, each func(*buffers.Buffer) error) error {
	b := a.Copy([]byte(p))
	defer b.Release()
	return r.Feed(b, each)
}

// nothing takes messages that a test doesn't look at.
func nothing(*buffers.Buffer) error { return nil }

// mustPanic runs f and fails unless it panics with a message that contains text.
func mustPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if v == nil {
			t.Fatalf("no panic; want one about %q", text)
		}
		if msg, _ := v.(string); !strings.Contains(msg, text) {
			t.Fatalf("panic %v; want one about %q", v, text)
		}
	}()
	f()
}

// letters is n bytes that differ from one place to the next, none of them a delimiter.
func letters(n int) []byte {
	return bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), n/26+1)[:n]
}
