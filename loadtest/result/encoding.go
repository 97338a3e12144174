package result

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
)

// HdrHistogram's V2 encoding: a header, then the counts by their place, each as a zigzag
// varint, in which -n stands for n places without a count; all that compressed, with a header
// of its own. The library encodes it as well, but makes a new compressor each time, which is
// 800 KB, and a histogram of its own to read it into. Over a night's intervals that's minutes.
const (
	cookie           = 0x1c849313
	compressedCookie = 0x1c849314
	wordSize         = 0x10 // is in both cookies, and says nothing in this version

	outerHeader = 8
	innerHeader = 40
	lengthAt    = 4 // the contents' length in both headers
	digitsAt    = 12
	lowAt       = 16
	highAt      = 24
	ratioAt     = 32

	ratioOne = 0x3ff0000000000000 // 1.0

	// With three digits, each power of two is in so many places.
	half   = 1024
	places = 33 * half // up to histogramHigh
)

var (
	errForeign = errors.New("it has another range or precision")
	errCorrupt = errors.New("it's corrupted")
)

// A bucket is the times of one place.
type bucket struct {
	value int64 // the lowest of them, in nanoseconds
	count int64
}

// place is where a time is counted.
func place(value int64) int {
	shift := max(bits.Len64(uint64(value))-11, 0)
	return shift*half + int(value>>shift)
}

// placeValue is the lowest time of a place.
func placeValue(place int) int64 {
	if place < 2*half {
		return int64(place)
	}
	return int64(place%half+half) << (place/half - 1)
}

// A codec encodes and decodes, and has what that needs.
type codec struct {
	buckets  []bucket // of the last histogram that was decoded
	raw      []byte
	source   bytes.Reader
	inflate  io.ReadCloser // nil until it's needed; a zlib.Resetter
	deflate  *zlib.Writer  // nil until it's needed
	deflated bytes.Buffer
}

var codecs = sync.Pool{New: func() any { return new(codec) }}

// encode returns the encoding of buckets, which ascend.
func (c *codec) encode(all []bucket) []byte {
	c.raw = append(c.raw[:0], make([]byte, innerHeader)...)
	next := 0
	for _, b := range all {
		at := place(b.value)
		switch zeros := at - next; {
		case zeros == 1:
			c.raw = appendZigZag(c.raw, 0)
		case zeros > 1:
			c.raw = appendZigZag(c.raw, -int64(zeros))
		}
		c.raw = appendZigZag(c.raw, b.count)
		next = at + 1
	}
	order := binary.BigEndian
	order.PutUint32(c.raw, cookie)
	order.PutUint32(c.raw[lengthAt:], uint32(len(c.raw)-innerHeader))
	order.PutUint32(c.raw[digitsAt:], histogramDigits)
	order.PutUint64(c.raw[lowAt:], uint64(histogramLow))
	order.PutUint64(c.raw[highAt:], uint64(histogramHigh))
	order.PutUint64(c.raw[ratioAt:], ratioOne)

	c.deflated.Reset()
	if c.deflate == nil {
		c.deflate = zlib.NewWriter(&c.deflated)
	} else {
		c.deflate.Reset(&c.deflated)
	}
	_, _ = c.deflate.Write(c.raw) // into memory
	_ = c.deflate.Close()
	encoded := make([]byte, outerHeader, outerHeader+c.deflated.Len())
	order.PutUint32(encoded, compressedCookie)
	order.PutUint32(encoded[lengthAt:], uint32(c.deflated.Len()))
	return append(encoded, c.deflated.Bytes()...)
}

// decode reads an encoding into c.buckets. What other programs have written may be
// errForeign, which the library can read.
func (c *codec) decode(encoded []byte) error {
	c.buckets = c.buckets[:0]
	order := binary.BigEndian
	if len(encoded) < outerHeader || order.Uint32(encoded)|wordSize != compressedCookie {
		return errForeign
	}
	contents := encoded[outerHeader:]
	if uint64(order.Uint32(encoded[lengthAt:])) != uint64(len(contents)) {
		return errCorrupt
	}
	c.source.Reset(contents)
	var err error
	if c.inflate == nil {
		c.inflate, err = zlib.NewReader(&c.source)
	} else {
		err = c.inflate.(zlib.Resetter).Reset(&c.source, nil)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	c.raw = append(c.raw[:0], make([]byte, innerHeader)...)
	if _, err := io.ReadFull(c.inflate, c.raw); err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if order.Uint32(c.raw)|wordSize != cookie || order.Uint32(c.raw[digitsAt:]) != histogramDigits ||
		order.Uint64(c.raw[lowAt:]) != uint64(histogramLow) || order.Uint64(c.raw[highAt:]) != uint64(histogramHigh) {
		return errForeign
	}
	length := int(order.Uint32(c.raw[lengthAt:]))
	if length > 9*places {
		return errCorrupt
	}
	c.raw = append(c.raw[:0], make([]byte, length)...)
	if _, err := io.ReadFull(c.inflate, c.raw); err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	// The end has the checksum.
	if n, err := c.inflate.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return errCorrupt
	}
	return c.decodeCounts()
}

// mustDecode decodes what is a histogram's: we have encoded it, or have decoded it before.
func (c *codec) mustDecode(encoded []byte) {
	if err := c.decode(encoded); err != nil {
		panic(err)
	}
}

func (c *codec) decodeCounts() error {
	at := 0
	for rest := c.raw; len(rest) > 0; {
		count, n := zigZag(rest)
		if n == 0 {
			return errCorrupt
		}
		rest = rest[n:]
		switch {
		case count < -places || at >= places:
			return errCorrupt
		case count < 0:
			at += int(-count)
			continue
		case count > 0:
			c.buckets = append(c.buckets, bucket{placeValue(at), count})
		}
		at++
	}
	if at > places {
		return errCorrupt
	}
	return nil
}

// appendZigZag appends a number of up to nine bytes: the ninth has eight bits of it.
func appendZigZag(b []byte, v int64) []byte {
	u := uint64(v<<1 ^ v>>63)
	for n := 0; n < 8 && u >= 0x80; n++ {
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}

// zigZag reads a number and returns its length, or 0 if it's incomplete.
func zigZag(b []byte) (v int64, length int) {
	var u uint64
	for n, x := range b {
		if n == 8 || x < 0x80 {
			u |= uint64(x) << (7 * n)
			return int64(u>>1) ^ -int64(u&1), n + 1
		}
		u |= uint64(x&0x7f) << (7 * n)
	}
	return 0, 0
}
