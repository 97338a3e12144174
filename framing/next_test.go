package framing_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/framing"
)

// TestNext: what each framing says about the front of a stream.
func TestNext(t *testing.T) {
	length := func(c framing.LengthConfig) framing.Framing { return must(framing.NewLength(c)) }
	delimiter := func(d string, limit int) framing.Framing {
		return must(framing.NewDelimiter(framing.DelimiterConfig{Delimiter: []byte(d), Max: limit}))
	}
	line := func(limit int) framing.Framing { return must(framing.NewLine(framing.LineConfig{Max: limit})) }
	need := func(n int) framing.Frame { return framing.Frame{Need: n} }
	at := func(start, end, need int) framing.Frame {
		return framing.Frame{Need: need, Start: start, End: end, Settled: true}
	}
	for _, tt := range []struct {
		name string
		f    framing.Framing
		p    string
		seen int
		want framing.Frame
		err  error
	}{
		{"length, nothing", length(framing.LengthConfig{}), "", 0, need(4), nil},
		{"length, part of the header", length(framing.LengthConfig{}), "\x00\x00\x01", 1, need(4), nil},
		{"length, header", length(framing.LengthConfig{}), "\x00\x00\x01\x02", 3, at(4, 4+258, 4+258), nil},
		{"length, empty message", length(framing.LengthConfig{Bytes: 1}), "\x00abc", 0, at(1, 1, 1), nil},
		{"length, kept", length(framing.LengthConfig{Bytes: 1, Keep: true}), "\x02", 0, at(0, 3, 3), nil},
		{"length, included", length(framing.LengthConfig{Bytes: 2, Included: true}), "\x00\x05", 0, at(2, 5, 5), nil},
		{"length, included, empty", length(framing.LengthConfig{Bytes: 2, Included: true}), "\x00\x02", 0, at(2, 2, 2), nil},
		{"length, included, too small", length(framing.LengthConfig{Bytes: 2, Included: true}), "\x00\x01", 0, framing.Frame{}, framing.ErrMalformed},
		{"length, little", length(framing.LengthConfig{Bytes: 3, LittleEndian: true}), "\x02\x01\x00", 0, at(3, 3+258, 3+258), nil},
		{"length, maximum", length(framing.LengthConfig{Bytes: 1, Max: 9}), "\x09", 0, at(1, 10, 10), nil},
		{"length, maximum with the header", length(framing.LengthConfig{Bytes: 1, Max: 9, Included: true}), "\x0a", 0, at(1, 10, 10), nil},
		{"length, above", length(framing.LengthConfig{Bytes: 1, Max: 9}), "\x0a", 0, framing.Frame{}, framing.ErrTooLong},
		{"length, default maximum", length(framing.LengthConfig{}), "\x00\x10\x00\x00", 0, at(4, 4+1<<20, 4+1<<20), nil},
		{"length, above the default", length(framing.LengthConfig{}), "\x00\x10\x00\x01", 0, framing.Frame{}, framing.ErrTooLong},
		{"length, no bound, 63 bits", length(framing.LengthConfig{Bytes: 8, Max: math.MaxInt}), "\x7f\xff\xff\xff\xff\xff\xff\xff", 0, framing.Frame{}, framing.ErrTooLong},
		{"length, 64 bits", length(framing.LengthConfig{Bytes: 8, Max: math.MaxInt}), "\xff\xff\xff\xff\xff\xff\xff\xff", 0, framing.Frame{}, framing.ErrTooLong},

		{"varint, nothing", length(framing.LengthConfig{Varint: true}), "", 0, need(1), nil},
		{"varint, part of it", length(framing.LengthConfig{Varint: true}), "\x80\x80", 0, need(3), nil},
		{"varint", length(framing.LengthConfig{Varint: true}), "\xac\x02", 1, at(2, 302, 302), nil},
		{"varint, included", length(framing.LengthConfig{Varint: true, Included: true}), "\xac\x02", 1, at(2, 300, 300), nil},
		{"varint, included, too small", length(framing.LengthConfig{Varint: true, Included: true}), "\x00", 0, framing.Frame{}, framing.ErrMalformed},
		{"varint, longer than it must be", length(framing.LengthConfig{Varint: true}), "\x81\x00", 0, at(2, 3, 3), nil},
		{"varint, endless", length(framing.LengthConfig{Varint: true}), strings.Repeat("\x80", 10), 0, framing.Frame{}, framing.ErrMalformed},
		{"varint, 65 bits", length(framing.LengthConfig{Varint: true}), strings.Repeat("\xff", 9) + "\x02", 0, framing.Frame{}, framing.ErrMalformed},
		{"varint, 64 bits", length(framing.LengthConfig{Varint: true}), strings.Repeat("\xff", 9) + "\x01", 0, framing.Frame{}, framing.ErrTooLong},

		{"delimiter, nothing", delimiter("--", 3), "", 0, need(1), nil},
		{"delimiter, not yet", delimiter("--", 3), "ab-", 0, need(4), nil},
		{"delimiter", delimiter("--", 3), "ab--c", 0, at(0, 2, 4), nil},
		{"delimiter, half of it seen", delimiter("--", 3), "ab--c", 3, at(0, 2, 4), nil},
		{"delimiter, alone", delimiter("--", 3), "--", 0, at(0, 0, 2), nil},
		{"delimiter, maximum", delimiter("--", 3), "abc--", 0, at(0, 3, 5), nil},
		{"delimiter, perhaps", delimiter("--", 3), "abc-", 0, need(5), nil},
		{"delimiter, above", delimiter("--", 3), "abcd--", 0, framing.Frame{}, framing.ErrTooLong},
		{"delimiter, beyond", delimiter("--", 3), "abcd-", 4, framing.Frame{}, framing.ErrTooLong},
		{"delimiter, no bound", delimiter("--", math.MaxInt), "abcd-", 0, need(6), nil},

		{"line, nothing", line(3), "", 0, need(1), nil},
		{"line, not yet", line(3), "ab\r", 0, need(4), nil},
		{"line, LF", line(3), "ab\nc", 2, at(0, 2, 3), nil},
		{"line, CRLF", line(3), "ab\r\nc", 3, at(0, 2, 4), nil},
		{"line, CR inside", line(3), "a\rb\n", 0, at(0, 3, 4), nil},
		{"line, empty", line(3), "\n", 0, at(0, 0, 1), nil},
		{"line, empty with CR", line(3), "\r\n", 0, at(0, 0, 2), nil},
		{"line, maximum", line(3), "abc\r\n", 0, at(0, 3, 5), nil},
		{"line, one above", line(3), "abcd\n", 0, framing.Frame{}, framing.ErrTooLong},
		{"line, above", line(3), "abcde", 0, framing.Frame{}, framing.ErrTooLong},
		{"line, above, the end in sight", line(3), "abcde\n", 0, framing.Frame{}, framing.ErrTooLong},

		{"fixed, nothing", must(framing.NewFixed(framing.FixedConfig{Size: 7})), "", 0, at(0, 7, 7), nil},
	} {
		got, err := tt.f.Next([]byte(tt.p), tt.seen)
		if got != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: %+v, %v; want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestTooLongTellsSizeAndLimit, read and written.
func TestTooLongTellsSizeAndLimit(t *testing.T) {
	length := must(framing.NewLength(framing.LengthConfig{Max: 100}))
	tiny := must(framing.NewLength(framing.LengthConfig{Bytes: 1, Included: true}))
	delimiter := must(framing.NewDelimiter(framing.DelimiterConfig{Delimiter: []byte("."), Max: 100}))
	line := must(framing.NewLine(framing.LineConfig{Max: 100}))
	fixed := must(framing.NewFixed(framing.FixedConfig{Size: 100}))
	next := func(f framing.Framing, p string) error { _, err := f.Next([]byte(p), 0); return err }
	head := func(e framing.Encoder, n int) error { _, err := e.AppendHead(nil, letters(n)); return err }
	for _, tt := range []struct {
		name string
		err  error
		want framing.TooLongError
	}{
		{"length", next(length, "\xff\xff\xff\xff"), framing.TooLongError{Max: 100, Size: 1<<32 - 1}},
		{"delimiter", next(delimiter, string(letters(300))), framing.TooLongError{Max: 100, Size: 101}},
		{"line", next(line, string(letters(300))), framing.TooLongError{Max: 100, Size: 101}},
		{"write length", head(length, 300), framing.TooLongError{Max: 100, Size: 300}},
		{"write what the header can't say", head(tiny, 255), framing.TooLongError{Max: 254, Size: 255}},
		{"write delimiter", head(delimiter, 300), framing.TooLongError{Max: 100, Size: 300}},
		{"write line", head(line, 300), framing.TooLongError{Max: 100, Size: 300}},
		{"write fixed", head(fixed, 300), framing.TooLongError{Max: 100, Size: 300}},
	} {
		var e *framing.TooLongError
		if !errors.As(tt.err, &e) || *e != tt.want || !errors.Is(tt.err, framing.ErrTooLong) {
			t.Errorf("%s: %v; want %v", tt.name, tt.err, &tt.want)
		}
		if errors.Is(tt.err, framing.ErrMalformed) {
			t.Errorf("%s is malformed too", tt.name)
		}
	}
	want := "framing: message of 300 bytes or more, the maximum is 100"
	if got := (&framing.TooLongError{Max: 100, Size: 300}).Error(); got != want {
		t.Errorf("%q; want %q", got, want)
	}
}
