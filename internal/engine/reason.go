package engine

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/sluice-net/sluice/internal/sys"
	"golang.org/x/sys/unix"
)

// Addr is a socket's address.
type Addr = sys.Addr

// Reason says why a connection ended. Its String is the word in logs and the label
// value in metrics.
type Reason uint8

// The reasons. The clean ones come first: what was written has been sent, and the
// peer's end was waited for. Each connection has one; a failure that happens while a
// connection is ending cleanly replaces the clean reason.
const (
	ReasonNone             Reason = iota
	ReasonLocalShutdown           // Shutdown was called
	ReasonPeerClosed              // the peer ended its side and nothing was left to do
	ReasonUnreferenced            // nothing pending and nobody held it
	ReasonIdle                    // no byte moved for Timeouts.Idle
	ReasonReadTimeout             // a read waited for Timeouts.Read
	ReasonDrain                   // shut down by the server's drain
	ReasonLocalAbort              // Abort was called
	ReasonReset                   // the peer reset it, or closed it while we were sending
	ReasonLost                    // the network or the kernel gave it up
	ReasonRejected                // never established: refused by a limit or by the kernel
	ReasonAddress                 // outgoing, and there's no valid address to connect to
	ReasonOpen                    // outgoing, and no socket could be made
	ReasonConnect                 // outgoing, and no address has answered
	ReasonRefused                 // outgoing, and the last address that was tried has refused it
	ReasonHandshake               // the session (TLS, say) wasn't established
	ReasonHandshakeTimeout        // … within Timeouts.Handshake
	ReasonSession                 // the session failed after that
	ReasonTruncated               // the stream ended without the session's end
	ReasonWriteTimeout            // the peer took too little for Timeouts.Write
	ReasonLinger                  // the peer didn't end its side within Timeouts.Linger
	ReasonPanic                   // a callback panicked
	ReasonDrainAbort              // open when the server's drain ran out of time
	reasonCount
)

// Reasons is the number of reasons, ReasonNone included.
const Reasons = int(reasonCount)

var reasonNames = [Reasons]string{
	"none", "local_shutdown", "peer_closed", "unreferenced", "idle", "read_timeout", "drain", "local_abort",
	"reset", "lost", "rejected", "address", "open", "connect", "refused", "tls_handshake", "handshake_timeout", "tls_alert", "tls_truncated", "write_timeout", "linger", "panic",
	"drain_abort",
}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// clean reasons leave the connection alive until it has drained.
func (r Reason) clean() bool { return r <= ReasonDrain }

// fromPeer reasons are the peer's or the network's.
func (r Reason) fromPeer() bool { return r == ReasonReset || r == ReasonLost }

// servesReads: what was received before is still good, and reads are answered.
func (r Reason) servesReads() bool {
	return r.fromPeer() || r == ReasonTruncated || r == ReasonSession
}

// ShutdownReason is the seeds' word for why a socket ended (shutdownreason_t).
type ShutdownReason uint8

// The eleven.
const (
	ShutdownNormal ShutdownReason = iota // own Shutdown, or nobody wanted it any more
	ShutdownByPeer                       // the peer ended its side
	ShutdownLost                         // it ended otherwise
	ShutdownAddressInvalid
	ShutdownOpenFailed
	ShutdownConnectFailed
	ShutdownConnectRejected
	ShutdownBindFailed
	ShutdownListenFailed
	ShutdownAcceptFailed
	ShutdownTLSHandshakeFailed
	shutdownReasons
)

var shutdownNames = [shutdownReasons]string{
	"normal", "by_peer", "lost", "address_invalid", "open_failed", "connect_failed", "connect_rejected",
	"bind_failed", "listen_failed", "accept_failed", "tls_handshake_failed",
}

func (r ShutdownReason) String() string {
	if int(r) < len(shutdownNames) {
		return shutdownNames[r]
	}
	return fmt.Sprintf("ShutdownReason(%d)", uint8(r))
}

// Shutdown is the reason in the seeds' words. A time-out, an abort and a reset are
// ShutdownLost: not all that was sent need have arrived.
func (r Reason) Shutdown() ShutdownReason {
	switch r {
	case ReasonNone, ReasonLocalShutdown, ReasonUnreferenced, ReasonDrain, ReasonLinger:
		return ShutdownNormal
	case ReasonPeerClosed:
		return ShutdownByPeer
	case ReasonRejected:
		return ShutdownAcceptFailed
	case ReasonAddress:
		return ShutdownAddressInvalid
	case ReasonOpen:
		return ShutdownOpenFailed
	case ReasonConnect:
		return ShutdownConnectFailed
	case ReasonRefused:
		return ShutdownConnectRejected
	case ReasonHandshake, ReasonHandshakeTimeout:
		return ShutdownTLSHandshakeFailed
	case ReasonIdle, ReasonReadTimeout, ReasonLocalAbort, ReasonReset, ReasonLost, ReasonSession,
		ReasonTruncated, ReasonWriteTimeout, ReasonPanic, ReasonDrainAbort, reasonCount:
	}
	return ShutdownLost
}

// Error is what ended or refused something on a connection.
type Error struct {
	Op   string // "recv", "send", …
	ID   uint64 // the connection's
	Addr Addr   // the peer's
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("connection %d (%s): %s: %v", e.ID, e.Addr, e.Op, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// The errors of a connection's methods, to be tested with errors.Is.
var (
	ErrClosed      = net.ErrClosed
	ErrMode        = errors.New("sluice: the call doesn't fit the connection's state")
	ErrCanceled    = errors.New("sluice: canceled")
	ErrReadClosed  = errors.New("sluice: the peer has closed its side; nothing more can be read")
	ErrWriteClosed = errors.New("sluice: our side is shut down; nothing more can be written")
	ErrOutputFull  = errors.New("sluice: output is full (Flow.MaxPending); nothing was queued")
	ErrTooLarge    = errors.New("sluice: the size is outside 0…Flow.MaxRead")
	ErrOnLoop      = errors.New("sluice: a blocking call inside a callback would deadlock its event loop")
)

// reasonOf sorts the errno of a receive or send.
func reasonOf(errno sys.Errno) Reason {
	switch errno {
	case unix.ECONNRESET, unix.EPIPE, unix.ECONNABORTED, unix.ENOTCONN:
		return ReasonReset
	default:
		return ReasonLost
	}
}

// reasonOfConnect sorts the failure to connect to an address.
func reasonOfConnect(err error) Reason {
	if errors.Is(err, unix.ECONNREFUSED) {
		return ReasonRefused
	}
	return ReasonConnect
}

// errUnexpectedEOF is what a ReadFull that the end cut short gets.
var errUnexpectedEOF = io.ErrUnexpectedEOF
