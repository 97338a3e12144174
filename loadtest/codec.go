package loadtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A Codec is a protocol as the load generator speaks it: it builds requests, and knows
// where their replies end and whether they're right. Replies are expected in the order of
// the requests, one to each.
//
// One Codec serves all connections from many goroutines at once, so its methods keep
// nothing: all they need to know is in the message's numbers. Neither may keep b. A Codec
// that puts the bytes of a [Payload] somewhere into its messages, and checks them with it, has
// loss, duplication, reordering and cross-talk named.
type Codec interface {
	// AppendRequest appends the request to b.
	AppendRequest(b []byte, m Message) []byte

	// CheckReply looks for the reply to m at the beginning of b, which is all that has
	// arrived since the reply before it. It returns the length of the reply; or 0 if more
	// bytes are needed; or an error if this isn't the right reply.
	CheckReply(m Message, b []byte) (n int, err error)

	// String names the codec in results.
	String() string
}

// A Codec that can't have messages of any size has this method as well.
type limited interface {
	MaxSize() int // in bytes of payload
}

// Echo is the protocol of a server that sends back every byte. A message is its payload.
type Echo struct {
	Payload Payload
}

// AppendRequest implements Codec.
func (e Echo) AppendRequest(b []byte, m Message) []byte { return e.Payload.Append(b, m) }

// checkBeginning looks at the numbers in an incomplete payload, and if they're wrong at the
// rest too, to know whose it is.
func checkBeginning(p Payload, m Message, b []byte) error {
	if p.Check(m, b[:min(len(b), p.headerSize())]) == nil {
		return nil
	}
	return p.Check(m, b)
}

// CheckReply implements Codec. Of an incomplete reply it looks at the beginning: that of
// another message may be shorter, and would be waited for in vain.
func (e Echo) CheckReply(m Message, b []byte) (int, error) {
	if len(b) < m.Size {
		return 0, checkBeginning(e.Payload, m, b)
	}
	return m.Size, e.Payload.Check(m, b[:m.Size])
}

func (e Echo) String() string {
	if e.Payload == Text {
		return "text"
	}
	return "echo"
}

// LengthPrefixed is an echo of messages that begin with their length. Replies of another
// length than that of the request are wrong.
type LengthPrefixed struct {
	Payload      Payload
	Bytes        int // of the prefix: 1, 2, 4 or 8; 0 is 4
	LittleEndian bool
}

func (l LengthPrefixed) prefix(size int) (p [8]byte, n int) {
	n = l.Bytes
	if n == 0 {
		n = 4
	}
	if l.LittleEndian {
		binary.LittleEndian.PutUint64(p[:], uint64(size))
	} else {
		binary.BigEndian.PutUint64(p[:], uint64(size)<<(64-8*n))
	}
	return p, n
}

// MaxSize is the longest payload whose length the prefix can hold.
func (l LengthPrefixed) MaxSize() int {
	_, n := l.prefix(0)
	return int(min(maxSize, uint64(1)<<(8*min(n, 4))-1))
}

// AppendRequest implements Codec.
func (l LengthPrefixed) AppendRequest(b []byte, m Message) []byte {
	p, n := l.prefix(m.Size)
	return l.Payload.Append(append(b, p[:n]...), m)
}

// CheckReply implements Codec.
func (l LengthPrefixed) CheckReply(m Message, b []byte) (int, error) {
	p, n := l.prefix(m.Size)
	switch {
	case len(b) < n:
		return 0, nil
	case !bytes.Equal(b[:n], p[:n]):
		var other *Mismatch
		if err := l.Payload.Check(m, b[n:]); errors.As(err, &other) && other.Known {
			return 0, err // of another size
		}
		return 0, fmt.Errorf("the length is % x instead of % x", b[:n], p[:n])
	}
	size, err := Echo{l.Payload}.CheckReply(m, b[n:])
	if size > 0 {
		size += n
	}
	return size, err
}

func (l LengthPrefixed) String() string {
	_, n := l.prefix(0)
	if l.LittleEndian {
		return fmt.Sprintf("length%dle", n)
	}
	return fmt.Sprintf("length%d", n)
}

// Line is an echo of lines: a payload, which should be [Text] or [Constant], and a newline.
type Line struct {
	Payload Payload
}

// AppendRequest implements Codec.
func (l Line) AppendRequest(b []byte, m Message) []byte {
	return append(l.Payload.Append(b, m), '\n')
}

// CheckReply implements Codec.
func (l Line) CheckReply(m Message, b []byte) (int, error) {
	end := bytes.IndexByte(b[:min(len(b), m.Size+1)], '\n')
	switch {
	case end < 0 && len(b) > m.Size:
		if err := l.Payload.Check(m, b[:m.Size]); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("the line has more than %d bytes", m.Size)
	case end < 0:
		return 0, checkBeginning(l.Payload, m, b)
	}
	if err := l.Payload.Check(m, b[:end]); err != nil {
		return 0, err
	}
	if end != m.Size {
		return 0, fmt.Errorf("the line has %d bytes instead of %d", end, m.Size)
	}
	return end + 1, nil
}

func (l Line) String() string { return "line" }
