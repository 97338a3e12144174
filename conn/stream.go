package conn

import (
	"syscall"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
)

// Stream is a stream connection of a server (the seeds' IStreamSocket).
type Stream engine.Conn

func (c *Stream) engine() *engine.Conn { return (*engine.Conn)(c) }

// Read asks for whatever comes next, at least one byte, in a pooled buffer;
// OnReadCompleted answers. Memory is taken only when there's something to read. Reads
// are served in the order they were asked for.
//
// It returns ErrReadClosed after OnConnectionClientClose, and ErrClosed after the end.
func (c *Stream) Read() error { return c.engine().Read() }

// ReadFull asks for exactly n bytes, 0 ≤ n ≤ Flow.MaxRead, in one buffer; anything else
// is ErrTooLarge. If the stream ends first, OnReadCompletionError with
// io.ErrUnexpectedEOF has the bytes there were.
func (c *Stream) ReadFull(n int) error { return c.engine().ReadFull(n) }

// Send writes p, which it doesn't keep: what can't be sent at once is copied. Each
// Send, Write and Writev is atomic: its bytes go out together, in the order of the
// calls. ErrOutputFull means that nothing was sent or queued.
func (c *Stream) Send(p []byte) error { return c.engine().Send(p) }

// Write writes b's bytes as they are now. It takes a reference of its own and never
// the caller's; b isn't to be changed until that has gone, which Append and Reserve
// enforce.
func (c *Stream) Write(b *buffers.Buffer) error { return c.engine().Write(b) }

// Writev writes several buffers with nothing between them. Each completes by itself.
func (c *Stream) Writev(bs ...*buffers.Buffer) error { return c.engine().Writev(bs...) }

// SendOOB sends one byte out of band (MSG_OOB), behind what was written before. It
// doesn't complete.
func (c *Stream) SendOOB(b byte) error { return c.engine().SendOOB(b) }

// AtMark reports whether the next byte to be read follows the out-of-band mark
// (sockatmark).
func (c *Stream) AtMark() (bool, error) { return c.engine().AtMark() }

// SetReadGate chooses whose output c's reads wait for while it's above High (until
// it's at Low): c for all of c's own, another stream for all of that one's (a proxy;
// it may be on another loop, and is kept open while c has a read pending), nil for
// none. By default it's the output that c's own OnReadCompleted wrote.
func (c *Stream) SetReadGate(on *Stream) { c.engine().SetReadGate(on.engine()) }

// SetFlow changes the connection's bounds; 0 stands for the listener's.
func (c *Stream) SetFlow(f Flow) { c.engine().SetFlow(f) }

// SetTimeouts changes the connection's time-outs, which count anew; 0 stands for the
// listener's.
func (c *Stream) SetTimeouts(t Timeouts) { c.engine().SetTimeouts(t) }

// Pending is the number of bytes queued for sending.
func (c *Stream) Pending() int { return c.engine().Pending() }

// Post runs f on the connection's loop, never at the same time as its callbacks, and
// keeps the connection open until then. ErrClosed means that f won't run.
func (c *Stream) Post(f func(*Stream)) error {
	if f == nil {
		return ErrMode
	}
	return c.engine().Post(func(e *engine.Conn) { f((*Stream)(e)) })
}

// AfterFunc has f called after d on the connection's loop, never at the same time as its
// callbacks. A connection may have several timers. They don't keep it open, and end with
// it: f isn't called after OnConnectionClosure.
func (c *Stream) AfterFunc(d time.Duration, f func(*Stream)) *Timer {
	return c.engine().AfterFunc(d, func(e *engine.Conn) { f((*Stream)(e)) })
}

// Shutdown ends the connection gracefully: what was written is sent, then our end of
// the stream; then the peer's end is waited for, within Timeouts.Linger. Nothing more
// is read or written. A second call changes nothing.
func (c *Stream) Shutdown() error { return c.engine().Shutdown() }

// ShutdownSend ends our side behind what was written; the peer can go on sending. A
// second call changes nothing.
func (c *Stream) ShutdownSend() error { return c.engine().ShutdownSend() }

// Abort ends the connection at once with a reset. What was queued is lost, and reported
// by OnWriteCompletionError. cause may be nil; Cause tells it.
func (c *Stream) Abort(cause error) { c.engine().Abort(cause) }

// Cause is why the connection has ended or is ending; ReasonNone before. The error is
// nil for a clean end.
func (c *Stream) Cause() (Reason, error) { return c.engine().Cause() }

// State is where the connection is in its life, now.
func (c *Stream) State() State { return c.engine().State() }

// Inbound reports whether the connection was accepted.
func (c *Stream) Inbound() bool { return c.engine().Inbound() }

// Origin is the name of the listener that accepted it.
func (c *Stream) Origin() string { return c.engine().Origin() }

// LocalAddr is this end's address, also after the end.
func (c *Stream) LocalAddr() Addr { return c.engine().LocalAddr() }

// RemoteAddr is the peer's address, also after the end.
func (c *Stream) RemoteAddr() Addr { return c.engine().RemoteAddr() }

// ID is unique among the connections of a Mux, and never reused.
func (c *Stream) ID() uint64 { return c.engine().ID() }

// PeerCredentials tells which process connected to a Unix-domain socket; ErrMode for
// other kinds.
func (c *Stream) PeerCredentials() (Credentials, error) { return c.engine().PeerCredentials() }

// SyscallConn gives access to the descriptor for options that have no other way.
// Control keeps it open while its function runs; Read and Write are unsupported.
func (c *Stream) SyscallConn() (syscall.RawConn, error) { return c.engine().SyscallConn() }

// AddRef takes a reference, and returns c. It keeps an open connection from closing for
// want of references, and a closed one from being released. Take the first one inside a
// callback; whoever holds one may take more anywhere.
func (c *Stream) AddRef() *Stream {
	c.engine().AddRef()
	return c
}

// Release gives a reference back.
func (c *Stream) Release() { c.engine().Release() }

func (c *Stream) String() string { return c.engine().String() }

// UserData is what's left of a connection for OnSocketReleased: no stream any more, but
// what was stored with it.
type UserData engine.Conn

// ID is the connection's.
func (d *UserData) ID() uint64 { return (*engine.Conn)(d).ID() }
