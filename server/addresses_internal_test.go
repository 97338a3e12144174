package server

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/conn"
)

func from(ip string) conn.Addr {
	return conn.Addr{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(ip), 4711)}
}

// contract.md, Connection limits: who counts as one peer.
func TestWhose(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"2001:db8::1", "192.0.2.1", false},
		{"::1", "127.0.0.1", false},
		{"fe80::1", "fe80::2", false},
		{"fe80::1%eth0", "fe80::1%eth0", true},
	} {
		if same := whose(from(tt.a)) == whose(from(tt.b)); same != tt.same {
			t.Errorf("%s and %s are one peer: %t, want %t", tt.a, tt.b, same, tt.same)
		}
	}
}

// contract.md, Connection limits: the count has an entry for nobody but those who have a
// connection, and is exact.
func TestAddressesForgetWhoHasGone(t *testing.T) {
	const limit, peers = 3, 20
	a := addresses{limit: limit}
	open := map[conn.Addr]int{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		peer := conn.Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(peers))}), 1)}
		switch {
		case random.IntN(2) == 0:
			if ok := a.enter(peer); ok != (open[peer] < limit) {
				t.Fatalf("one more at %d of %d: %t", open[peer], limit, ok)
			} else if ok {
				open[peer]++
			}
		case open[peer] > 0:
			a.leave(peer)
			if open[peer]--; open[peer] == 0 {
				delete(open, peer)
			}
		}
		if len(a.open) != len(open) {
			t.Fatalf("%d entries for %d peers", len(a.open), len(open))
		}
	}
}
