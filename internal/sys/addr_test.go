package sys_test

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/internal/testenv"
)

var _ net.Addr = sys.Addr{}

func tcp(s string) sys.Addr { return sys.Addr{AddrPort: netip.MustParseAddrPort(s)} }

func TestAddrFormats(t *testing.T) {
	tests := []struct {
		addr    sys.Addr
		network string
		text    string
	}{
		{tcp("127.0.0.1:80"), "tcp", "127.0.0.1:80"},
		{tcp("[::1]:0"), "tcp", "[::1]:0"},
		{tcp("[fe80::1%eth0]:7"), "tcp", "[fe80::1%eth0]:7"},
		{sys.Addr{Path: "/run/x.sock"}, "unix", "/run/x.sock"},
		{sys.Addr{Path: "@name"}, "unix", "@name"},
		{sys.Addr{}, "unix", "@"},
	}
	for _, tt := range tests {
		if got := tt.addr.Network(); got != tt.network {
			t.Errorf("%v: network %q, want %q", tt.addr, got, tt.network)
		}
		if got := tt.addr.String(); got != tt.text {
			t.Errorf("%#v: %q, want %q", tt.addr, got, tt.text)
		}
		if got := tt.addr.IsUnix(); got != (tt.network == "unix") {
			t.Errorf("%v: IsUnix is %t", tt.addr, got)
		}
	}
}

// dial connects a blocking socket, bound to from before if that's a path.
func dial(t testing.TB, c *closer, to sys.Addr, from string) int {
	t.Helper()
	var sa unix.Sockaddr
	family := unix.AF_INET6
	switch ip := to.AddrPort.Addr(); {
	case to.IsUnix():
		family, sa = unix.AF_UNIX, &unix.SockaddrUnix{Name: to.Path}
	case ip.Is4():
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.AddrPort.Port()), Addr: ip.As4()}
	default:
		sa6 := &unix.SockaddrInet6{Port: int(to.AddrPort.Port()), Addr: ip.As16()}
		if zone := ip.Zone(); zone != "" {
			ifi, err := net.InterfaceByName(zone)
			must(t, err)
			sa6.ZoneId = uint32(ifi.Index)
		}
		sa = sa6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	must(t, err)
	c.add(fd)
	if from != "" {
		must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: from}))
	}
	must(t, unix.Connect(fd, sa))
	return fd
}

// listen makes a listening socket that's closed at the end of the test.
func listen(t testing.TB, c *closer, spec sys.ListenSpec) (int, sys.Addr) {
	t.Helper()
	fd, at, err := sys.ListenOn(kernel, spec)
	must(t, err)
	return c.add(fd), at
}

// accept waits for a connection and takes it.
func accept(t testing.TB, c *closer, l int) (int, sys.Addr) {
	t.Helper()
	wait(t, l, unix.POLLIN)
	fd, peer, errno := kernel.Accept(l)
	wantErrno(t, "accept", errno, 0)
	return c.add(fd), peer
}

func wantAddr(t testing.TB, what string, got sys.Addr, errno sys.Errno, want sys.Addr) {
	t.Helper()
	wantErrno(t, what, errno, 0)
	if got != want {
		t.Errorf("%s: %v with path %q, want %v with path %q", what, got, got.Path, want, want.Path)
	}
}

// connectedAddrs checks what the three calls that tell addresses say about one
// connection: Accept, LocalAddr and RemoteAddr.
func connectedAddrs(t *testing.T, c *closer, l, client int, peer sys.Addr) (server int) {
	t.Helper()
	server, got := accept(t, c, l)
	wantAddr(t, "accept", got, 0, peer)
	got, errno := kernel.RemoteAddr(server)
	wantAddr(t, "the server's remote address", got, errno, peer)
	got, errno = kernel.LocalAddr(client)
	wantAddr(t, "the client's local address", got, errno, peer)
	return server
}

func TestAddressesOfTCP(t *testing.T) {
	tests := []struct {
		name  string
		spec  sys.ListenSpec
		dial  string // the host to connect to
		canon string // the host that both ends are seen as
	}{
		{"IPv4", sys.ListenSpec{Addr: tcp("127.0.0.1:0")}, "127.0.0.1", "127.0.0.1"},
		{"IPv4 wildcard", sys.ListenSpec{Addr: tcp("0.0.0.0:0")}, "127.0.0.1", "127.0.0.1"},
		{"IPv6", sys.ListenSpec{Addr: tcp("[::1]:0")}, "::1", "::1"},
		{"IPv6 wildcard", sys.ListenSpec{Addr: tcp("[::]:0")}, "::1", "::1"},
		{"both, by IPv6", sys.ListenSpec{Addr: tcp("[::]:0"), DualStack: true}, "::1", "::1"},
		// faults, Addresses: `::ffff:127.0.0.1`, limits canonicalise.
		{"both, by IPv4", sys.ListenSpec{Addr: tcp("[::]:0"), DualStack: true}, "127.0.0.1", "127.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloser(t)
			l, at := listen(t, c, tt.spec)
			if at.AddrPort.Port() == 0 || at.AddrPort.Addr() != tt.spec.Addr.AddrPort.Addr() {
				t.Fatalf("listening on %v, asked for %v", at, tt.spec.Addr)
			}
			to := sys.Addr{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(tt.dial), at.AddrPort.Port())}
			client := dial(t, c, to, "")
			self, errno := kernel.LocalAddr(client)
			wantErrno(t, "getsockname", errno, 0)
			if self.AddrPort.Addr() != netip.MustParseAddr(tt.canon) {
				t.Errorf("the client is %v", self)
			}
			server := connectedAddrs(t, c, l, client, self)
			want := sys.Addr{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(tt.canon), at.AddrPort.Port())}
			got, errno := kernel.LocalAddr(server)
			wantAddr(t, "the server's local address", got, errno, want)
			got, errno = kernel.RemoteAddr(client)
			wantAddr(t, "the client's remote address", got, errno, want)
		})
	}
}

// A link-local address has its interface in it.
func TestZoneOfAConnection(t *testing.T) {
	host := testenv.LinkLocal(t)
	c := newCloser(t)
	l, at := listen(t, c, sys.ListenSpec{Addr: sys.Addr{AddrPort: netip.AddrPortFrom(host, 0)}})
	if at.AddrPort.Addr() != host {
		t.Errorf("listening on %v, asked for %v", at, host)
	}
	client := dial(t, c, at, "")
	self, errno := kernel.LocalAddr(client)
	wantErrno(t, "getsockname", errno, 0)
	if self.AddrPort.Addr() != host {
		t.Errorf("the client is %v, want %v", self, host)
	}
	connectedAddrs(t, c, l, client, self)
}

// addr.go: a path, or "" for an unnamed socket; the same from each call.
func TestAddressesOfUnixFiles(t *testing.T) {
	dir := testenv.SocketDir(t)
	longest := filepath.Join(dir, strings.Repeat("n", maxPath-len(dir)-2))
	tests := []struct {
		name string
		path string
		from string // the client's; "": unnamed
	}{
		{"unnamed client", filepath.Join(dir, "a"), ""},
		{"named client", filepath.Join(dir, "b"), filepath.Join(dir, "b-client")},
		{"the longest path", longest, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloser(t)
			l, at := listen(t, c, sys.ListenSpec{Addr: sys.Addr{Path: tt.path}})
			wantAddr(t, "listen", at, 0, sys.Addr{Path: tt.path})
			client := dial(t, c, at, tt.from)
			server := connectedAddrs(t, c, l, client, sys.Addr{Path: tt.from})
			got, errno := kernel.LocalAddr(server)
			wantAddr(t, "the server's local address", got, errno, sys.Addr{Path: tt.path})
			got, errno = kernel.RemoteAddr(client)
			wantAddr(t, "the client's remote address", got, errno, sys.Addr{Path: tt.path})
		})
	}
}

func TestAddressesOfASocketPair(t *testing.T) {
	a, _, _ := unixPair(t)
	got, errno := kernel.LocalAddr(a)
	wantAddr(t, "local", got, errno, sys.Addr{})
	got, errno = kernel.RemoteAddr(a)
	wantAddr(t, "remote", got, errno, sys.Addr{})
}

func TestRemoteAddrOfAListener(t *testing.T) {
	l, _ := listen(t, newCloser(t), sys.ListenSpec{Addr: tcp("127.0.0.1:0")})
	_, errno := kernel.RemoteAddr(l)
	wantErrno(t, "getpeername", errno, unix.ENOTCONN)
}

func TestPathThatIsTooLong(t *testing.T) {
	_, _, err := sys.ListenOn(kernel, sys.ListenSpec{Addr: sys.Addr{Path: strings.Repeat("n", maxPath+1)}})
	if !errors.Is(err, unix.EINVAL) {
		t.Errorf("listen: %v, want EINVAL", err)
	}
}

// maxPath is the size of a Unix-domain socket's address.
const maxPath = len(unix.RawSockaddrUnix{}.Path)
