package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/sys"
)

func checkHostPort(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("bad address %q: want host:port, [ipv6]:port or :port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("bad port %q: want a number from 0 (the system chooses) to 65535", port)
	}
	return nil
}

// maxPath is what fits into a socket address beside its terminating zero.
const maxPath = 107

func checkPath(path string) error {
	switch {
	case path == "" || path == "@":
		return errors.New("no path: want unix:///absolute/path, or unix://@name for an abstract name")
	case len(path) > maxPath:
		return fmt.Errorf("the path has %d bytes, and a socket's may have %d: choose a shorter one", len(path), maxPath)
	}
	return nil
}

// spec resolves the address and says which socket to make. A host name stands for its
// first IPv4 address, or else its first; no host stands for all interfaces, in both
// families for "tcp".
func (l Listener) spec() (sys.ListenSpec, error) {
	spec := sys.ListenSpec{
		Backlog: l.Backlog, ReusePort: l.ReusePort, Mode: uint32(l.Mode.Perm()), Options: l.Options,
	}
	if l.Network == "unix" {
		spec.Addr = conn.Addr{Path: l.Address}
		return spec, nil
	}
	host, portText, err := net.SplitHostPort(l.Address)
	if err != nil {
		return spec, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return spec, err
	}
	ip, err := l.resolve(host)
	if err != nil {
		return spec, err
	}
	spec.DualStack = l.Network == "tcp" && ip.Is6() && ip.IsUnspecified()
	spec.Addr = conn.Addr{AddrPort: netip.AddrPortFrom(ip, uint16(port))}
	return spec, nil
}

func (l Listener) resolve(host string) (netip.Addr, error) {
	if host == "" {
		if l.Network == "tcp4" {
			return netip.IPv4Unspecified(), nil
		}
		return netip.IPv6Unspecified(), nil
	}
	family := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[l.Network]
	ips, err := net.DefaultResolver.LookupNetIP(context.Background(), family, host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: check the host, or use an IP address", err)
	}
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			return ip, nil
		}
	}
	return ips[0], nil
}
