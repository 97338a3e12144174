package conn

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sys"
)

// Provider makes sockets of one kind (the seeds' ISocketProvider). Sockets don't depend on
// it afterwards. Any goroutine may use it.
type Provider interface {
	NewSocket(SocketConfig) (Socket, error)
}

// SocketConfig sets up a Socket. Mux and User are required; everything else has a good zero
// value.
type SocketConfig struct {
	Mux    *Mux // the event loops, started or not (the seeds' IIoMux)
	User   User // … whom it calls back
	Logger *slog.Logger
	Mute   LogCategories // kinds of sockets that aren't logged (LOG_TCP, LOG_LDS)
	IPv6   bool          // addresses are IPv6, and those alone (IPV6_V6ONLY)
	Mode   fs.FileMode   // of a bound local socket's file; 0: everybody may connect (0666)

	Sessions  SessionFactory     // for providers of secure sockets
	Allocator *buffers.Allocator // nil: the Mux's
	Flow      Flow
	Timeouts  Timeouts
}

// TCP makes TCP sockets (the seeds' CreateTCPSocketProvider).
func TCP() Provider { return tcp{} }

// Local makes Unix-domain stream sockets, for processes of one machine (the seeds'
// CreateLocalSocketProvider). Their address is a path, or @name for an abstract one; ports
// mean nothing to them.
func Local() Provider { return local{} }

// kind is what distinguishes the sockets of the providers.
type kind interface {
	category() engine.Category
	// remote reads an address to connect to, local one to bind to.
	remote(address string, ipv6 bool) (Addr, error)
	local(address string, port uint16, ipv6 bool) (Addr, error)
}

type tcp struct{}

// NewSocket implements Provider.
func (k tcp) NewSocket(c SocketConfig) (Socket, error) { return newPlainSocket(k, c) }

// NewSecureSocket is for package secure, whose provider's NewSocket it is.
func (k tcp) NewSecureSocket(c SocketConfig) (Socket, error) { return newSocket(k, c) }

func (tcp) category() engine.Category { return engine.CategoryTCP }

func (tcp) remote(address string, ipv6 bool) (Addr, error) {
	at, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return Addr{}, fmt.Errorf("bad address %q: want ip:port or [ipv6]:port", address)
	case at.Port() == 0:
		return Addr{}, fmt.Errorf("bad address %q: want a port from 1 to 65535", address)
	}
	return Addr{AddrPort: at}, checkFamily(at.Addr(), ipv6)
}

func (tcp) local(address string, port uint16, ipv6 bool) (Addr, error) {
	ip := netip.IPv4Unspecified()
	if ipv6 {
		ip = netip.IPv6Unspecified()
	}
	if address != "" {
		var err error
		if ip, err = netip.ParseAddr(address); err != nil {
			return Addr{}, fmt.Errorf("bad address %q: want an IP address, or nothing for all interfaces", address)
		}
	}
	return Addr{AddrPort: netip.AddrPortFrom(ip, port)}, checkFamily(ip, ipv6)
}

func checkFamily(ip netip.Addr, ipv6 bool) error {
	switch {
	case ipv6 && (!ip.Is6() || ip.Is4In6()):
		return fmt.Errorf("%v isn't an IPv6 address, and SocketConfig.IPv6 is set", ip)
	case !ipv6 && !ip.Is4():
		return fmt.Errorf("%v isn't an IPv4 address, and SocketConfig.IPv6 isn't set", ip)
	}
	return nil
}

type local struct{}

// NewSocket implements Provider.
func (k local) NewSocket(c SocketConfig) (Socket, error) { return newPlainSocket(k, c) }

// NewSecureSocket is for package secure, whose provider's NewSocket it is.
func (k local) NewSecureSocket(c SocketConfig) (Socket, error) { return newSocket(k, c) }

func (local) category() engine.Category { return engine.CategoryUnix }

func (local) remote(address string, _ bool) (Addr, error) { return pathAddr(address) }

func (local) local(address string, _ uint16, _ bool) (Addr, error) { return pathAddr(address) }

func pathAddr(path string) (Addr, error) {
	switch {
	case path == "" || path == "@":
		return Addr{}, errors.New("no path: want the path of a file, or @name for an abstract name")
	case len(path) > sys.MaxPath:
		return Addr{}, fmt.Errorf("the path has %d bytes, and a socket's may have %d: choose a shorter one", len(path), sys.MaxPath)
	}
	return Addr{Path: path}, nil
}

// parts are an address as users are told it.
func parts(a Addr) (string, uint16) {
	if a.IsUnix() {
		return a.Path, 0
	}
	return a.AddrPort.Addr().String(), a.AddrPort.Port()
}

var (
	errNoMux    = errors.New("sluice: SocketConfig.Mux is nil: want a Mux, from NewMux")
	errNoUser   = errors.New("sluice: SocketConfig.User is nil: want a type that embeds conn.BaseUser and has SocketShutdown")
	errSessions = fmt.Errorf("%w: SocketConfig.Sessions is for providers of secure sockets", ErrMode)
)

func newPlainSocket(k kind, c SocketConfig) (Socket, error) {
	if c.Sessions != nil {
		return nil, errSessions
	}
	return newSocket(k, c)
}

func newSocket(k kind, c SocketConfig) (Socket, error) {
	switch {
	case c.Mux == nil:
		return nil, errNoMux
	case c.User == nil:
		return nil, errNoUser
	}
	mux := (*engine.Mux)(c.Mux)
	if c.Logger == nil {
		c.Logger = mux.Logger
	}
	if c.Allocator == nil {
		c.Allocator = mux.Allocator
	}
	id := mux.Group.NextID()
	loops := mux.Group.Reactors()
	s := &socket{
		kind: k, id: id, ipv6: c.IPv6, mode: c.Mode, r: loops[id%uint64(len(loops))],
		env: mux.ShareEnv(engine.EnvKey{
			Consumer: view{}, Memory: view{}, Allocator: c.Allocator, Logger: c.Logger, Category: k.category(), Sessions: c.Sessions,
			Flow: c.Flow, Timeouts: c.Timeouts, Muted: c.Mute,
		}),
	}
	if s.mode == 0 {
		s.mode = 0o666
	}
	s.refs.Store(1)
	s.user.Store(&c.User)
	return s, nil
}
