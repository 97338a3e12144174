package framing

import "fmt"

// FixedConfig configures a Fixed.
type FixedConfig struct {
	Size int // of each message, in bytes; at least 1
}

// Fixed is the framing by a size that all messages have.
type Fixed struct{ size int }

// NewFixed checks the configuration.
func NewFixed(c FixedConfig) (*Fixed, error) {
	if c.Size < 1 {
		return nil, fmt.Errorf("framing: FixedConfig.Size is %d: want 1 or more", c.Size)
	}
	return &Fixed{size: c.Size}, nil
}

// Next implements Framing.
func (f *Fixed) Next([]byte, int) (Frame, error) { return settled(0, f.size, f.size), nil }

// AppendHead implements Encoder. Nothing precedes a message, which must have the size.
func (f *Fixed) AppendHead(dst, msg []byte) ([]byte, error) {
	switch {
	case len(msg) > f.size:
		return dst, &TooLongError{Max: f.size, Size: uint64(len(msg))}
	case len(msg) < f.size:
		return dst, fmt.Errorf("%w: it has %d bytes, and must have %d", ErrUnframable, len(msg), f.size)
	}
	return dst, nil
}

// AppendTail implements Encoder. Nothing follows a message.
func (f *Fixed) AppendTail(dst []byte) []byte { return dst }
