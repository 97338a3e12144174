package testenv

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program. Without it the test ends, as by Missing.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name)
	}
	return path
}

// Missing ends a test for want of something: it's skipped, or, with SLUICE_CI=1 in the
// environment, has failed.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("SLUICE_CI") == "1" {
		t.Fatalf("%s is missing, and SLUICE_CI=1 is set", what)
	}
	t.Skipf("%s is missing", what)
}

// LinkLocal returns the IPv6 address that an interface has on its link, with the
// interface in it. If there's none the test ends, as by Missing.
func LinkLocal(t testing.TB) netip.Addr {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range all {
		addrs, err := ifi.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return p.Addr().WithZone(ifi.Name)
			}
		}
	}
	Missing(t, "an interface with a link-local address")
	return netip.Addr{}
}

// SocketDir returns a new folder for Unix-domain sockets, which goes with the test. The
// path of a socket may have about 100 bytes, and in t.TempDir's is the test's own name.
func SocketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // t.TempDir's path is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
