package secure

import (
	"crypto/tls"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

// Negotiation is what a handshake has come to.
type Negotiation struct {
	Inbound bool // we were the server
	tls.ConnectionState
}

// State tells of a connection's TLS: version, suite, protocol, the name that was asked for, the
// peer's certificates, whether it was resumed. It's false without TLS, or before the handshake is
// over; it stays after the connection's end. Any goroutine may call it; what it points to is
// shared and not to be changed.
func State(c *conn.Stream) (tls.ConnectionState, bool) {
	if s, is := sessionOf(c); is {
		return s.state()
	}
	return tls.ConnectionState{}, false
}

// Is reports whether a connection has TLS, or is about to.
func Is(c *conn.Stream) bool {
	_, is := sessionOf(c)
	return is
}

func sessionOf(c *conn.Stream) (*session, bool) {
	s, is := (*engine.Conn)(c).Session().(*session)
	return s, is
}
