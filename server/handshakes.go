package server

import (
	"crypto/tls"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/secure"
)

// TLSStats are the counters of a listener's handshakes. Each that began is under way
// (ListenerStats.Handshaking, but for upgrades, whose connections are established), in
// Handshakes or in Failures.
type TLSStats struct {
	Handshakes map[Handshake]uint64        // that succeeded; every Handshake is in it
	Failures   map[HandshakeFailure]uint64 // every HandshakeFailure is in it
	Lengths    Durations                   // of those that succeeded, from the accept (outgoing: the connect; an upgrade: when what was written before it is sent) on
	NotAfter   time.Time                   // when the first of the listener's certificates expires; zero: it has none
}

// Handshake is a kind of them.
type Handshake struct {
	Version uint16 // tls.VersionTLS12 or tls.VersionTLS13
	Resumed bool   // a session that the client has had before
}

// HandshakeFailure is why a handshake came to nothing.
type HandshakeFailure uint8

// Why handshakes fail.
const (
	HandshakeTimeout   HandshakeFailure = iota // it took longer than Timeouts.Handshake
	HandshakeAlert                             // the peer has refused: it doesn't trust the certificate, say
	HandshakeLocal                             // we have: no version, no certificate that we trust, no TLS at all
	HandshakeTruncated                         // the peer ended or lost the connection; so do probes that only connect
	HandshakeTooMany                           // the secure.Gate had no room
	HandshakeAborted                           // we ended the connection for another reason: a drain, say

	handshakeFailures
)

var handshakeFailureNames = [handshakeFailures]string{"timeout", "remote_alert", "local", "truncated", "too_many", "aborted"}

// String is the word for it in metrics.
func (f HandshakeFailure) String() string {
	if f < handshakeFailures {
		return handshakeFailureNames[f]
	}
	return "unknown"
}

// failureOf sorts the end of a connection before its handshake was over.
func failureOf(r conn.Reason, cause error) HandshakeFailure {
	var failure *secure.Error
	switch {
	case r == conn.ReasonHandshakeTimeout:
		return HandshakeTimeout
	case r == conn.ReasonReset, r == conn.ReasonLost, r == conn.ReasonPeerClosed, r == conn.ReasonTruncated:
		return HandshakeTruncated
	case r != conn.ReasonHandshake && r != conn.ReasonSession:
		return HandshakeAborted
	case errors.Is(cause, secure.ErrTooManyHandshakes):
		return HandshakeTooMany
	case errors.As(cause, &failure) && failure.Remote:
		return HandshakeAlert
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		return HandshakeTruncated
	default:
		return HandshakeLocal
	}
}

// kinds are all that there are: TLS has no more versions.
var kinds = [...]Handshake{
	{tls.VersionTLS12, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, false}, {tls.VersionTLS13, true},
}

// handshakes counts them. They're rare, so the loops may share the counters.
type handshakes struct {
	done   [len(kinds)]atomic.Uint64
	failed [handshakeFailures]atomic.Uint64
}

func (h *handshakes) count(s tls.ConnectionState) {
	for i, k := range kinds {
		if k == (Handshake{s.Version, s.DidResume}) {
			h.done[i].Add(1)
		}
	}
}

// any reports whether a handshake was counted.
func (h *handshakes) any() bool {
	for i := range h.done {
		if h.done[i].Load() > 0 {
			return true
		}
	}
	for i := range h.failed {
		if h.failed[i].Load() > 0 {
			return true
		}
	}
	return false
}

// countFailedHandshake counts a connection that ended before it was established, or before its
// upgrade was over, if it had got as far as a handshake.
func (e *endpoint) countFailedHandshake(c *engine.Conn, r conn.Reason, established bool) {
	_, over := secure.State((*conn.Stream)(c))
	if !secure.Is((*conn.Stream)(c)) || established && over {
		return
	}
	_, cause := c.Cause()
	e.shaken.failed[failureOf(r, cause)].Add(1)
}

// tlsStats are nil for a listener without TLS none of whose connections was upgraded.
func (e *endpoint) tlsStats(lengths Durations) *TLSStats {
	if e.l.TLS == nil && e.l.Name != reservedName && !e.shaken.any() {
		return nil
	}
	st := &TLSStats{Handshakes: map[Handshake]uint64{}, Failures: map[HandshakeFailure]uint64{}, Lengths: lengths}
	for i, k := range kinds {
		st.Handshakes[k] = e.shaken.done[i].Load()
	}
	for i := range e.shaken.failed {
		st.Failures[HandshakeFailure(i)] = e.shaken.failed[i].Load()
	}
	if e.l.TLS != nil {
		st.NotAfter = e.l.TLS.NotAfter()
	}
	return st
}
