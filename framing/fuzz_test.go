package framing_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/framing"
)

// cutsFrom reads the lengths of segments: one for each byte, except that the last is
// what's left.
func cutsFrom(p []byte, n int) (cuts []int) {
	at := 0
	for _, b := range p {
		at += int(b)
		if at > n || len(cuts) == 100 {
			break
		}
		cuts = append(cuts, at)
	}
	return cuts
}

// fuzzSplit compares with the reference, in one piece, as the fuzzer cuts it, and byte by
// byte.
func fuzzSplit(t *testing.T, s subject, input, segments []byte) {
	a := buffers.New(buffers.Config{Debug: true, Leaks: buffers.LeaksAll})
	checkSplit(t, a, s, input, nil)
	checkSplit(t, a, s, input, cutsFrom(segments, len(input)))
	if len(input) <= 200 {
		checkSplit(t, a, s, input, cutsFrom(bytes.Repeat([]byte{1}, len(input)), len(input)))
	}
	mustBalance(t, a)
}

// FuzzLength: shape is the configuration.
func FuzzLength(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00"), []byte{2, 3}, byte(4), 100)
	f.Add([]byte("\x07\x00hello\x02\x00"), []byte{1, 1}, byte(2|16|32), 100)
	f.Add([]byte("\x81\x01abc"), []byte{}, byte(64), 100)
	f.Add([]byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), []byte{9}, byte(64|128), 100)
	f.Fuzz(func(t *testing.T, input, segments []byte, shape byte, limit int) {
		c := framing.LengthConfig{
			Bytes:        int(shape & 15),
			LittleEndian: shape&16 != 0,
			Included:     shape&32 != 0,
			Varint:       shape&64 != 0,
			Keep:         shape&128 != 0,
			Max:          limit,
		}
		if _, err := framing.NewLength(c); err != nil {
			return
		}
		fuzzSplit(t, lengthSubject(c), input, segments)
	})
}

func FuzzDelimiter(f *testing.F) {
	f.Add([]byte("ab--c--d-"), []byte{3, 1}, []byte("--"), 3)
	f.Add([]byte("aaaaaaa"), []byte{1, 1, 1}, []byte("aab"), 5)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), []byte{25, 1}, []byte("\r\n\r\n"), 100)
	f.Fuzz(func(t *testing.T, input, segments, delimiter []byte, limit int) {
		c := framing.DelimiterConfig{Delimiter: delimiter, Max: limit}
		if _, err := framing.NewDelimiter(c); err != nil || limit == 0 {
			return
		}
		fuzzSplit(t, delimiterSubject(c), input, segments)
	})
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("one\r\ntwo\n\r\n\nthr\ree"), []byte{4, 0, 1}, 3)
	f.Add([]byte("abcd\r\n"), []byte{5}, 4)
	f.Add([]byte("\n\n\n\r\r\r"), []byte{}, 1)
	f.Fuzz(func(t *testing.T, input, segments []byte, limit int) {
		c := framing.LineConfig{Max: limit}
		if _, err := framing.NewLine(c); err != nil || limit == 0 || limit > math.MaxInt-2 {
			return
		}
		fuzzSplit(t, lineSubject(c), input, segments)
	})
}

// FuzzWriter: what a Writer takes is read as it was written, with any framing, and what
// it refuses would not be.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("hello"), []byte("wor-ld"), []byte("--"), byte(4), 10)
	f.Add([]byte("aba"), []byte(""), []byte("abaaba"), byte(64), 127)
	f.Add([]byte("line\r"), []byte("li\rne"), []byte("\r\n"), byte(32|64), 5)
	f.Fuzz(func(t *testing.T, one, two, delimiter []byte, shape byte, limit int) {
		framings := map[string]both{}
		if l, err := framing.NewLength(framing.LengthConfig{Bytes: int(shape & 15), LittleEndian: shape&16 != 0, Included: shape&32 != 0, Varint: shape&64 != 0, Max: limit}); err == nil {
			framings["length"] = l
		}
		if d, err := framing.NewDelimiter(framing.DelimiterConfig{Delimiter: delimiter, Max: limit}); err == nil {
			framings["delimiter"] = d
		}
		if l, err := framing.NewLine(framing.LineConfig{Max: limit, CRLF: shape&128 != 0}); err == nil {
			framings["line"] = l
		}
		if f, err := framing.NewFixed(framing.FixedConfig{Size: len(one)}); err == nil {
			framings["fixed"] = f
		}
		for name, f := range framings {
			a := buffers.New(buffers.Config{Debug: true, Leaks: buffers.LeaksAll})
			fuzzWriter(t, a, name, f, [][]byte{one, two})
			mustBalance(t, a)
		}
	})
}

func fuzzWriter(t *testing.T, a *buffers.Allocator, name string, f both, messages [][]byte) {
	w := framing.NewWriter(f, a)
	r := framing.NewReader(f, a)
	var want []string
	var c collector
	for _, p := range messages {
		msg := a.Copy(p)
		var s fakeStream
		err := w.Write(&s, msg)
		s.release()
		msg.Release()
		if err != nil {
			refused(t, a, name, f, p)
			continue
		}
		want = append(want, string(p))
		if err := feed(a, r, string(s.text), c.take); err != nil {
			t.Fatalf("%s: %q: %v", name, s.text, err)
		}
	}
	if err := r.Close(); err != nil || !slices.Equal(c.got, want) {
		t.Fatalf("%s: %q, %v; want %q", name, c.got, err, want)
	}
}

// refused fails if p would have been read as it is, with the tail alone around it: of
// Length nothing can be said, it has no head for what it refuses.
func refused(t *testing.T, a *buffers.Allocator, name string, f both, p []byte) {
	if name == "length" {
		return
	}
	r := framing.NewReader(f, a)
	var c collector
	err := feed(a, r, string(f.AppendTail(bytes.Clone(p))), c.take)
	if end := r.Close(); err == nil && end == nil && len(c.got) == 1 && c.got[0] == string(p) {
		t.Fatalf("%s: %q was refused, though it's read as it is", name, p)
	}
}
