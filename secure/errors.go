package secure

import (
	"errors"
	"net"
)

// Error is what ended a TLS connection.
type Error struct {
	Handshake bool // it was never established
	Remote    bool // the peer said so, by an alert
	Err       error
}

func newError(err error, handshake bool) *Error {
	var op *net.OpError
	return &Error{Handshake: handshake, Remote: errors.As(err, &op) && op.Op == "remote error", Err: err}
}

func (e *Error) Error() string {
	switch {
	case e.Handshake:
		return "TLS handshake: " + e.Err.Error()
	default:
		return "TLS: " + e.Err.Error()
	}
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
