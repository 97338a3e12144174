package sys

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// addr.go: an IPv6 scope is shown by its interface's name, or by its number if there
// is no such interface.
func TestZones(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		testenv.Missing(t, "a network interface")
	}
	first := all[0]
	local := netip.MustParseAddr("fe80::1")
	tests := []struct {
		name string
		sa   *unix.SockaddrInet6
		want netip.AddrPort
	}{
		{"none", &unix.SockaddrInet6{Addr: local.As16(), Port: 80}, netip.AddrPortFrom(local, 80)},
		{"by name", &unix.SockaddrInet6{Addr: local.As16(), Port: 80, ZoneId: uint32(first.Index)},
			netip.AddrPortFrom(local.WithZone(first.Name), 80)},
		{"by number", &unix.SockaddrInet6{Addr: local.As16(), Port: 80, ZoneId: 987654},
			netip.AddrPortFrom(local.WithZone("987654"), 80)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := addrOf(tt.sa)
			if a != (Addr{AddrPort: tt.want}) {
				t.Fatalf("%v, want %v", a, tt.want)
			}
			back, ok := a.sockaddr().(*unix.SockaddrInet6)
			if !ok || back.Addr != tt.sa.Addr || back.Port != tt.sa.Port || back.ZoneId != tt.sa.ZoneId {
				t.Errorf("and back: %+v, want %+v", back, tt.sa)
			}
		})
	}
}

// addr.go: IPv4 in an IPv6 mapping is unmapped, whatever scope comes with it.
func TestMappedAddressesAreCanonical(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:192.0.2.7").As16()
	for _, zone := range []uint32{0, 1} {
		a := addrOf(&unix.SockaddrInet6{Addr: mapped, Port: 9, ZoneId: zone})
		if want := (Addr{AddrPort: netip.MustParseAddrPort("192.0.2.7:9")}); a != want {
			t.Errorf("scope %d: %v, want %v", zone, a, want)
		}
	}
}

func TestAddrOfSomethingElse(t *testing.T) {
	if a := addrOf(nil); a != (Addr{}) {
		t.Errorf("%v", a)
	}
}
