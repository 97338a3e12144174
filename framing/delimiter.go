package framing

import (
	"bytes"
	"errors"
	"fmt"
)

// DelimiterConfig configures a Delimiter.
type DelimiterConfig struct {
	Delimiter []byte // what ends each message; at least one byte
	Max       int    // the longest message in bytes, without the delimiter; 0: DefaultMax
}

// Delimiter is the framing by a sequence of bytes that ends each message and isn't a
// part of it.
type Delimiter struct {
	delimiter []byte
	max       int

	// overlaps are the lengths of the delimiter's beginnings that would be taken for
	// one if they came in front of it: 1 for "aa", since in "aaa" the first two count.
	overlaps []int
}

// NewDelimiter checks the configuration, of which it keeps nothing.
func NewDelimiter(c DelimiterConfig) (*Delimiter, error) {
	if len(c.Delimiter) == 0 {
		return nil, errors.New("framing: DelimiterConfig.Delimiter is empty: want at least one byte")
	}
	limit, err := maximum("DelimiterConfig.Max", c.Max)
	if err != nil {
		return nil, err
	}
	d := &Delimiter{delimiter: bytes.Clone(c.Delimiter), max: limit}
	for k := 1; k < len(d.delimiter); k++ {
		if bytes.HasPrefix(d.delimiter, d.delimiter[k:]) {
			d.overlaps = append(d.overlaps, k)
		}
	}
	return d, nil
}

// Next implements Framing.
func (d *Delimiter) Next(p []byte, seen int) (Frame, error) {
	size := len(d.delimiter)
	within := p
	if len(p)-size > d.max {
		within = p[:d.max+size]
	}
	// Part of a delimiter may have been at the end of what was seen.
	from := min(max(seen-size+1, 0), len(within))
	if i := bytes.Index(within[from:], d.delimiter); i >= 0 {
		return settled(0, from+i, from+i+size), nil
	}
	if len(p)-size >= d.max {
		return Frame{}, endless(d.max)
	}
	return Frame{Need: len(p) + 1}, nil
}

// AppendHead implements Encoder. Nothing precedes a message, which must not have the
// delimiter in it, nor make one together with that at its end.
func (d *Delimiter) AppendHead(dst, msg []byte) ([]byte, error) {
	if len(msg) > d.max {
		return dst, &TooLongError{Max: d.max, Size: uint64(len(msg))}
	}
	if i := bytes.Index(msg, d.delimiter); i >= 0 {
		return dst, fmt.Errorf("%w: there's a delimiter at byte %d", ErrUnframable, i)
	}
	for _, k := range d.overlaps {
		if bytes.HasSuffix(msg, d.delimiter[:k]) {
			return dst, fmt.Errorf("%w: its last bytes and the delimiter's first make a delimiter at byte %d", ErrUnframable, len(msg)-k)
		}
	}
	return dst, nil
}

// AppendTail implements Encoder.
func (d *Delimiter) AppendTail(dst []byte) []byte { return append(dst, d.delimiter...) }
