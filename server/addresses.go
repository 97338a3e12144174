package server

import (
	"net/netip"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/lock"
)

// addresses counts a listener's open connections by who has made them. It has no entry
// for whoever has none, so it's never larger than they are many.
type addresses struct {
	limit int // for each; 0: none

	mu   lock.Mutex
	open map[netip.Prefix]int
}

// enter counts one more from an address, unless that has as many as it may.
func (a *addresses) enter(peer conn.Addr) bool {
	if a.limit == 0 {
		return true
	}
	key := whose(peer)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[key] >= a.limit {
		return false
	}
	if a.open == nil {
		a.open = map[netip.Prefix]int{}
	}
	a.open[key]++
	return true
}

// leave counts one less.
func (a *addresses) leave(peer conn.Addr) {
	if a.limit == 0 {
		return
	}
	key := whose(peer)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[key]--; a.open[key] == 0 {
		delete(a.open, key)
	}
}

// sitePrefix is the smallest network that's given to a site of IPv6, in bits: whoever has
// one of its addresses has them all.
const sitePrefix = 64

// whose is what's counted as one address. Those of a link's neighbours are all in one
// network, so they count by themselves.
func whose(peer conn.Addr) netip.Prefix {
	ip := peer.AddrPort.Addr().Unmap()
	bits := ip.BitLen()
	if ip.Is6() && !ip.IsLinkLocalUnicast() {
		bits = sitePrefix
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
