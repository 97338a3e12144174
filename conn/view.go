package conn

import (
	"log/slog"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
)

// view is the consumer of all sockets' connections: it turns what the engine says into the
// seeds' words.
type view struct{}

func socketOf(c *engine.Conn) *socket { return c.Owner().(*socket) }

// Created implements engine.Consumer, as all that follows but for the last two.
func (view) Created(c *engine.Conn, _ int) {
	if c.Inbound() {
		s := socketOf(c)
		s.id = c.ID()
		c.AddRef() // the socket's
		s.c.Store(c)
	}
}

func (view) Established(c *engine.Conn) {
	s := socketOf(c)
	if !s.acceptsProtocol(c) {
		return
	}
	if c.Inbound() {
		s.called().SocketAcceptComplete(s)
		return
	}
	s.mu.Lock()
	s.connected = true
	ending := s.ending
	s.mu.Unlock()
	if ending {
		_ = c.Shutdown()
		return
	}
	s.called().SocketConnectComplete(s)
}

func (view) Upgraded(c *engine.Conn) {
	s := socketOf(c)
	if s.acceptsProtocol(c) {
		s.called().SocketUpgradeToTLSComplete(s)
	}
}

func (view) Written(c *engine.Conn, _ *buffers.Buffer) {
	s := socketOf(c)
	s.called().SocketSendResult(s)
}

func (view) ClientClose(c *engine.Conn) { _ = c.ShutdownFor(ReasonPeerClosed) }

func (view) Closed(c *engine.Conn, r Reason, established bool) {
	s := socketOf(c)
	if _, err := c.Cause(); err != nil && !established {
		s.log(slog.LevelWarn, "a socket has failed", "reason", r.String(), "error", err)
	}
	s.mu.Lock()
	s.over = true
	own := s.ending || s.refs.Load() == 0
	s.mu.Unlock()
	reason := r.Shutdown()
	switch {
	case !established && c.Inbound() && reason != ShutdownTLSHandshakeFailed:
		reason = ShutdownAcceptFailed
	case r == ReasonLinger && !own: // a time-out began the end
		reason = ShutdownLost
	}
	s.called().SocketShutdown(s, reason)
}

func (view) Released(c *engine.Conn) { socketOf(c).env.Unshare() }

// What the seeds don't tell of.

func (view) Connecting(*engine.Conn, Addr)                   {}
func (view) ConnectFailed(*engine.Conn, Addr, error)         {} // Closed follows
func (view) Read(*engine.Conn, *buffers.Buffer)              {}
func (view) OutOfBand(*engine.Conn, *buffers.Buffer)         {}
func (view) ReadError(*engine.Conn, *buffers.Buffer, error)  {}
func (view) WriteError(*engine.Conn, *buffers.Buffer, error) {}
func (view) WriteBlocked(*engine.Conn)                       {}
func (view) WriteReady(*engine.Conn)                         {}
func (view) Reset(*engine.Conn, error)                       {}

func (view) MayContinue(*engine.Conn, *buffers.Buffer, error, engine.Direction) bool { return false }

// Received implements engine.MemoryConsumer.
func (view) Received(c *engine.Conn, p []byte, n int) {
	s := socketOf(c)
	s.called().SocketRecvResult(s, p, n)
}

// Canceled implements engine.MemoryConsumer.
func (view) Canceled(c *engine.Conn, p []byte) {
	s := socketOf(c)
	s.called().SocketRecvCanceled(s, p)
}
