package framing_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
)

var _ framing.Stream = (*conn.Stream)(nil)

// fakeStream keeps what is written, as references and as text.
type fakeStream struct {
	writes int
	pieces []*buffers.Buffer
	text   []byte
	err    error
}

func (s *fakeStream) Writev(bs ...*buffers.Buffer) error {
	if s.err != nil {
		return s.err
	}
	s.writes++
	for _, b := range bs {
		s.pieces = append(s.pieces, b.AddRef())
		s.text = append(s.text, b.Bytes()...)
	}
	return nil
}

// release gives back what was kept.
func (s *fakeStream) release() {
	for _, b := range s.pieces {
		b.Release()
	}
	s.pieces = nil
}

// both is the two ends of a framing.
type both interface {
	framing.Framing
	framing.Encoder
}

// TestWriter: each message goes out in one Writev, by Write with the message's own
// memory; Append, Write and Send write the same.
func TestWriter(t *testing.T) {
	length := func(c framing.LengthConfig) both { return must(framing.NewLength(c)) }
	delimiter := func(d string) both {
		return must(framing.NewDelimiter(framing.DelimiterConfig{Delimiter: []byte(d), Max: 1000}))
	}
	long := string(bytes.Repeat([]byte{'-'}, 600)) // a delimiter that is more than the smallest block
	for _, tt := range []struct {
		name   string
		f      both
		msg    string
		want   string
		pieces int
		err    error
	}{
		{"length", length(framing.LengthConfig{}), "hello", "\x00\x00\x00\x05hello", 2, nil},
		{"length, empty", length(framing.LengthConfig{}), "", "\x00\x00\x00\x00", 2, nil},
		{"length, little", length(framing.LengthConfig{LittleEndian: true, Bytes: 3}), "hello", "\x05\x00\x00hello", 2, nil},
		{"length, 8 bytes", length(framing.LengthConfig{Bytes: 8}), "hello", "\x00\x00\x00\x00\x00\x00\x00\x05hello", 2, nil},
		{"length, included", length(framing.LengthConfig{Bytes: 2, Included: true}), "hello", "\x00\x07hello", 2, nil},
		{"length, too long", length(framing.LengthConfig{Max: 4}), "hello", "", 0, framing.ErrTooLong},
		{"varint", length(framing.LengthConfig{Varint: true}), "hello", "\x05hello", 2, nil},
		{"varint, included", length(framing.LengthConfig{Varint: true, Included: true}), "hello", "\x06hello", 2, nil},
		{"varint, included, just one byte", length(framing.LengthConfig{Varint: true, Included: true}), string(letters(126)), "\x7f" + string(letters(126)), 2, nil},
		{"varint, included, two bytes", length(framing.LengthConfig{Varint: true, Included: true}), string(letters(127)), "\x81\x01" + string(letters(127)), 2, nil},
		{"delimiter", delimiter("--"), "hello-world", "hello-world--", 2, nil},
		{"delimiter, long", delimiter(long), "hello", "hello" + long, 2, nil},
		{"delimiter inside", delimiter("--"), "hel--lo", "", 0, framing.ErrUnframable},
		{"delimiter at the seam", delimiter("--"), "hello-", "", 0, framing.ErrUnframable},
		{"delimiter half at the seam", delimiter("\r\n"), "hello\r", "hello\r\r\n", 2, nil},
		{"delimiter that overlaps itself twice", delimiter("abaaba"), "xaba", "", 0, framing.ErrUnframable},
		{"delimiter that overlaps itself once", delimiter("abaaba"), "xabaab", "", 0, framing.ErrUnframable},
		{"line", must(framing.NewLine(framing.LineConfig{})), "hello", "hello\n", 2, nil},
		{"line, CRLF", must(framing.NewLine(framing.LineConfig{CRLF: true})), "hello\r", "hello\r\r\n", 2, nil},
		{"two lines", must(framing.NewLine(framing.LineConfig{CRLF: true})), "hel\nlo", "", 0, framing.ErrUnframable},
		{"a line that ends with CR", must(framing.NewLine(framing.LineConfig{})), "hello\r", "", 0, framing.ErrUnframable},
		{"fixed", must(framing.NewFixed(framing.FixedConfig{Size: 5})), "hello", "hello", 1, nil},
		{"fixed, too short", must(framing.NewFixed(framing.FixedConfig{Size: 6})), "hello", "", 0, framing.ErrUnframable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAllocator(t)
			w := framing.NewWriter(tt.f, a)
			var s fakeStream
			defer s.release()

			p, err := framing.Append(tt.f, []byte("before"), []byte(tt.msg))
			if string(p) != "before"+tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Append: %q, %v", p, err)
			}
			if err := w.Send(&s, []byte(tt.msg)); string(s.text) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Send: %q, %v", s.text, err)
			}
			if len(s.pieces) > 1 {
				t.Errorf("Send has %d pieces", len(s.pieces))
			}
			s.release()
			s.text = nil

			msg := a.Copy([]byte(tt.msg))
			defer msg.Release()
			err = w.Write(&s, msg)
			if string(s.text) != tt.want || !errors.Is(err, tt.err) || len(s.pieces) != tt.pieces {
				t.Errorf("Write: %q in %d pieces, %v", s.text, len(s.pieces), err)
			}
			if err != nil {
				return
			}
			if s.writes != 2 {
				t.Errorf("%d writes", s.writes)
			}
			found := false
			for _, b := range s.pieces {
				found = found || b == msg
			}
			if !found {
				t.Error("the message was copied")
			}

			// The other end reads what was written.
			r := framing.NewReader(tt.f, a)
			var c collector
			if err := feed(a, r, tt.want, c.take); err != nil || len(c.got) != 1 || c.got[0] != tt.msg {
				t.Errorf("read %q, %v", c.got, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWriterReportsTheStreamsError, and keeps nothing.
func TestWriterReportsTheStreamsError(t *testing.T) {
	a := newAllocator(t)
	w := framing.NewWriter(must(framing.NewLength(framing.LengthConfig{})), a)
	s := fakeStream{err: conn.ErrOutputFull}
	msg := a.Copy([]byte("hello"))
	defer msg.Release()
	if err := w.Write(&s, msg); !errors.Is(err, conn.ErrOutputFull) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Send(&s, []byte("hello")); !errors.Is(err, conn.ErrOutputFull) {
		t.Errorf("Send: %v", err)
	}
}

// bracketed has something on both sides of a message, the first longer than a block.
type bracketed struct{}

func (bracketed) AppendHead(dst, _ []byte) ([]byte, error) { return append(dst, letters(600)...), nil }
func (bracketed) AppendTail(dst []byte) []byte             { return append(dst, ']') }

// TestWriterWithHeadAndTail.
func TestWriterWithHeadAndTail(t *testing.T) {
	a := newAllocator(t)
	w := framing.NewWriter(bracketed{}, a)
	want := string(letters(600)) + "hello]"
	var s fakeStream
	defer s.release()
	msg := a.Copy([]byte("hello"))
	defer msg.Release()
	if err := w.Write(&s, msg); err != nil || string(s.text) != want || len(s.pieces) != 3 {
		t.Errorf("Write: %q in %d pieces, %v", s.text, len(s.pieces), err)
	}
	s.text = nil
	if err := w.Send(&s, msg.Bytes()); err != nil || string(s.text) != want || len(s.pieces) != 4 {
		t.Errorf("Send: %q in %d pieces, %v", s.text, len(s.pieces), err)
	}
}
