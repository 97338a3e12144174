package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/secure"
)

// Target is what an outgoing connection connects to.
type Target struct {
	Name    string        // in logs and Stream.Origin; default: outgoing
	Network string        // "tcp", "tcp4", "tcp6", "unix", or "tls", which is "tcp" with TLS
	Address string        // "host:port" or "[ipv6]:port", or a path; "@name" is abstract
	Timeout time.Duration // for resolving and connecting, over all addresses; 0: 10 s, negative: none
	Options conn.SocketOptions

	TLS        *secure.Context // makes the connection a TLS client's; nil: plain
	ServerName string          // that the server's certificate is for; default: Address's host
}

// DefaultConnectTimeout is Target.Timeout's default.
const DefaultConnectTimeout = 10 * time.Second

func (t *Target) check() error {
	switch t.Network {
	case "tcp", "tcp4", "tcp6", networkTLS:
		host, port, err := parseHostPort(t.Address)
		if err != nil {
			return fmt.Errorf("target %s://%s: %w", t.Network, t.Address, err)
		}
		if port == 0 {
			return fmt.Errorf("target %s://%s: no port to connect to: want 1 to 65535", t.Network, t.Address)
		}
		if t.ServerName == "" {
			t.ServerName = host
		}
	case "unix":
		if err := checkPath(t.Address); err != nil {
			return fmt.Errorf("target unix://%s: %w", t.Address, err)
		}
	default:
		return fmt.Errorf("target %q: unknown network %q: want tcp, tcp4, tcp6, tls or unix", t.Address, t.Network)
	}
	if t.Network == networkTLS && t.TLS == nil {
		return fmt.Errorf("target tls://%s: TLS is nil: want a secure.Context", t.Address)
	}
	if t.Timeout == 0 {
		t.Timeout = DefaultConnectTimeout
	}
	return nil
}

// resolve finds the target's addresses, off the loops.
func (t *Target) resolve(ctx context.Context, r Resolver) ([]conn.Addr, error) {
	if t.Network == "unix" {
		return []conn.Addr{{Path: t.Address}}, nil
	}
	host, port, err := parseHostPort(t.Address)
	if err != nil {
		return nil, err
	}
	ips := []netip.Addr{netip.IPv6Loopback()}
	switch {
	case host != "":
		if ips, err = lookUp(ctx, r, t.Network, host); err != nil {
			return nil, err
		}
	case t.Network != "tcp6": // this machine, as for net.Dial
		ips = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	addrs := make([]conn.Addr, len(ips))
	for i, ip := range ips {
		addrs[i] = conn.Addr{AddrPort: netip.AddrPortFrom(ip, port)}
	}
	return addrs, nil
}

// newOutgoing is the endpoint of the connections that the server makes itself.
func newOutgoing(s *Server) *endpoint {
	e := newEndpoint(s, Listener{Name: reservedName})
	e.prepareEnv(s.mux)
	e.env.Wildcard = true
	return e
}

// attempt is a connection that's being made.
type attempt struct {
	userData any
	result   chan error // Connect waits for it; nil for AsyncConnect
	seen     bool       // a callback was called: the loop's own
}

// Connect makes a connection and returns it once OnConnectionEstablished has returned, with
// a reference for the caller to release. If that fails it returns why, and
// OnOutgoingConnectionFailed isn't called. Names are resolved, and their addresses tried
// one after the other, within t.Timeout and ctx. userData is for OnPreOutgoingConnect.
//
// It blocks, so in a callback it's conn.ErrOnLoop. conn.ErrMode before Start, conn.ErrClosed
// from Shutdown on.
func (s *Server) Connect(ctx context.Context, t Target, userData any) (*conn.Stream, error) {
	if s.state() != serverNew && (s.mux.Group.OnLoop() || s.control.here()) {
		return nil, conn.ErrOnLoop
	}
	if err := s.mayConnect(&t); err != nil {
		return nil, err
	}
	a := &attempt{userData: userData, result: make(chan error, 1)}
	c, err := s.dial(ctx, t, a)
	if err != nil {
		return nil, fmt.Errorf("server: connect to %s: %w", t.Address, err)
	}
	stop := context.AfterFunc(ctx, func() { c.Abort(context.Cause(ctx)) })
	select {
	case err = <-a.result:
		if !stop() && err == nil {
			err = context.Cause(ctx) // it was established, and is being aborted
		}
	case <-ctx.Done(): // its loop may take its time
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Abort(err) // if it's still on its way
		c.Release()
		return nil, fmt.Errorf("server: connect to %s: %w", t.Address, err)
	}
	return (*conn.Stream)(c), nil
}

// AsyncConnect begins to make a connection: OnConnectionEstablished or
// OnOutgoingConnectionFailed follows. An error means that nothing was begun. It may be
// called in callbacks.
func (s *Server) AsyncConnect(t Target, userData any) error {
	if err := s.mayConnect(&t); err != nil {
		return err
	}
	s.places.take(&s.outgoing.places) // before Shutdown looks, or it's too late
	if s.state() != serverRunning {
		s.outgoing.leavePlace()
		return conn.ErrClosed
	}
	s.mux.Group.Spawn(func() {
		defer s.outgoing.leavePlace()
		// A name that isn't found is told of like an address that doesn't answer.
		if _, err := s.dial(s.dialing, t, &attempt{userData: userData}); err != nil {
			s.control.post(func() { s.config.Callback.OnError("connect to "+t.Address, err) })
		}
	})
	return nil
}

func (s *Server) mayConnect(t *Target) error {
	switch s.state() {
	case serverNew:
		return conn.ErrMode
	case serverRunning:
	case serverDraining, serverStopped:
		return conn.ErrClosed
	}
	if err := t.check(); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// dial resolves and begins to connect. What can't be resolved becomes a connection that
// fails, so that its end comes the same way as any other.
func (s *Server) dial(ctx context.Context, t Target, a *attempt) (*engine.Conn, error) {
	begun := time.Now()
	if t.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.Timeout)
		defer cancel()
	}
	s.places.take(&s.outgoing.places)
	addrs, failure := t.resolve(ctx, s.config.Resolver)
	if s.state() != serverRunning {
		addrs, failure = nil, conn.ErrClosed
	}
	d := &engine.Dial{
		Addrs: addrs, Options: t.Options, Origin: t.Name, Failure: failure, Owner: a, Hold: a.result != nil,
	}
	if t.TLS != nil {
		d.Sessions, d.ServerName = t.TLS, t.ServerName
	}
	if t.Timeout > 0 {
		d.Timeout = max(t.Timeout-time.Since(begun), time.Millisecond)
	}
	c, err := s.outgoing.env.Connect(d)
	if err != nil {
		s.outgoing.leavePlace()
	}
	return c, err
}

// dialed tells whoever waits in Connect, if anybody does.
func (s *Server) dialed(c *engine.Conn, err error) (waited bool) {
	a := attemptOf(c)
	if a == nil || a.result == nil {
		return false
	}
	a.result <- err
	return true
}

// attemptOf is what c was made for; nil for a connection that was accepted.
func attemptOf(c *engine.Conn) *attempt {
	a, _ := c.Owner().(*attempt)
	return a
}

// Connecting implements engine.Consumer.
func (e *endpoint) Connecting(c *engine.Conn, to engine.Addr) {
	a := attemptOf(c)
	a.seen = true
	e.cb.OnPreOutgoingConnect((*conn.UserData)(c), to, a.userData)
}

// ConnectFailed implements engine.Consumer.
func (e *endpoint) ConnectFailed(c *engine.Conn, at engine.Addr, err error) {
	var cause *conn.Error
	if errors.As(err, &cause) && cause.Err != nil {
		err = cause.Err
	}
	if e.s.dialed(c, err) {
		return
	}
	defer e.cb.OnOutgoingConnectionFailed((*conn.Stream)(c), at, err)
	if !attemptOf(c).seen {
		e.Connecting(c, engine.Addr{}) // nothing was tried, but whose failure is it?
	}
}
