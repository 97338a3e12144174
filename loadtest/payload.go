package loadtest

import (
	"encoding/binary"
	"fmt"
)

// A Message is one request on one connection.
type Message struct {
	Connection uint64 // unlike any other, in this run and in those beside it
	Sequence   uint64 // on the connection, from 0
	Size       int    // bytes of payload
}

// Payload is a way to fill messages with bytes that nothing but the message determines.
type Payload int

const (
	// Binary has all values of bytes, after the numbers of connection and message as 16
	// bytes in network order.
	Binary Payload = iota
	// Text has the characters from '0' to 'o' only, after the same numbers in 22 of them.
	Text
	// Constant is the same for all messages: nothing but the length is verified.
	Constant
)

// headerSize is how many bytes of a payload tell whose it is. What is shorter has their
// beginning.
func (p Payload) headerSize() int {
	switch p {
	case Binary:
		return 16
	case Text:
		return 2 * textDigits
	case Constant:
		return 0
	}
	panic("loadtest: unknown payload")
}

const (
	proof      = 8  // bytes after the numbers are right by no accident
	textDigits = 11 // of 6 bits, for a number of 64
	textZero   = '0'
	textMask   = 0x3f
	manyMasks  = 0x3f3f3f3f3f3f3f3f
	manyZeros  = 0x3030303030303030
)

// mix spreads a number over 64 bits (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// filler yields the words after the header, 8 bytes each, little-endian.
type filler struct {
	state uint64
	text  bool
}

func (p Payload) filler(m Message) filler {
	if p == Constant {
		return filler{text: true}
	}
	return filler{state: m.Connection ^ mix(m.Sequence), text: p == Text}
}

func (f *filler) next() uint64 {
	f.state += 0x9e3779b97f4a7c15
	word := f.state
	word = (word ^ word>>32) * 0xd6e8feb86659fd93
	word ^= word >> 32
	if f.text {
		return word&manyMasks + manyZeros
	}
	return word
}

// header writes the numbers of a message.
func (p Payload) header(m Message) (h [2 * textDigits]byte) {
	switch p {
	case Binary:
		binary.BigEndian.PutUint64(h[0:], m.Connection)
		binary.BigEndian.PutUint64(h[8:], m.Sequence)
	case Text:
		for i := range textDigits {
			shift := 6 * (textDigits - 1 - i)
			h[i] = textZero + byte(m.Connection>>shift&textMask)
			h[textDigits+i] = textZero + byte(m.Sequence>>shift&textMask)
		}
	case Constant:
	}
	return h
}

// Append appends the payload of a message to b.
func (p Payload) Append(b []byte, m Message) []byte {
	head := p.header(m)
	b = append(b, head[:min(p.headerSize(), m.Size)]...)
	rest := m.Size - p.headerSize()
	words := p.filler(m)
	for ; rest >= 8; rest -= 8 {
		b = binary.LittleEndian.AppendUint64(b, words.next())
	}
	if rest > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], words.next())
		b = append(b, last[:rest]...)
	}
	return b
}

// Check compares b with the payload of a message, or, if b is shorter, with its beginning.
// The error is a *[Mismatch].
func (p Payload) Check(m Message, b []byte) error {
	if p == Constant {
		return nil
	}
	if at := p.differs(m, b); at >= 0 {
		return p.mismatch(m, b, at)
	}
	return nil
}

// differs returns the first byte that isn't the message's, or -1.
func (p Payload) differs(m Message, b []byte) int {
	head := p.header(m)
	size := min(p.headerSize(), len(b))
	for i := range size {
		if b[i] != head[i] {
			return i
		}
	}
	words := p.filler(m)
	at := size
	for ; at+8 <= len(b); at += 8 {
		if want := words.next(); binary.LittleEndian.Uint64(b[at:]) != want {
			return at + firstDifference(b[at:at+8], want)
		}
	}
	if at < len(b) {
		if i := firstDifference(b[at:], words.next()); i >= 0 {
			return at + i
		}
	}
	return -1
}

func firstDifference(b []byte, word uint64) int {
	for i := range b {
		if b[i] != byte(word>>(8*i)) {
			return i
		}
	}
	return -1
}

// A Mismatch is a reply that isn't the expected one.
type Mismatch struct {
	Offset    int // of the first wrong byte
	Got, Want byte

	// The message whose bytes these are instead, if they're anybody's.
	Known bool
	Other Message
}

func (e *Mismatch) Error() string {
	if e.Known {
		return fmt.Sprintf("it is message %d of connection %s", e.Other.Sequence, connectionName(e.Other.Connection))
	}
	return fmt.Sprintf("byte %d is %#02x instead of %#02x", e.Offset, e.Got, e.Want)
}

// mismatch finds out whose bytes b are.
func (p Payload) mismatch(m Message, b []byte, at int) *Mismatch {
	whole := p.Append(nil, Message{m.Connection, m.Sequence, at + 1})
	e := &Mismatch{Offset: at, Got: b[at], Want: whole[at]}
	if len(b) < p.headerSize() {
		return e
	}
	switch p {
	case Binary:
		e.Other.Connection, e.Other.Sequence = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	case Text:
		for i := range textDigits {
			e.Other.Connection = e.Other.Connection<<6 | uint64(b[i]-textZero)&textMask
			e.Other.Sequence = e.Other.Sequence<<6 | uint64(b[textDigits+i]-textZero)&textMask
		}
	case Constant:
	}
	e.Other.Size = len(b)
	if at >= p.headerSize() {
		return e // the numbers are m's
	}
	// Beyond the numbers there has to be something that proves them, if there's anything. b may
	// be longer than the other message, and go on with something else.
	until := p.differs(e.Other, b)
	e.Known = until >= p.headerSize()+proof || until < 0 && (len(b) > p.headerSize() || e.Other.Connection == m.Connection)
	return e
}

// connectionName is how people read the number of a connection: its place in the run, after
// the run's own number.
func connectionName(number uint64) string {
	return fmt.Sprintf("%08x-%d", number>>32, uint32(number))
}
