package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/sys"
)

// parseHostPort reads host:port. The host may be a name or nothing, the port is a number
// without a sign or leading zeros.
func parseHostPort(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("bad address %q: want host:port, [ipv6]:port or :port", address)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return "", 0, fmt.Errorf("bad port %q: want a number from 0 (the system chooses) to 65535", text)
	}
	return host, uint16(n), nil
}

// Resolver looks up the addresses of hosts; *net.Resolver is one. network is "ip", "ip4" or
// "ip6". It's called on goroutines that may block, several at the same time. What it returns
// is only read.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// lookUp finds a host's addresses in the family of a network: at least one. One that comes as
// IPv4 in an IPv6 mapping is IPv4; the zone of a link-local one (fe80::1%eth0), which net's
// resolver drops, is kept.
func lookUp(ctx context.Context, r Resolver, network, host string) ([]netip.Addr, error) {
	literal, err := netip.ParseAddr(host)
	if err == nil {
		r = net.DefaultResolver // which asks nobody then
	}
	found, err := r.LookupNetIP(ctx, "ip"+network[len("tcp"):], host)
	if err != nil {
		return nil, fmt.Errorf("%w: check the host, or use an IP address", err)
	}
	ips := make([]netip.Addr, 0, len(found)) // theirs may be anybody's
	for _, ip := range found {
		if ip = ip.Unmap(); literal.Zone() != "" {
			ip = ip.WithZone(literal.Zone())
		}
		if ip.IsValid() {
			ips = append(ips, ip)
		}
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("no address is known for %q: check the host, or use an IP address", host)
	}
	return ips, nil
}

func checkPath(path string) error {
	switch {
	case path == "" || path == "@":
		return errors.New("no path: want unix:///absolute/path, or unix://@name for an abstract name")
	case len(path) > sys.MaxPath:
		return fmt.Errorf("the path has %d bytes, and a socket's may have %d: choose a shorter one", len(path), sys.MaxPath)
	}
	return nil
}

// spec resolves the address and says which socket to make. A host name stands for its
// first IPv4 address, or else its first; no host stands for all interfaces, in both
// families for "tcp".
func (l Listener) spec(r Resolver) (sys.ListenSpec, error) {
	spec := sys.ListenSpec{
		Backlog: l.Backlog, ReusePort: l.ReusePort, Mode: uint32(l.Mode.Perm()), Options: l.Options,
	}
	if l.Network == "unix" {
		spec.Addr = conn.Addr{Path: l.Address}
		return spec, nil
	}
	host, port, err := parseHostPort(l.Address)
	if err != nil {
		return spec, err
	}
	ip, err := l.resolve(r, host)
	if err != nil {
		return spec, err
	}
	spec.DualStack = below(l.Network) == "tcp" && ip.Is6() && ip.IsUnspecified()
	spec.Addr = conn.Addr{AddrPort: netip.AddrPortFrom(ip, port)}
	return spec, nil
}

func (l Listener) resolve(r Resolver, host string) (netip.Addr, error) {
	if host == "" {
		if l.Network == "tcp4" {
			return netip.IPv4Unspecified(), nil
		}
		return netip.IPv6Unspecified(), nil
	}
	ips, err := lookUp(context.Background(), r, l.Network, host)
	if err != nil {
		return netip.Addr{}, err
	}
	return ips[max(slices.IndexFunc(ips, netip.Addr.Is4), 0)], nil // −1: none is IPv4
}
