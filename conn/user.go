package conn

import (
	"net/netip"

	"github.com/sluice-net/sluice/internal/engine"
)

// User is called back by its sockets (the seeds' USocket). Embed [BaseUser], which has all
// but SocketShutdown. One user may serve many sockets: s says which one calls.
//
// Every method is called on the socket's event loop, one at a time for each socket; sockets
// on different loops call at the same time. None may block.
type User interface {
	// SocketConnectComplete: s is connected.
	SocketConnectComplete(s Socket)
	// SocketBindResult: s is bound, to the address and port that it really has: "" was
	// "0.0.0.0" or "::", and port 0 one that the system chose. A local socket has a path,
	// and port 0. Listen is next.
	SocketBindResult(s Socket, localAddr string, localPort uint16)
	// SocketListenResult: somebody has connected to s. Accept must be called before it
	// returns; without that, and with nil, the connection is reset.
	SocketListenResult(s Socket, remoteAddr string, remotePort uint16)
	// SocketAcceptComplete brings the new socket to the user that was given to Accept: it's
	// connected, and its reference is the user's, to be released.
	SocketAcceptComplete(s Socket)
	// SocketShutdown is the last call for s. What was cached has been sent, if the reason
	// is ShutdownNormal or ShutdownByPeer; nothing more is received. Err has the details.
	SocketShutdown(s Socket, reason ShutdownReason)
	// SocketSendResult answers one Send: its bytes were handed to the system.
	SocketSendResult(s Socket)
	// SocketRecvResult answers a Recv with the memory that was given to it, of which the
	// first n bytes are filled. The memory is the user's again.
	SocketRecvResult(s Socket, p []byte, n int)
	// SocketRecvFromResult is for datagrams.
	SocketRecvFromResult(s Socket, p []byte, n int, from netip.AddrPort)
	// SocketRecvCanceled answers a Recv that won't be: RecvCancel was called, or s ends. The
	// memory is the user's again.
	SocketRecvCanceled(s Socket, p []byte)
	// SocketUpgradeToTLSComplete: the handshake of an upgraded socket is over.
	SocketUpgradeToTLSComplete(s Socket)
	// SocketAcceptSelectedALPNProtocol: false ends the connection.
	SocketAcceptSelectedALPNProtocol(s Socket, protocol string) bool
}

// BaseUser has the methods of a User that one may do without; they do nothing.
type BaseUser struct{}

// SocketConnectComplete implements User, as all that follow.
func (BaseUser) SocketConnectComplete(Socket) {}

// SocketBindResult does nothing.
func (BaseUser) SocketBindResult(Socket, string, uint16) {}

// SocketListenResult does nothing, which denies the connection.
func (BaseUser) SocketListenResult(Socket, string, uint16) {}

// SocketAcceptComplete does nothing.
func (BaseUser) SocketAcceptComplete(Socket) {}

// SocketSendResult does nothing.
func (BaseUser) SocketSendResult(Socket) {}

// SocketRecvResult does nothing.
func (BaseUser) SocketRecvResult(Socket, []byte, int) {}

// SocketRecvFromResult does nothing.
func (BaseUser) SocketRecvFromResult(Socket, []byte, int, netip.AddrPort) {}

// SocketRecvCanceled does nothing.
func (BaseUser) SocketRecvCanceled(Socket, []byte) {}

// SocketUpgradeToTLSComplete does nothing.
func (BaseUser) SocketUpgradeToTLSComplete(Socket) {}

// SocketAcceptSelectedALPNProtocol accepts any.
func (BaseUser) SocketAcceptSelectedALPNProtocol(Socket, string) bool { return true }

// ShutdownReason says why a socket has ended (the seeds' shutdownreason_t). A connection's
// [Reason] is finer; its Shutdown is this.
type ShutdownReason = engine.ShutdownReason

// The reasons.
const (
	ShutdownNormal             = engine.ShutdownNormal
	ShutdownByPeer             = engine.ShutdownByPeer
	ShutdownLost               = engine.ShutdownLost
	ShutdownAddressInvalid     = engine.ShutdownAddressInvalid
	ShutdownOpenFailed         = engine.ShutdownOpenFailed
	ShutdownConnectFailed      = engine.ShutdownConnectFailed
	ShutdownConnectRejected    = engine.ShutdownConnectRejected
	ShutdownBindFailed         = engine.ShutdownBindFailed
	ShutdownListenFailed       = engine.ShutdownListenFailed
	ShutdownAcceptFailed       = engine.ShutdownAcceptFailed
	ShutdownTLSHandshakeFailed = engine.ShutdownTLSHandshakeFailed
)
