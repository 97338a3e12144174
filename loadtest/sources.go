package loadtest

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"strings"
)

// Sources are local addresses that connections take in turn. Each has ports of its own to
// the same target, about 28,000 on Linux.
type Sources []netip.Prefix

const sourcesWant = "want addresses of this machine such as 127.0.0.1, 127.0.0.0/8 or several with commas"

// ParseSources reads addresses and networks with commas between.
func ParseSources(text string) (Sources, error) {
	var all Sources
	for one := range strings.SplitSeq(text, ",") {
		one = strings.TrimSpace(one)
		p, err := netip.ParsePrefix(one)
		if err != nil {
			a, err := netip.ParseAddr(one)
			if err != nil {
				return nil, fmt.Errorf("%q: %s", one, sourcesWant)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// spread is how many addresses of a network are used at most: enough for 28 million
// connections, and a prime, so that a walk over several networks doesn't fall into step.
const spread = 1021

// address is the nth connection's, or nil if it's left to the system.
func (s Sources) address(n int) *net.TCPAddr {
	if len(s) == 0 {
		return nil
	}
	p := s[n%len(s)]
	addr := p.Addr()
	hosts := p.Addr().BitLen() - p.Bits()
	if hosts == 0 {
		return &net.TCPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	}
	// From 1 on: the network's own address isn't a host's.
	count := min(spread, 1<<min(hosts, bits.UintSize-2)-2)
	offset := uint64(1 + n/len(s)%max(count, 1))
	raw := addr.AsSlice()
	if len(raw) == 4 {
		binary.BigEndian.PutUint32(raw, binary.BigEndian.Uint32(raw)+uint32(offset))
	} else {
		binary.BigEndian.PutUint64(raw[8:], binary.BigEndian.Uint64(raw[8:])+offset)
	}
	return &net.TCPAddr{IP: raw, Zone: addr.Zone()}
}
