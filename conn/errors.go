package conn

import "github.com/sluice-net/sluice/internal/engine"

// The errors of a connection's methods; test with errors.Is. Deadlines are
// os.ErrDeadlineExceeded.
var (
	// ErrClosed (net.ErrClosed): the connection has ended or is ending.
	ErrClosed = engine.ErrClosed
	// ErrMode: the call doesn't fit the state or kind of the connection. Nothing
	// was changed.
	ErrMode = engine.ErrMode
	// ErrCanceled: a read was cancelled; the connection lives on.
	ErrCanceled = engine.ErrCanceled
	// ErrReadClosed: the peer has ended its side and everything was read.
	ErrReadClosed = engine.ErrReadClosed
	// ErrWriteClosed: ShutdownSend was called.
	ErrWriteClosed = engine.ErrWriteClosed
	// ErrOutputFull: the write would exceed Flow.MaxPending. Nothing was queued.
	ErrOutputFull = engine.ErrOutputFull
	// ErrTooLarge: the size isn't within 0…Flow.MaxRead.
	ErrTooLarge = engine.ErrTooLarge
	// ErrOnLoop: a blocking call was made on an event loop, which it would
	// deadlock.
	ErrOnLoop = engine.ErrOnLoop
)

// Error is what happened to a connection: what was being done, to which connection,
// and why it failed (often a syscall.Errno).
type Error = engine.Error

// Reason says why a connection ended. Each has exactly one; it's in the closure
// callback, in Stream.Cause, in the log and, as its String, in the metrics.
type Reason = engine.Reason

// The reasons.
const (
	ReasonNone             = engine.ReasonNone
	ReasonLocalShutdown    = engine.ReasonLocalShutdown
	ReasonPeerClosed       = engine.ReasonPeerClosed
	ReasonUnreferenced     = engine.ReasonUnreferenced
	ReasonIdle             = engine.ReasonIdle
	ReasonReadTimeout      = engine.ReasonReadTimeout
	ReasonDrain            = engine.ReasonDrain
	ReasonLocalAbort       = engine.ReasonLocalAbort
	ReasonReset            = engine.ReasonReset
	ReasonLost             = engine.ReasonLost
	ReasonRejected         = engine.ReasonRejected
	ReasonAddress          = engine.ReasonAddress
	ReasonOpen             = engine.ReasonOpen
	ReasonRefused          = engine.ReasonRefused
	ReasonConnect          = engine.ReasonConnect
	ReasonHandshake        = engine.ReasonHandshake
	ReasonHandshakeTimeout = engine.ReasonHandshakeTimeout
	ReasonSession          = engine.ReasonSession
	ReasonTruncated        = engine.ReasonTruncated
	ReasonWriteTimeout     = engine.ReasonWriteTimeout
	ReasonLinger           = engine.ReasonLinger
	ReasonPanic            = engine.ReasonPanic
	ReasonDrainAbort       = engine.ReasonDrainAbort
)
