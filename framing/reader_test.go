package framing_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/framing"
)

var errTest = errors.New("an error of the test")

func newLineReader(t *testing.T) (*framing.Reader, *buffers.Allocator) {
	a := newAllocator(t)
	return framing.NewReader(must(framing.NewLine(framing.LineConfig{Max: 1000})), a), a
}

// TestMessagesAreKeptByAddRef: one from the middle of a read, and one that was put
// together.
func TestMessagesAreKeptByAddRef(t *testing.T) {
	r, a := newLineReader(t)
	var kept []*buffers.Buffer
	keep := func(msg *buffers.Buffer) error {
		kept = append(kept, msg.AddRef())
		return nil
	}
	for _, p := range []string{"one\ntwo\nth", "ree\nfour\n"} {
		if err := feed(a, r, p, keep); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, msg := range kept {
		got = append(got, string(msg.Bytes()))
		msg.Release()
	}
	if want := []string{"one", "two", "three", "four"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

// TestEachStopsTheReader: with an error of its own, by closing it, and by both. Nothing
// more is delivered, now or later, neither of a message in one piece nor of one that was
// put together.
func TestEachStopsTheReader(t *testing.T) {
	for _, tt := range []struct {
		name  string
		each  func(*framing.Reader) error
		first error // of the Feed
		later error // of the next
		close error // of Close
	}{
		{"an error", func(*framing.Reader) error { return errTest }, errTest, errTest, errTest},
		{"Close", func(r *framing.Reader) error { return r.Close() }, framing.ErrClosed, framing.ErrClosed, nil},
		{"Close and an error", func(r *framing.Reader) error { r.Close(); return errTest }, errTest, framing.ErrClosed, nil},
	} {
		for _, cut := range []int{0, 2} {
			r, a := newLineReader(t)
			input := "one\ntwo\nthr"
			n := 0
			each := func(msg *buffers.Buffer) error {
				n++
				err := tt.each(r)
				if got := string(msg.Bytes()); got != "one" {
					t.Errorf("%s: the message became %q", tt.name, got)
				}
				return err
			}
			if err := feed(a, r, input[:cut], each); err != nil {
				t.Fatal(err)
			}
			if err := feed(a, r, input[cut:], each); !errors.Is(err, tt.first) {
				t.Errorf("%s, cut at %d: %v; want %v", tt.name, cut, err, tt.first)
			}
			if s := a.Stats(); s.InUse != 0 {
				t.Errorf("%s, cut at %d: keeps %d bytes", tt.name, cut, s.InUse)
			}
			if err := feed(a, r, "four\n", each); !errors.Is(err, tt.later) {
				t.Errorf("%s, cut at %d: later %v; want %v", tt.name, cut, err, tt.later)
			}
			if err := r.Close(); !errors.Is(err, tt.close) || (err == nil) != (tt.close == nil) {
				t.Errorf("%s, cut at %d: Close says %v; want %v", tt.name, cut, err, tt.close)
			}
			if n != 1 {
				t.Errorf("%s, cut at %d: %d calls; want 1", tt.name, cut, n)
			}
		}
	}
}

// TestFeedInsideFeedPanics, and doesn't leak.
func TestFeedInsideFeedPanics(t *testing.T) {
	r, a := newLineReader(t)
	b := a.Copy([]byte("one\ntwo"))
	defer b.Release()
	mustPanic(t, "from feeding to feeding", func() {
		_ = r.Feed(b, func(msg *buffers.Buffer) error { return r.Feed(msg, nothing) })
	})
	if err := r.Feed(b, nothing); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("a Feed behind a panic: %v", err)
	}
}

// TestPanicOfEachClosesTheReader: its place in the stream is lost.
func TestPanicOfEachClosesTheReader(t *testing.T) {
	for _, cut := range []int{0, 2} {
		r, a := newLineReader(t)
		input := "one\ntwo"
		if err := feed(a, r, input[:cut], nothing); err != nil {
			t.Fatal(err)
		}
		mustPanic(t, "by the test", func() {
			_ = feed(a, r, input[cut:], func(*buffers.Buffer) error { panic("by the test") })
		})
		if err := r.Close(); err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("cut at %d: Close says %v", cut, err)
		}
	}
}

// TestNeed: a user who reads exactly what is needed gets headers and messages in reads
// of their own, and each message in one piece.
func TestNeed(t *testing.T) {
	a := newAllocator(t)
	r := framing.NewReader(must(framing.NewLength(framing.LengthConfig{Bytes: 2})), a)
	input := "\x00\x03abc\x00\x00\x00\x05hello"
	var needs []int
	var c collector
	for len(input) > 0 {
		n := r.Need()
		needs = append(needs, n)
		b := a.Copy([]byte(input[:n]))
		err := r.Feed(b, func(msg *buffers.Buffer) error {
			if r.Need() != 0 {
				t.Error("needs something inside of each")
			}
			if msg.Len() > 0 && &msg.Bytes()[0] != &b.Bytes()[0] {
				t.Errorf("%q was copied", msg.Bytes())
			}
			return c.take(msg)
		})
		b.Release()
		if err != nil {
			t.Fatal(err)
		}
		input = input[n:]
	}
	if want := []int{2, 3, 2, 2, 5}; !slices.Equal(needs, want) {
		t.Errorf("needed %d; want %d", needs, want)
	}
	if want := []string{"abc", "", "hello"}; !slices.Equal(c.got, want) {
		t.Errorf("%q; want %q", c.got, want)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestIncompleteTellsWhatThereIs.
func TestIncompleteTellsWhatThereIs(t *testing.T) {
	a := newAllocator(t)
	r := framing.NewReader(must(framing.NewLength(framing.LengthConfig{})), a)
	if err := feed(a, r, "\x00\x00\x00\x0aabc", nothing); err != nil {
		t.Fatal(err)
	}
	err := r.Close()
	var e *framing.IncompleteError
	if !errors.As(err, &e) || *e != (framing.IncompleteError{Have: 7, Need: 14}) {
		t.Fatal(err)
	}
	if want := "framing: the stream ended with 7 of at least 14 bytes of a message: unexpected EOF"; err.Error() != want {
		t.Errorf("%q; want %q", err, want)
	}
	if err := feed(a, r, "defghij", nothing); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Feed behind Close: %v", err)
	}
}

// TestClaimsTakeNoMemory: a header that claims the maximum, or more, or a message
// without an end, makes a Reader keep what has come and no more.
func TestClaimsTakeNoMemory(t *testing.T) {
	a := newAllocator(t)
	r := framing.NewReader(must(framing.NewLength(framing.LengthConfig{Max: 1 << 30})), a)
	if err := feed(a, r, "\x40\x00\x00\x00abc", nothing); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.InUse > 512 {
		t.Errorf("keeps %d bytes for 7", s.InUse)
	}
	if n := r.Need(); n != 1<<30-3 {
		t.Errorf("needs %d", n)
	}
	_ = r.Close()

	r = framing.NewReader(must(framing.NewLength(framing.LengthConfig{Max: 1 << 30})), a)
	gets := a.Stats().Gets
	b := a.Copy([]byte("\x40\x00\x00\x01abc"))
	if err := r.Feed(b, nothing); !errors.Is(err, framing.ErrTooLong) {
		t.Error(err)
	}
	b.Release()
	if n := a.Stats().Gets - gets; n != 1 {
		t.Errorf("took memory %d times", n-1)
	}

	r = framing.NewReader(must(framing.NewLine(framing.LineConfig{Max: 1000})), a)
	for i := range 100 {
		err := feed(a, r, string(letters(100)), nothing)
		if (err != nil) != (i >= 10) {
			t.Fatalf("after %d bytes: %v", 100*(i+1), err)
		}
		if s := a.Stats(); s.InUse > 2048 || err != nil && s.InUse > 0 {
			t.Fatalf("keeps %d bytes after %d, %v", s.InUse, 100*(i+1), err)
		}
	}
}

// counting counts the calls of Next.
type counting struct {
	framing.Framing
	calls int
}

func (c *counting) Next(p []byte, seen int) (framing.Frame, error) {
	c.calls++
	return c.Framing.Next(p, seen)
}

// TestJoiningIsCheap: the end of a message that began in another read is found in few
// steps, and without copying much of what follows it.
func TestJoiningIsCheap(t *testing.T) {
	a := newAllocator(t)
	f := &counting{Framing: must(framing.NewLine(framing.LineConfig{}))}
	for _, n := range []int{10, 10_000} {
		r := framing.NewReader(f, a)
		if err := feed(a, r, "a", nothing); err != nil {
			t.Fatal(err)
		}
		b := a.Copy(append(append(letters(n), '\n'), letters(100_000)...))
		read := a.Stats().InUse
		f.calls = 0
		err := r.Feed(b, func(*buffers.Buffer) error {
			if used := a.Stats().InUse - read; used > int64(max(512, 4*n)) {
				t.Errorf("took %d bytes for a message of %d", used, n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if f.calls > 12 {
			t.Errorf("asked %d times about a message of %d bytes", f.calls, n)
		}
		b.Release()
		_ = r.Close()
	}
}

// TestFedBufferIsUntouched: it remains the caller's.
func TestFedBufferIsUntouched(t *testing.T) {
	r, a := newLineReader(t)
	b := a.Copy([]byte("one\ntwo\nthr"))
	b.SetUserData(7)
	if err := r.Feed(b, nothing); err != nil {
		t.Fatal(err)
	}
	if got := string(b.Bytes()); got != "one\ntwo\nthr" || b.UserData() != 7 {
		t.Errorf("%q with %v", got, b.UserData())
	}
	b.Append([]byte("ee")) // panics if the Reader kept a reference
	b.Release()
	_ = r.Close()
}

// oddFraming answers what it is.
type oddFraming struct {
	framing.Frame
	err error
}

func (f oddFraming) Next([]byte, int) (framing.Frame, error) { return f.Frame, f.err }

// TestFramingsAreChecked: an answer that would have the Reader stand still or read
// elsewhere is a mistake of the program; an error is the stream's.
func TestFramingsAreChecked(t *testing.T) {
	a := newAllocator(t)
	for _, f := range []framing.Frame{
		{},
		{Need: 3}, // of 3
		{Settled: true},
		{Settled: true, Need: -1, Start: -1, End: -1},
		{Settled: true, Need: 3, Start: 2, End: 1},
		{Settled: true, Need: 3, Start: -1, End: 1},
		{Settled: true, Need: 3, Start: 1, End: 4},
	} {
		r := framing.NewReader(oddFraming{Frame: f}, a)
		mustPanic(t, "a Framing answered", func() { _ = feed(a, r, "abc", nothing) })
	}

	r := framing.NewReader(oddFraming{err: errTest}, a)
	if n := r.Need(); n != 1 {
		t.Errorf("needs %d bytes to report an error", n)
	}
	if err := feed(a, r, "abc", nothing); !errors.Is(err, errTest) {
		t.Error(err)
	}
}
