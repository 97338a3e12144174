package framing

import (
	"errors"
	"fmt"
	"io"
)

// Test these with errors.Is.
var (
	// ErrTooLong: a message exceeds the maximum, when it's read or written. The error
	// is a *TooLongError.
	ErrTooLong = errors.New("framing: message too long")
	// ErrMalformed: a header that no message can have.
	ErrMalformed = errors.New("framing: malformed header")
	// ErrUnframable: a message that can't be written, since it wouldn't be read as
	// what it is.
	ErrUnframable = errors.New("framing: message doesn't suit its framing")
	// ErrClosed: the Reader was closed.
	ErrClosed = errors.New("framing: reader is closed")
)

// errPanicked ends a Reader whose place in the stream got lost.
var errPanicked = errors.New("framing: the function that took a message panicked")

// TooLongError tells of a message that exceeds the maximum. It is ErrTooLong.
type TooLongError struct {
	Max  int    // bytes
	Size uint64 // what the header claims; Max+1, at least, where there's none
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("framing: message of %d bytes or more, the maximum is %d", e.Size, e.Max)
}

// Is makes it ErrTooLong.
func (e *TooLongError) Is(target error) bool { return target == ErrTooLong }

// endless is the error for a message whose end isn't where it must be at the latest.
func endless(limit int) error { return &TooLongError{Max: limit, Size: uint64(limit) + 1} }

// IncompleteError tells of a stream that ended within a message. It is
// io.ErrUnexpectedEOF.
type IncompleteError struct {
	Have int // bytes of the message that came, its framing included
	Need int // bytes that it has, as far as is known: at least so many
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("framing: the stream ended with %d of at least %d bytes of a message: %v", e.Have, e.Need, io.ErrUnexpectedEOF)
}

// Unwrap makes it io.ErrUnexpectedEOF.
func (e *IncompleteError) Unwrap() error { return io.ErrUnexpectedEOF }
