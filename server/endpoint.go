package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/socketfile"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/secure"
)

// endpoint is one listener with its sockets, and the consumer of its connections: it
// turns what the engine says into callbacks.
type endpoint struct {
	s         *Server
	l         Listener
	transport string // tcp, unix or tls
	cb        Callback
	wcb       WriteCallback // nil: not wanted
	env       *engine.Env
	fds       []int // until the acceptors take them
	bound     []conn.Addr
	file      *socketfile.File
	accept    []*engine.Acceptor
	logged    atomic.Int64 // the second of the last line about a failed accept

	places    account // guarded by Server.places
	addresses addresses
	pace      pace
	refused   refusals
	shaken    handshakes
	accepting atomic.Pointer[[]*engine.Acceptor] // accept, once it's complete
}

// newEndpoint makes one that doesn't listen yet.
func newEndpoint(s *Server, l Listener) *endpoint {
	e := &endpoint{
		s: s, l: l, transport: l.transport(), cb: s.config.Callback,
		places: account{limit: l.MaxConnections}, addresses: addresses{limit: l.MaxPerAddress}, pace: newPace(l),
	}
	e.wcb, _ = s.config.Callback.(WriteCallback)
	return e
}

// listen makes the sockets: one, or with ReusePort one per loop.
func (e *endpoint) listen(k sys.Kernel, loops int) error {
	spec, err := e.l.spec(e.s.config.Resolver)
	if err != nil {
		return fmt.Errorf("listener %q: %w", e.l.Name, err)
	}
	if e.l.Network == "unix" {
		stale, err := socketfile.Clear(e.l.Address)
		if err != nil {
			return fmt.Errorf("listener %q: %w", e.l.Name, err)
		}
		if stale {
			e.s.log.Warn("removing a stale socket file: no server answers on it", "path", e.l.Address)
		}
	}
	n := 1
	if e.l.ReusePort {
		n = loops
	}
	for range n {
		fd, bound, err := sys.ListenOn(k, spec)
		if errors.Is(err, syscall.EAFNOSUPPORT) && spec.DualStack {
			// A system without IPv6: all interfaces are those of IPv4.
			e.l.Network = "tcp4"
			return e.listen(k, loops)
		}
		if err != nil {
			e.closeSockets(k)
			return fmt.Errorf("listener %q: %w%s", e.l.Name, err, remedy(err))
		}
		e.fds = append(e.fds, fd)
		e.bound = append(e.bound, bound)
		spec.Addr = bound // the port that the system chose is everybody's
	}
	if e.l.Network == "unix" {
		e.file = socketfile.Opened(e.l.Address)
	}
	return nil
}

// remedy says what can be done about a failure to listen.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ": another process listens there; stop it, or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": this machine doesn't have that address; choose one of its own"
	case errors.Is(err, syscall.EACCES):
		return ": not permitted; choose a port above 1023 or a directory that is writable"
	case errors.Is(err, syscall.ENOENT):
		return ": the directory doesn't exist; create it, or choose another path"
	case errors.Is(err, syscall.EMFILE):
		return ": this process has no descriptor left; raise its limit (ulimit -n)"
	default:
		return ""
	}
}

func (e *endpoint) closeSockets(k sys.Kernel) {
	for _, fd := range e.fds {
		k.Close(fd)
	}
	e.fds = nil
	e.file.Remove()
}

// prepare makes what the connections share.
func (e *endpoint) prepare(mux *engine.Mux) {
	local := e.bound[0]
	e.prepareEnv(mux)
	e.env.Sessions = e.l.sessions()
	if local.IsUnix() {
		e.env.Category = engine.CategoryUnix
	}
	e.env.Local = local
	e.env.Wildcard = !local.IsUnix() && local.AddrPort.Addr().IsUnspecified()
}

// prepareEnv makes what doesn't depend on an address.
func (e *endpoint) prepareEnv(mux *engine.Mux) {
	e.env = &engine.Env{
		Mux:       mux,
		Consumer:  e,
		Allocator: e.s.allocator,
		Logger:    e.s.log,
		Muted:     e.s.config.Mute,
		Origin:    e.l.Name,
		Flow:      e.s.config.Flow,
		Timeouts:  e.s.config.Timeouts,
		Track:     e.wcb != nil,
		Debug:     e.s.config.Debug,
	}
	e.env.InitShards()
}

// open starts accepting.
func (e *endpoint) open() error {
	loops := e.env.Mux.Group.Reactors()
	for i, fd := range e.fds {
		a, err := engine.NewAcceptor(e.env, e, e.loop(loops, i), fd, !e.l.ReusePort)
		if err != nil {
			e.fds = e.fds[i+1:] // the acceptor has closed its own
			return err
		}
		e.accept = append(e.accept, a)
	}
	e.fds = nil
	return nil
}

// loop is where socket i accepts: with ReusePort each loop has its own, otherwise the
// listeners take turns.
func (e *endpoint) loop(loops []*reactor.Reactor, i int) *reactor.Reactor {
	if !e.l.ReusePort {
		i = e.s.nextLoop
		e.s.nextLoop++
	}
	return loops[i%len(loops)]
}

// close stops accepting. A loop that's stuck in a callback isn't waited for beyond ctx.
func (e *endpoint) close(ctx context.Context) {
	for _, a := range e.accept {
		select {
		case <-a.Close():
		case <-ctx.Done():
		}
	}
	e.file.Remove()
}

// Admit implements engine.AcceptPolicy.
func (e *endpoint) Admit() bool {
	ok, news := e.s.places.admit(&e.places)
	if news.listener {
		e.reportFull(e.l.Name, e.l.MaxConnections)
	}
	if news.server {
		e.reportFull("", e.s.config.MaxConnections)
	}
	return ok
}

func (e *endpoint) reportFull(listener string, limit int) {
	if e.mayLog() {
		e.s.log.Warn("the maximum of connections is reached; accepting pauses until one closes", "listener", listener, "limit", limit)
	}
	e.s.control.report(func() { e.cb.OnMaximumConnections(listener) })
}

// Placed implements engine.AcceptPolicy.
func (e *endpoint) Placed() { e.s.places.placed(&e.places) }

// Cancel implements engine.AcceptPolicy.
func (e *endpoint) Cancel() { e.resume(e.s.places.cancel(&e.places)) }

// leave gives an accepted connection's place back: the address's first, since the next
// to come into the other may be from there.
func (e *endpoint) leave(peer conn.Addr) {
	e.addresses.leave(peer)
	e.leavePlace()
}

// leavePlace gives the place of any connection back.
func (e *endpoint) leavePlace() { e.resume(e.s.places.leave(&e.places)) }

// resume has those acceptors look again who waited for a place.
func (e *endpoint) resume(who scope) {
	switch {
	case who.server:
		e.s.resumeAccepting()
	case who.listener:
		e.resumeAccepting()
	}
}

// resumeAccepting has the listener's acceptors look again.
func (e *endpoint) resumeAccepting() {
	if all := e.accepting.Load(); all != nil {
		for _, a := range *all {
			a.Resume()
		}
	}
}

// AcceptFailed implements engine.AcceptPolicy.
func (e *endpoint) AcceptFailed(err error, fatal bool) {
	if fatal || e.mayLog() {
		e.s.log.Warn("accept failed", "listener", e.l.Name, "error", err, "fatal", fatal)
	}
	e.s.control.report(func() { e.cb.OnAcceptError(e.l.Name, err) })
}

// Ended implements engine.AcceptPolicy.
func (e *endpoint) Ended() {}

// mayLog allows one line a second about failures that can come in any number.
func (e *endpoint) mayLog() bool {
	now, last := time.Now().Unix(), e.logged.Load()
	return now != last && e.logged.CompareAndSwap(last, now)
}

// The rest implements engine.Consumer.

// Created implements engine.Consumer.
func (e *endpoint) Created(_ *engine.Conn, fd int) { e.cb.OnSocketCreated(fd) }

// Established implements engine.Consumer.
func (e *endpoint) Established(c *engine.Conn) {
	defer e.s.dialed(c, nil)
	e.negotiated((*conn.Stream)(c))
	e.cb.OnConnectionEstablished((*conn.Stream)(c), c.RemoteAddr())
}

// Read implements engine.Consumer.
func (e *endpoint) Read(c *engine.Conn, b *buffers.Buffer) {
	e.cb.OnReadCompleted((*conn.Stream)(c), b)
}

// OutOfBand implements engine.Consumer.
func (e *endpoint) OutOfBand(c *engine.Conn, b *buffers.Buffer) {
	e.cb.OnReadOOBCompleted((*conn.Stream)(c), b)
}

// ClientClose implements engine.Consumer.
func (e *endpoint) ClientClose(c *engine.Conn) { e.cb.OnConnectionClientClose((*conn.Stream)(c)) }

// MayContinue implements engine.Consumer.
func (e *endpoint) MayContinue(c *engine.Conn, b *buffers.Buffer, err error, dir engine.Direction) bool {
	if dir == engine.Sending {
		return e.cb.OnWriteCompletionErrorMayNotBeFatalConnectionError((*conn.Stream)(c), b, err)
	}
	return e.cb.OnReadCompletionErrorMayNotBeFatalConnectionError((*conn.Stream)(c), b, err)
}

// ReadError implements engine.Consumer.
func (e *endpoint) ReadError(c *engine.Conn, b *buffers.Buffer, err error) {
	e.cb.OnReadCompletionError((*conn.Stream)(c), b, err)
}

// WriteError implements engine.Consumer.
func (e *endpoint) WriteError(c *engine.Conn, b *buffers.Buffer, err error) {
	e.cb.OnWriteCompletionError((*conn.Stream)(c), b, err)
}

// Written implements engine.Consumer.
func (e *endpoint) Written(c *engine.Conn, b *buffers.Buffer) {
	e.wcb.OnWriteCompleted((*conn.Stream)(c), b)
}

// WriteBlocked implements engine.Consumer.
func (e *endpoint) WriteBlocked(c *engine.Conn) { e.cb.OnWriteBlocked((*conn.Stream)(c)) }

// WriteReady implements engine.Consumer.
func (e *endpoint) WriteReady(c *engine.Conn) { e.cb.OnWriteReady((*conn.Stream)(c)) }

// Reset implements engine.Consumer.
func (e *endpoint) Reset(c *engine.Conn, err error) { e.cb.OnConnectionReset((*conn.Stream)(c), err) }

// Closed implements engine.Consumer. The older callback comes even if the newer one
// panics; the engine sees the panic all the same.
func (e *endpoint) Closed(c *engine.Conn, r engine.Reason, established bool) {
	e.s.held.Add(1)
	e.leave(c.RemoteAddr())
	e.countFailedHandshake(c, r, established)
	e.insecure((*conn.Stream)(c), r, established)
	if !established {
		return
	}
	defer e.cb.OnConnectionClosed((*conn.Stream)(c))
	e.cb.OnConnectionClosure((*conn.Stream)(c), r)
}

// Released implements engine.Consumer.
func (e *endpoint) Released(c *engine.Conn) {
	if e.s.held.Add(-1) == 0 {
		select {
		case e.s.freed <- struct{}{}:
		default:
		}
	}
	if a := attemptOf(c); a != nil && !a.seen {
		return // there was no socket, and Connect has returned why
	}
	if secure.Is((*conn.Stream)(c)) {
		defer e.cb.OnSecureSocketReleased((*conn.UserData)(c))
	}
	e.cb.OnSocketReleased((*conn.UserData)(c))
}
