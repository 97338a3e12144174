package conn

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/socketfile"
)

// Socket is an asynchronous socket (the seeds' ISocket). Connect makes a client of it, Bind
// a server, for good; a call that doesn't fit is ErrMode and changes nothing. A call that
// returns nil is answered by its [User], later; whatever fails then ends the socket, and
// SocketShutdown tells why. After that, and after Shutdown, calls return ErrClosed.
//
// Any goroutine may call it, in callbacks, too; nothing blocks. A completion never comes on
// the caller's stack.
type Socket interface {
	// Connect connects to ip:port or [ipv6]:port, or, a local socket, to a path.
	// serverName is the name that a secure socket asks for. SocketConnectComplete follows.
	Connect(address, serverName string) error
	// Bind binds to an IP address ("": all interfaces) and port (0: the system chooses),
	// or to a path. SocketBindResult follows.
	Bind(localAddr string, localPort uint16) error
	// Listen follows Bind, once. SocketListenResult follows for each connection.
	Listen() error
	// Accept takes the connection that SocketListenResult tells of, inside of that, for a
	// user, whose SocketAcceptComplete follows; nil denies it.
	Accept(User) error
	// Send sends a copy of p; before the socket is connected it's cached. SocketSendResult
	// follows. ErrOutputFull: Flow.MaxPending bytes are cached, and p isn't.
	Send(p []byte) error
	// SendTo is for datagrams.
	SendTo(p []byte, to netip.AddrPort) error
	// Recv fills p, wholly, or, partial, with at least one byte. p is the socket's until
	// SocketRecvResult or SocketRecvCanceled. Several are served in their order.
	Recv(p []byte, partial bool) error
	// RecvCancel takes back all that's asked for. SocketRecvCanceled follows for each. What
	// one had got so far is for the next Recv: no byte is lost.
	RecvCancel() error
	// SetUser has another user called from the next callback on.
	SetUser(User) error
	// Shutdown ends the socket: a connection sends first what's cached, for which it has
	// Timeouts.Write, connected or not. SocketShutdown follows. For one that's ending or has ended it changes nothing.
	Shutdown() error
	// Err is what ended the socket, from SocketShutdown on; nil for a clean end.
	Err() error
	// ID is unique among the sockets of a Mux.
	ID() uint64
	// AddRef takes a reference, and Release gives one back (in the seeds, delete). With
	// the last one the socket ends as by Shutdown; a connection goes on until it's connected,
	// what it has cached is sent, and its Recvs are answered or, by RecvCancel, taken back.
	AddRef()
	Release()
}

// socket is a Socket: before it's a connection, which the engine has, or a listener.
type socket struct {
	// Immutable.
	kind kind
	id   uint64
	ipv6 bool
	mode fs.FileMode
	env  *engine.Env
	r    *reactor.Reactor // of its callbacks, unless it's a connection

	// Atomic.
	refs atomic.Int32
	user atomic.Pointer[User]
	c    atomic.Pointer[engine.Conn] // set once, in role client

	// Guarded by mu.
	mu        lock.Mutex
	role      role
	connected bool
	ending    bool // a client's Shutdown was called
	over      bool // SocketShutdown was called, or is about to be
	fd        int  // role bound
	file      *socketfile.File
	acceptor  *engine.Acceptor // role listening
	reason    ShutdownReason   // but for clients
	err       error

	// The loop's own, of a listener.
	offer  *offer        // what SocketListenResult is about
	warned time.Duration // when a failed accept was last logged; 0: never
}

// role is what a socket has become.
type role uint8

const (
	roleNone      role = iota
	roleClient         // by Connect, or accepted
	roleBound          // by Bind
	roleListening      // by Listen
	roleClosed         // ended, and it wasn't a client, or was upgraded
)

func (r role) String() string {
	switch r {
	case roleNone:
		return "new"
	case roleClient:
		return "client"
	case roleBound:
		return "bound"
	case roleListening:
		return "listening"
	case roleClosed:
		return "closed"
	default:
		return fmt.Sprintf("role(%d)", uint8(r))
	}
}

// becomeLocked moves to another role; an illegal move is a bug of ours.
func (s *socket) becomeLocked(r role) {
	legal := false
	switch r {
	case roleClient, roleBound:
		legal = s.role == roleNone
	case roleListening:
		legal = s.role == roleBound
	case roleClosed:
		legal = s.role != roleClosed
	case roleNone:
	}
	if !legal {
		panic(fmt.Sprintf("sluice: socket %d: illegal move from %v to %v", s.id, s.role, r))
	}
	s.role = r
}

// Connect implements Socket.
func (s *socket) Connect(address, serverName string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.wantLocked(roleNone); err != nil {
		return err
	}
	d := &engine.Dial{ServerName: serverName, Owner: s, Hold: true, ID: s.id}
	at, err := s.kind.remote(address, s.ipv6)
	if err != nil {
		d.Failure = err
	} else {
		d.Addrs = []Addr{at}
	}
	c, err := s.env.Connect(d)
	if err != nil {
		return err
	}
	s.becomeLocked(roleClient)
	s.c.Store(c)
	return nil
}

// wantLocked refuses a call that's for another role.
func (s *socket) wantLocked(r role) error {
	switch s.role {
	case r:
		return nil
	case roleClosed:
		return ErrClosed
	case roleNone, roleClient, roleBound, roleListening:
	}
	return ErrMode
}

// clientLocked returns the connection, if it's one that Shutdown wasn't called for.
func (s *socket) clientLocked() (*engine.Conn, error) {
	if err := s.wantLocked(roleClient); err != nil {
		return nil, err
	}
	if s.ending {
		return nil, ErrClosed
	}
	return s.c.Load(), nil
}

// Send implements Socket. It keeps the lock, so that Shutdown, which looks whether anything
// is cached, comes before or after it.
func (s *socket) Send(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.clientLocked()
	if err != nil {
		return err
	}
	return c.Send(p)
}

// SendTo implements Socket.
func (s *socket) SendTo([]byte, netip.AddrPort) error { return ErrMode }

// Recv implements Socket.
func (s *socket) Recv(p []byte, partial bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.clientLocked()
	switch {
	case err != nil:
		return err
	case p == nil:
		return ErrMode
	}
	return c.Recv(p, partial)
}

// RecvCancel implements Socket.
func (s *socket) RecvCancel() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.clientLocked()
	if err != nil {
		return err
	}
	return c.RecvCancel()
}

// SetUser implements Socket.
func (s *socket) SetUser(u User) error {
	if u == nil {
		return ErrMode
	}
	s.user.Store(&u)
	return nil
}

// Shutdown implements Socket.
func (s *socket) Shutdown() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shutdownLocked()
}

func (s *socket) shutdownLocked() error {
	switch s.role {
	case roleNone, roleBound:
		return s.endLocked(ShutdownNormal, nil)
	case roleListening:
		s.becomeLocked(roleClosed)
		s.acceptor.Close()
	case roleClient:
		s.ending = true
		c := s.c.Load()
		if !s.connected && c.Pending() > 0 {
			c.LimitConnect()
			return nil // it's sent once there's somebody to send it to
		}
		_ = c.Shutdown() // which it tells if it has ended already
	case roleClosed:
	}
	return nil
}

// Err implements Socket.
func (s *socket) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.c.Load(); c != nil && s.over {
		r, err := c.Cause()
		if err == nil && r.Shutdown() == ShutdownLost { // a time-out that ended it cleanly
			err = &Error{Op: r.String(), ID: s.id, Addr: c.RemoteAddr(), Err: os.ErrDeadlineExceeded}
		}
		return err
	}
	return s.err
}

// ID implements Socket.
func (s *socket) ID() uint64 { return s.id }

// AddRef implements Socket.
func (s *socket) AddRef() {
	if s.refs.Add(1) == 1 {
		s.misuse("AddRef of a socket that nobody holds")
	}
}

// Release implements Socket.
func (s *socket) Release() {
	switch n := s.refs.Add(-1); {
	case n > 0:
	case n < 0:
		s.refs.Add(1)
		s.misuse("Release without a reference")
	default:
		s.releaseLast()
	}
}

func (s *socket) releaseLast() {
	s.mu.Lock()
	c := s.c.Load()
	if c == nil {
		_ = s.shutdownLocked()
	}
	s.mu.Unlock()
	if c != nil {
		c.Release()
	}
}

// misuse is logged: the program goes on as well as it can.
func (s *socket) misuse(what string) { s.log(slog.LevelError, what) }

func (s *socket) log(level slog.Level, what string, args ...any) {
	if s.env.Muted&(1<<s.kind.category()) != 0 {
		return
	}
	args = append(args, "category", s.kind.category().String(), "id", s.id)
	s.env.Logger.Log(context.Background(), level, what, args...)
}

func (s *socket) String() string { return fmt.Sprintf("socket %d", s.id) }

// acceptsProtocol asks the user about the protocol that was negotiated, if one was; without
// him the connection ends.
func (s *socket) acceptsProtocol(c *engine.Conn) bool {
	n, is := c.Session().(interface{ SelectedProtocol() string })
	if !is || n.SelectedProtocol() == "" || s.called().SocketAcceptSelectedALPNProtocol(s, n.SelectedProtocol()) {
		return true
	}
	_ = c.Shutdown()
	return false
}

// UpgradeTo is for package secure, whose Upgrade it is: the socket becomes another one, with a
// session, a user of its own, and the reference that this one's caller had.
func (s *socket) UpgradeTo(c SocketConfig, u engine.Upgrade) (Socket, error) {
	if c.User == nil {
		return nil, errNoUser
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	connection, err := s.clientLocked()
	if err != nil {
		return nil, err
	}
	n := &socket{kind: s.kind, id: s.id, ipv6: s.ipv6, env: s.env, r: s.r, role: roleClient, connected: true}
	n.refs.Store(1)
	n.user.Store(&c.User)
	n.c.Store(connection)
	u.Owner = n
	if err := connection.Upgrade(u); err != nil {
		return nil, err
	}
	s.becomeLocked(roleClosed)
	s.c.Store(nil) // the reference is the other's
	return n, nil
}

// called is whom to call back.
func (s *socket) called() User { return *s.user.Load() }
