package framing_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"testing"
	"unsafe"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/framing"
)

// span is a message of the reference: where it lies in the input, and where its frame
// ends.
type span struct{ start, end, next int }

// verdict is what the reference makes of an input.
type verdict struct {
	messages []span
	err      error // how Feed fails: ErrTooLong or ErrMalformed
	left     int   // bytes behind the last message, if it doesn't
}

// A reference looks at the whole rest of an input, in the plainest way there is. It
// returns io.ErrUnexpectedEOF if the message isn't complete.
type reference func(rest []byte) (start, end, next int, err error)

func (ref reference) split(input []byte) (v verdict) {
	at := 0
	for at < len(input) {
		start, end, next, err := ref(input[at:])
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			v.err = err
			return v
		}
		v.messages = append(v.messages, span{at + start, at + end, at + next})
		at += next
	}
	v.left = len(input) - at
	return v
}

// lengthReference calculates with numbers that can't overflow.
func lengthReference(c framing.LengthConfig) reference {
	if c.Bytes == 0 {
		c.Bytes = 4
	}
	if c.Max == 0 {
		c.Max = framing.DefaultMax
	}
	return func(rest []byte) (int, int, int, error) {
		digits, base := []byte(nil), int64(256) // the most significant first
		if c.Varint {
			base = 128
			whole := false
			for _, b := range rest {
				digits = append([]byte{b & 127}, digits...)
				if whole = b < 128; whole || len(digits) == 10 {
					break
				}
			}
			if !whole && len(digits) == 10 {
				return 0, 0, 0, framing.ErrMalformed
			}
			if !whole {
				return 0, 0, 0, io.ErrUnexpectedEOF
			}
		} else {
			if len(rest) < c.Bytes {
				return 0, 0, 0, io.ErrUnexpectedEOF
			}
			for i := range c.Bytes {
				if c.LittleEndian {
					digits = append(digits, rest[c.Bytes-1-i])
				} else {
					digits = append(digits, rest[i])
				}
			}
		}
		n := new(big.Int)
		for _, d := range digits {
			n.Mul(n, big.NewInt(base)).Add(n, big.NewInt(int64(d)))
		}
		if n.BitLen() > 64 {
			return 0, 0, 0, framing.ErrMalformed
		}
		head := len(digits)
		if c.Included {
			n.Sub(n, big.NewInt(int64(head)))
		}
		if n.Sign() < 0 {
			return 0, 0, 0, framing.ErrMalformed
		}
		if n.Cmp(big.NewInt(int64(c.Max))) > 0 {
			return 0, 0, 0, framing.ErrTooLong
		}
		end := head + int(n.Int64())
		if end > len(rest) {
			return 0, 0, 0, io.ErrUnexpectedEOF
		}
		if c.Keep {
			return 0, end, end, nil
		}
		return head, end, end, nil
	}
}

func delimiterReference(c framing.DelimiterConfig) reference {
	return func(rest []byte) (int, int, int, error) {
		for i := range rest {
			switch {
			case bytes.HasPrefix(rest[i:], c.Delimiter):
				return 0, i, i + len(c.Delimiter), nil
			case i+len(c.Delimiter) > len(rest):
				return 0, 0, 0, io.ErrUnexpectedEOF
			case i == c.Max:
				return 0, 0, 0, framing.ErrTooLong
			}
		}
		return 0, 0, 0, io.ErrUnexpectedEOF
	}
}

func lineReference(c framing.LineConfig) reference {
	return func(rest []byte) (int, int, int, error) {
		line, _, found := bytes.Cut(rest, []byte("\n"))
		next := len(line) + 1
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case found && len(line) <= c.Max:
			return 0, len(line), next, nil
		case found || len(rest) >= c.Max+2:
			return 0, 0, 0, framing.ErrTooLong
		default:
			return 0, 0, 0, io.ErrUnexpectedEOF
		}
	}
}

func fixedReference(c framing.FixedConfig) reference {
	return func(rest []byte) (int, int, int, error) {
		if len(rest) < c.Size {
			return 0, 0, 0, io.ErrUnexpectedEOF
		}
		return 0, c.Size, c.Size, nil
	}
}

// subject is a framing together with its reference.
type subject struct {
	name    string
	framing framing.Framing
	encoder framing.Encoder
	ref     reference
}

func lengthSubject(c framing.LengthConfig) subject {
	l := must(framing.NewLength(c))
	return subject{fmt.Sprintf("Length%+v", c), l, l, lengthReference(c)}
}

func delimiterSubject(c framing.DelimiterConfig) subject {
	d := must(framing.NewDelimiter(c))
	return subject{fmt.Sprintf("Delimiter{%q %d}", c.Delimiter, c.Max), d, d, delimiterReference(c)}
}

func lineSubject(c framing.LineConfig) subject {
	l := must(framing.NewLine(c))
	return subject{fmt.Sprintf("Line%+v", c), l, l, lineReference(c)}
}

func fixedSubject(c framing.FixedConfig) subject {
	f := must(framing.NewFixed(c))
	return subject{fmt.Sprintf("Fixed%+v", c), f, f, fixedReference(c)}
}

// subjects are all kinds of framings, with maxima that small inputs can exceed.
func subjects() []subject {
	s := []subject{
		delimiterSubject(framing.DelimiterConfig{Delimiter: []byte{0}, Max: 3}),
		delimiterSubject(framing.DelimiterConfig{Delimiter: []byte{1, 0}, Max: 4}),
		delimiterSubject(framing.DelimiterConfig{Delimiter: []byte{1, 1, 2}, Max: 2}),
		lineSubject(framing.LineConfig{Max: 3}),
		lineSubject(framing.LineConfig{Max: 1000, CRLF: true}),
		fixedSubject(framing.FixedConfig{Size: 1}),
		fixedSubject(framing.FixedConfig{Size: 3}),
		fixedSubject(framing.FixedConfig{Size: 100}),
	}
	for _, included := range []bool{false, true} {
		for _, keep := range []bool{false, true} {
			for bytes := 1; bytes <= 8; bytes++ {
				s = append(s, lengthSubject(framing.LengthConfig{Bytes: bytes, LittleEndian: bytes%2 == 0, Included: included, Keep: keep, Max: 200}))
			}
			s = append(s, lengthSubject(framing.LengthConfig{Varint: true, Included: included, Keep: keep, Max: 200}))
		}
	}
	return s
}

// longSubjects are framings with room for long messages.
func longSubjects() []subject {
	return []subject{
		lengthSubject(framing.LengthConfig{}),
		lengthSubject(framing.LengthConfig{Varint: true, Keep: true}),
		delimiterSubject(framing.DelimiterConfig{Delimiter: []byte("--"), Max: 150_000}),
		lineSubject(framing.LineConfig{Max: 150_000}),
	}
}

// checkSplit feeds input to a new Reader in segments that end at the cuts (ascending) and
// at the input's end, and fails unless it does what the reference says: the messages,
// each in the read's memory if it lies in one segment, the error, what is left, how many
// bytes it says to need, the memory that it keeps, and that all of it comes back.
func checkSplit(t *testing.T, a *buffers.Allocator, s subject, input []byte, cuts []int) {
	t.Helper()
	want := s.ref.split(input)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %d bytes %.100q cut at %d: %s", s.name, len(input), input, cuts, fmt.Sprintf(format, args...))
	}
	r := framing.NewReader(s.framing, a)
	n := 0 // messages so far
	from := 0
	var err error
	for _, to := range append(cuts[:len(cuts):len(cuts)], len(input)) {
		b := a.Copy(input[from:to])
		need := r.Need()
		if err == nil && need < 1 {
			fail("needs %d bytes at %d", need, from)
		}
		before := n
		err = r.Feed(b, func(msg *buffers.Buffer) error {
			if n == len(want.messages) {
				fail("an extra message %.100q", msg.Bytes())
			}
			m := want.messages[n]
			if !bytes.Equal(msg.Bytes(), input[m.start:m.end]) {
				fail("message %d is %.100q, not %.100q", n, msg.Bytes(), input[m.start:m.end])
			}
			if m.next <= from || m.next > to {
				fail("message %d, which ends at %d, came between %d and %d", n, m.next, from, to)
			}
			if m.start >= from && m.start < m.end && unsafe.SliceData(msg.Bytes()) != &b.Bytes()[m.start-from] {
				fail("message %d was copied, though it lies in one piece", n)
			}
			n++
			return nil
		})
		if to-from < need && n > before {
			fail("needed %d bytes at %d, and had a message with %d", need, from, to-from)
		}
		b.Release()
		from = to
		at := 0
		if n > 0 {
			at = want.messages[n-1].next
		}
		if used := a.Stats().InUse; used > int64(max(512, 2*(to-at))) && to > at || used > 0 && (to == at || err != nil) {
			fail("keeps %d bytes at %d, with a message that began at %d", used, to, at)
		}
	}
	if n != len(want.messages) {
		fail("%d messages, want %d", n, len(want.messages))
	}
	if !errors.Is(err, want.err) {
		fail("error %v, want %v", err, want.err)
	}
	checkEnd(fail, r, want)
	if used := a.Stats().InUse; used != 0 {
		fail("keeps %d bytes behind Close", used)
	}
}

// checkEnd closes r twice.
func checkEnd(fail func(string, ...any), r *framing.Reader, want verdict) {
	for range 2 {
		err := r.Close()
		switch {
		case want.err != nil:
			if !errors.Is(err, want.err) {
				fail("Close says %v, want %v", err, want.err)
			}
		case want.left == 0:
			if err != nil {
				fail("Close says %v between two messages", err)
			}
		default:
			var e *framing.IncompleteError
			if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &e) || e.Have != want.left || e.Need <= e.Have {
				fail("Close says %v, with %d bytes left", err, want.left)
			}
		}
		if n := r.Need(); n != 0 {
			fail("needs %d bytes behind Close", n)
		}
	}
}
