package sys

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// MaxPath is how many bytes the path of a Unix-domain socket may have: what fits into its
// address beside a terminating zero.
const MaxPath = len(unix.RawSockaddrUnix{}.Path) - 1

// Addr is the address of a socket: an IP address and port, or the path of a
// Unix-domain socket ("@name" for an abstract one, "" for an unnamed one). It is a
// value, it compares with ==, and it implements net.Addr.
type Addr struct {
	AddrPort netip.AddrPort
	Path     string
}

// IsUnix reports whether a is a Unix-domain address (an unnamed one included).
func (a Addr) IsUnix() bool { return !a.AddrPort.IsValid() }

// Network is "tcp" or "unix".
func (a Addr) Network() string {
	if a.IsUnix() {
		return "unix"
	}
	return "tcp"
}

// String is "ip:port", "[ip]:port", a path, "@name" or, unnamed, "@".
func (a Addr) String() string {
	switch {
	case a.AddrPort.IsValid():
		return a.AddrPort.String()
	case a.Path == "":
		return "@"
	default:
		return a.Path
	}
}

// sockaddr converts for the calls of package unix.
func (a Addr) sockaddr() unix.Sockaddr {
	if a.IsUnix() {
		return &unix.SockaddrUnix{Name: a.Path}
	}
	ip, port := a.AddrPort.Addr(), int(a.AddrPort.Port())
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: ip.As16(), ZoneId: zoneIndex(ip.Zone())}
}

// addrOf is the inverse of sockaddr, for the systems on which package unix makes the
// calls. IPv4 in an IPv6 mapping is unmapped: a peer
// has one address, whichever listener it came through.
func addrOf(sa unix.Sockaddr) Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))}
	case *unix.SockaddrInet6:
		return Addr{AddrPort: netip.AddrPortFrom(ip6(sa.Addr, sa.ZoneId), uint16(sa.Port))}
	case *unix.SockaddrUnix:
		return Addr{Path: sa.Name}
	default:
		return Addr{}
	}
}

// ip6 makes an address of the kernel's form. IPv4 in an IPv6 mapping is unmapped: a peer
// has one address, whichever listener it came through.
func ip6(b [16]byte, zone uint32) netip.Addr {
	ip := netip.AddrFrom16(b).Unmap()
	if zone != 0 && ip.Is6() {
		ip = ip.WithZone(zoneName(zone))
	}
	return ip
}
