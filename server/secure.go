package server

import (
	"errors"
	"strings"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/secure"
)

// SecureCallback is about connections with TLS. On the connection's loop.
type SecureCallback interface {
	// OnNegotiationComplete: the handshake is over. n is what it has come to; n.Inbound
	// tells a listener's connection from one of the server's own.
	OnNegotiationComplete(c *conn.Stream, n secure.Negotiation)
	// OnSecureConnectionEstablished follows, before OnConnectionEstablished.
	OnSecureConnectionEstablished(c *conn.Stream, peer conn.Addr)
	// OnFatalError: we end the connection for what TLS has found, be it the peer's
	// certificate or a record that isn't one. OnRemoteFatalError: the peer has, and has
	// said so. The error is a *conn.Error around a *secure.Error, but for a handshake
	// that has taken too long. If the connection was established, its end follows; an
	// outgoing one that wasn't is told of by OnOutgoingConnectionFailed alone.
	OnFatalError(c *conn.Stream, err error)
	OnRemoteFatalError(c *conn.Stream, err error)
	// OnSecureSocketReleased follows OnSocketReleased, and is the last of a connection
	// with TLS.
	OnSecureSocketReleased(d *conn.UserData)
}

// OnNegotiationComplete implements SecureCallback.
func (BaseCallback) OnNegotiationComplete(*conn.Stream, secure.Negotiation) {}

// OnSecureConnectionEstablished implements SecureCallback.
func (BaseCallback) OnSecureConnectionEstablished(*conn.Stream, conn.Addr) {}

// OnFatalError implements SecureCallback.
func (BaseCallback) OnFatalError(*conn.Stream, error) {}

// OnRemoteFatalError implements SecureCallback.
func (BaseCallback) OnRemoteFatalError(*conn.Stream, error) {}

// OnSecureSocketReleased implements SecureCallback.
func (BaseCallback) OnSecureSocketReleased(*conn.UserData) {}

// negotiated tells of a handshake, if the connection has had one.
func (e *endpoint) negotiated(c *conn.Stream) {
	state, is := secure.State(c)
	if !is {
		return
	}
	e.shaken.count(state)
	e.cb.OnNegotiationComplete(c, secure.Negotiation{Inbound: c.Inbound(), ConnectionState: state})
	e.cb.OnSecureConnectionEstablished(c, c.RemoteAddr())
}

// Upgraded implements engine.Consumer.
func (e *endpoint) Upgraded(c *engine.Conn) { e.negotiated((*conn.Stream)(c)) }

// insecure tells of a failure of TLS, if that was the connection's end.
func (e *endpoint) insecure(c *conn.Stream, r conn.Reason, established bool) {
	secured := r == conn.ReasonHandshake || r == conn.ReasonHandshakeTimeout || r == conn.ReasonSession
	if !secured || !secure.Is(c) || !established && !c.Inbound() {
		return
	}
	_, err := c.Cause()
	var failure *secure.Error
	if errors.As(err, &failure) && failure.Remote {
		e.cb.OnRemoteFatalError(c, err)
	} else {
		e.cb.OnFatalError(c, err)
	}
}

// sessions is what stands between a listener's bytes and the callbacks.
func (l Listener) sessions() conn.SessionFactory {
	if l.TLS != nil {
		return l.TLS
	}
	return l.Sessions
}

// below is the network below TLS.
func below(network string) string {
	if network == networkTLS {
		return "tcp"
	}
	return network
}

// transport is what a listener's clients speak, whatever the version of IP; "": it's outgoing.
func (l Listener) transport() string {
	switch {
	case l.TLS != nil:
		return networkTLS
	case strings.HasPrefix(l.Network, "tcp"):
		return "tcp"
	default:
		return l.Network
	}
}

const networkTLS = "tls"

var _ engine.SessionFactory = (*secure.Context)(nil)
