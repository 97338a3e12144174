package framing

import "fmt"

// A Framing says how many bytes the next message needs. Those of this package can be
// shared by any number of Readers.
type Framing interface {
	// Next is asked about p, which begins with the first byte of a frame and may be
	// empty, or go on behind the frame. It doesn't keep p. The first seen bytes were
	// there when it was last asked about this frame, and didn't settle it: a search
	// needn't look at them again.
	//
	// An error means that there is no next message, and never will be. It must not
	// depend on how the stream was cut: what is wrong with some bytes is wrong with
	// those and more.
	Next(p []byte, seen int) (Frame, error)
}

// A Frame is what's known of the next message and of the framing around it. Places are
// counted from the frame's first byte.
type Frame struct {
	// Need is the number of bytes of the whole frame, if Settled. If not, it's how
	// many must have come before more can be known, and more than there are.
	Need int

	// Start and End are where the message itself lies, if Settled.
	Start, End int

	// Settled: Next needn't be asked again, even if bytes have yet to come.
	Settled bool
}

// settled is the frame of n bytes whose message lies between start and end.
func settled(start, end, n int) Frame {
	return Frame{Need: n, Start: start, End: end, Settled: true}
}

// check panics if f, the answer to Next with n bytes, can't be: a Reader would read
// beyond the frame, or would never get on.
func (f Frame) check(n int) {
	ok := f.Need > n
	if f.Settled {
		ok = f.Need > 0 && 0 <= f.Start && f.Start <= f.End && f.End <= f.Need
	}
	if !ok {
		panic(fmt.Sprintf("framing: a Framing answered %+v when asked about %d bytes", f, n))
	}
}

// An Encoder says what has to stand around a message. Those of this package can be
// shared by any number of Writers.
type Encoder interface {
	// AppendHead appends what precedes msg to dst. It fails if msg can't be framed:
	// a Reader on the other end would refuse it or find another message.
	AppendHead(dst, msg []byte) ([]byte, error)
	// AppendTail appends what follows any message to dst.
	AppendTail(dst []byte) []byte
}

// Append appends msg with its framing to dst, for those who gather several messages and
// Send them together. If it fails, dst is returned as it was.
func Append(e Encoder, dst, msg []byte) ([]byte, error) {
	p, err := e.AppendHead(dst, msg)
	if err != nil {
		return dst, err
	}
	return e.AppendTail(append(p, msg...)), nil
}

// DefaultMax is how long messages may be where a configuration doesn't say. It's what a
// connection's ReadFull takes by default.
const DefaultMax = 1 << 20

// maximum checks a configuration's Max and puts in the default.
func maximum(field string, n int) (int, error) {
	switch {
	case n < 0:
		return 0, fmt.Errorf("framing: %s is %d: want the longest message in bytes, or 0 for %d", field, n, DefaultMax)
	case n == 0:
		return DefaultMax, nil
	default:
		return n, nil
	}
}
