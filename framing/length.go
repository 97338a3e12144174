package framing

import (
	"encoding/binary"
	"fmt"
	"math"
)

// LengthConfig configures a Length. The zero value is a header of 4 bytes, the most
// significant first, that counts the bytes that follow it.
type LengthConfig struct {
	Bytes        int  // of the header, 1 to 8; 0: 4
	LittleEndian bool // the least significant byte comes first
	Varint       bool // a header of 1 to 10 bytes as encoding/binary's Uvarint, in place of Bytes

	Included bool // the number counts the header too
	Keep     bool // what is read keeps its header; to be written it must be without

	// Max is the longest message in bytes, without its header. 0: DefaultMax, or what
	// the header can say if that's less.
	Max int
}

// Length is the framing by a number in front of each message.
type Length struct {
	bytes    int // of the header; 0: a varint
	little   bool
	included bool
	keep     bool
	max      int
}

// NewLength checks the configuration.
func NewLength(c LengthConfig) (*Length, error) {
	limit, err := maximum("LengthConfig.Max", c.Max)
	switch {
	case err != nil:
		return nil, err
	case c.Bytes < 0 || c.Bytes > 8:
		return nil, fmt.Errorf("framing: LengthConfig.Bytes is %d: want 1 to 8, or 0 for 4", c.Bytes)
	case c.Varint && c.Bytes != 0:
		return nil, fmt.Errorf("framing: LengthConfig.Bytes is %d together with Varint: want 0, a varint has no fixed size", c.Bytes)
	case c.Varint && c.LittleEndian:
		return nil, fmt.Errorf("framing: LengthConfig.LittleEndian is set together with Varint: want false, a varint has one byte order only")
	}
	l := &Length{bytes: c.Bytes, little: c.LittleEndian, included: c.Included, keep: c.Keep}
	l.max = min(limit, math.MaxInt-binary.MaxVarintLen64) // so that the end is a number too
	if l.bytes == 0 && !c.Varint {
		l.bytes = 4
	}
	if l.bytes > 0 && l.bytes < 8 {
		most := uint64(1)<<(8*l.bytes) - 1
		if l.included {
			most -= uint64(l.bytes)
		}
		if uint64(l.max) > most {
			l.max = int(most)
		}
	}
	return l, nil
}

// Next implements Framing.
func (l *Length) Next(p []byte, _ int) (Frame, error) {
	n, head := uint64(0), l.bytes
	switch {
	case head > len(p):
		return Frame{Need: head}, nil
	case head > 0:
		n = l.number(p[:head])
	default:
		n, head = binary.Uvarint(p)
		if head < 0 || head == 0 && len(p) >= binary.MaxVarintLen64 {
			return Frame{}, fmt.Errorf("%w: a varint of more than 64 bits", ErrMalformed)
		}
		if head == 0 {
			return Frame{Need: len(p) + 1}, nil
		}
	}
	if l.included {
		if n < uint64(head) {
			return Frame{}, fmt.Errorf("%w: a length of %d that counts its own %d bytes", ErrMalformed, n, head)
		}
		n -= uint64(head)
	}
	if n > uint64(l.max) {
		return Frame{}, &TooLongError{Max: l.max, Size: n}
	}
	end := head + int(n)
	if l.keep {
		return settled(0, end, end), nil
	}
	return settled(head, end, end), nil
}

// number reads a header of a fixed size.
func (l *Length) number(p []byte) (n uint64) {
	if l.little {
		for i, b := range p {
			n |= uint64(b) << (8 * i)
		}
		return n
	}
	for _, b := range p {
		n = n<<8 | uint64(b)
	}
	return n
}

// AppendHead implements Encoder.
func (l *Length) AppendHead(dst, msg []byte) ([]byte, error) {
	if len(msg) > l.max {
		return dst, &TooLongError{Max: l.max, Size: uint64(len(msg))}
	}
	n := uint64(len(msg))
	if l.bytes == 0 {
		return binary.AppendUvarint(dst, l.counted(n)), nil
	}
	if l.included {
		n += uint64(l.bytes)
	}
	for i := range l.bytes {
		shift := 8 * i
		if !l.little {
			shift = 8 * (l.bytes - 1 - i)
		}
		dst = append(dst, byte(n>>shift))
	}
	return dst, nil
}

// counted is what a varint in front of n bytes says. If it counts itself, its own size
// is the smallest that has room for the sum.
func (l *Length) counted(n uint64) uint64 {
	if !l.included {
		return n
	}
	size := uint64(1)
	for (n+size)>>(7*size) != 0 {
		size++
	}
	return n + size
}

// AppendTail implements Encoder. Nothing follows a message.
func (l *Length) AppendTail(dst []byte) []byte { return dst }
