package server

import (
	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// Callback is what a server calls (the seeds' IStreamSocketServerCallback). Embed
// BaseCallback, which has an empty method for each, and implement what you need.
type Callback interface {
	AcceptCallback
	ConnectionCallback
	IOCallback
	FlowCallback
	SecureCallback
	LifecycleCallback
	embedsBaseCallback() // so that callbacks added later break nobody
}

// AcceptCallback is about accepting. Control goroutine.
type AcceptCallback interface {
	OnStartAcceptingConnections()
	OnStopAcceptingConnections()
	// OnAcceptError: accepting failed for now (it's tried again, less and less
	// often) or, if err is about the descriptor itself, for good.
	OnAcceptError(listener string, err error)
	// OnMaximumConnections: a limit is reached, the listener's or, with "", the
	// server's. Nothing more is accepted there until a connection closes; those who
	// come wait in the kernel's queue. Once each time it's reached.
	OnMaximumConnections(listener string)
}

// ConnectionCallback is about a connection's life. On its loop.
type ConnectionCallback interface {
	// OnSocketCreated: the descriptor is new; options without another way may be
	// set. It isn't to be kept.
	OnSocketCreated(fd int)
	// OnPreOutgoingConnect: a connect to an address follows; userData is what was given
	// to Connect or AsyncConnect. With OnSocketCreated it comes for each address tried. If
	// none was, because the name isn't known or there was no socket, it comes before
	// OnOutgoingConnectionFailed with the zero Addr: what it keeps in d is always there.
	OnPreOutgoingConnect(d *conn.UserData, to conn.Addr, userData any)
	// OnOutgoingConnectionFailed: no address has accepted the connection of an
	// AsyncConnect; at is the last one tried. Only OnSocketReleased follows.
	OnOutgoingConnectionFailed(c *conn.Stream, at conn.Addr, err error)
	// OnConnectionEstablished: issue the first Read or Write, or take a reference;
	// otherwise the connection closes by itself.
	OnConnectionEstablished(c *conn.Stream, peer conn.Addr)
	// OnConnectionClientClose: the peer won't send any more; writing may go on.
	OnConnectionClientClose(c *conn.Stream)
	// OnConnectionReset: the peer or the network ended it; err is a *conn.Error.
	OnConnectionReset(c *conn.Stream, err error)
	// OnConnectionClosure: the descriptor is closed, and this is why.
	OnConnectionClosure(c *conn.Stream, reason conn.Reason)
	// OnConnectionClosed follows it, for those used to the callback without reason.
	OnConnectionClosed(c *conn.Stream)
	// OnSocketReleased: nobody holds the connection; it's the last call.
	OnSocketReleased(d *conn.UserData)
}

// IOCallback is about reads and writes. On the connection's loop. Buffers are lent:
// AddRef keeps one, Release gives it back; none is ever nil.
type IOCallback interface {
	// OnReadCompleted answers a Read or ReadFull. Ask for the next before it
	// returns, or hold a reference; otherwise the connection closes by itself.
	OnReadCompleted(c *conn.Stream, b *buffers.Buffer)
	// OnReadOOBCompleted brings the byte that the peer sent out of band, as soon as
	// it's announced. On a Unix-domain socket the kernel drops the byte when a read
	// passes it, so one that comes while the loop is reading may be lost.
	OnReadOOBCompleted(c *conn.Stream, b *buffers.Buffer)
	// OnReadCompletionErrorMayNotBeFatalConnectionError is asked when a read has
	// failed, with what it had got. True keeps the connection, where it can be
	// kept (io.ErrUnexpectedEOF: writing may go on).
	OnReadCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, b *buffers.Buffer, err error) bool
	// OnReadCompletionError: a read has failed, and the connection with it.
	OnReadCompletionError(c *conn.Stream, b *buffers.Buffer, err error)
	// OnWriteCompletionErrorMayNotBeFatalConnectionError is asked about the first
	// write that wasn't wholly sent; nothing can be kept at present.
	OnWriteCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, b *buffers.Buffer, err error) bool
	// OnWriteCompletionError: a write wasn't, or not wholly, sent.
	OnWriteCompletionError(c *conn.Stream, b *buffers.Buffer, err error)
}

// WriteCallback is optional: a Callback that also implements it hears of every write
// that was handed to the kernel, once each, in order; a Send completes with an empty
// buffer. Nobody pays for it who doesn't.
type WriteCallback interface {
	OnWriteCompleted(c *conn.Stream, b *buffers.Buffer)
}

// FlowCallback is about output that the peer doesn't take. On the connection's loop.
type FlowCallback interface {
	// OnWriteBlocked: queued output is above Flow.High, or a write was refused for
	// want of room (conn.ErrOutputFull).
	OnWriteBlocked(c *conn.Stream)
	// OnWriteReady follows each OnWriteBlocked once, when it's down at Flow.Low,
	// unless the connection ends first.
	OnWriteReady(c *conn.Stream)
}

// LifecycleCallback is about the server. Control goroutine.
type LifecycleCallback interface {
	OnShutdownInitiated()
	// OnShutdownComplete is the last call: every connection has ended. After it
	// comes only OnSocketReleased of those that somebody still holds.
	OnShutdownComplete()
	// OnAllConnectionsAborted: n connections were aborted, by AbortAllConnections or
	// because a drain ran out of time.
	OnAllConnectionsAborted(n int)
	// OnError: something failed that no connection stands for.
	OnError(message string, err error)
}

// BaseCallback does nothing for every callback.
type BaseCallback struct{}

var _ Callback = BaseCallback{}

func (BaseCallback) embedsBaseCallback() {}

// OnStartAcceptingConnections does nothing.
func (BaseCallback) OnStartAcceptingConnections() {}

// OnStopAcceptingConnections does nothing.
func (BaseCallback) OnStopAcceptingConnections() {}

// OnAcceptError does nothing.
func (BaseCallback) OnAcceptError(string, error) {}

// OnMaximumConnections does nothing.
func (BaseCallback) OnMaximumConnections(string) {}

// OnSocketCreated does nothing.
func (BaseCallback) OnSocketCreated(int) {}

// OnPreOutgoingConnect does nothing.
func (BaseCallback) OnPreOutgoingConnect(*conn.UserData, conn.Addr, any) {}

// OnOutgoingConnectionFailed does nothing.
func (BaseCallback) OnOutgoingConnectionFailed(*conn.Stream, conn.Addr, error) {}

// OnConnectionEstablished does nothing, so the connection closes by itself.
func (BaseCallback) OnConnectionEstablished(*conn.Stream, conn.Addr) {}

// OnConnectionClientClose does nothing.
func (BaseCallback) OnConnectionClientClose(*conn.Stream) {}

// OnConnectionReset does nothing.
func (BaseCallback) OnConnectionReset(*conn.Stream, error) {}

// OnConnectionClosure does nothing.
func (BaseCallback) OnConnectionClosure(*conn.Stream, conn.Reason) {}

// OnConnectionClosed does nothing.
func (BaseCallback) OnConnectionClosed(*conn.Stream) {}

// OnSocketReleased does nothing.
func (BaseCallback) OnSocketReleased(*conn.UserData) {}

// OnReadCompleted does nothing, so the connection closes by itself.
func (BaseCallback) OnReadCompleted(*conn.Stream, *buffers.Buffer) {}

// OnReadOOBCompleted does nothing.
func (BaseCallback) OnReadOOBCompleted(*conn.Stream, *buffers.Buffer) {}

// OnReadCompletionErrorMayNotBeFatalConnectionError says that it is.
func (BaseCallback) OnReadCompletionErrorMayNotBeFatalConnectionError(*conn.Stream, *buffers.Buffer, error) bool {
	return false
}

// OnReadCompletionError does nothing.
func (BaseCallback) OnReadCompletionError(*conn.Stream, *buffers.Buffer, error) {}

// OnWriteCompletionErrorMayNotBeFatalConnectionError says that it is.
func (BaseCallback) OnWriteCompletionErrorMayNotBeFatalConnectionError(*conn.Stream, *buffers.Buffer, error) bool {
	return false
}

// OnWriteCompletionError does nothing.
func (BaseCallback) OnWriteCompletionError(*conn.Stream, *buffers.Buffer, error) {}

// OnWriteBlocked does nothing.
func (BaseCallback) OnWriteBlocked(*conn.Stream) {}

// OnWriteReady does nothing.
func (BaseCallback) OnWriteReady(*conn.Stream) {}

// OnShutdownInitiated does nothing.
func (BaseCallback) OnShutdownInitiated() {}

// OnShutdownComplete does nothing.
func (BaseCallback) OnShutdownComplete() {}

// OnAllConnectionsAborted does nothing.
func (BaseCallback) OnAllConnectionsAborted(int) {}

// OnError does nothing.
func (BaseCallback) OnError(string, error) {}
