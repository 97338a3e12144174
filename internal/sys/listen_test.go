package sys_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/internal/testenv"
)

// DESIGN, peers: IPV6_V6ONLY is set unless both families were asked for.
func TestV6Only(t *testing.T) {
	for _, dual := range []bool{false, true} {
		c := newCloser(t)
		l, at := listen(t, c, sys.ListenSpec{Addr: tcp("[::]:0"), DualStack: dual})
		got, err := unix.GetsockoptInt(l, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		must(t, err)
		if (got != 0) == dual {
			t.Errorf("DualStack %t: V6ONLY is %d", dual, got)
		}
		// With V6ONLY the port is free for IPv4, unless it's taken by chance;
		// without, it's always taken.
		free := false
		for range 20 {
			v4 := sys.Addr{AddrPort: netip.AddrPortFrom(netip.IPv4Unspecified(), at.AddrPort.Port())}
			fd, _, err := sys.ListenOn(kernel, sys.ListenSpec{Addr: v4})
			if err == nil {
				c.add(fd)
				free = true
				break
			}
			if !errors.Is(err, unix.EADDRINUSE) {
				t.Fatal(err)
			}
			_, at = listen(t, c, sys.ListenSpec{Addr: tcp("[::]:0"), DualStack: dual})
		}
		if free == dual {
			t.Errorf("DualStack %t: the same port is free for IPv4: %t", dual, free)
		}
	}
}

func TestReusePort(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		c := newCloser(t)
		_, at := listen(t, c, sys.ListenSpec{Addr: tcp("127.0.0.1:0"), ReusePort: reuse})
		fd, again, err := sys.ListenOn(kernel, sys.ListenSpec{Addr: at, ReusePort: reuse})
		switch {
		case err == nil:
			c.add(fd)
			if !reuse || again != at {
				t.Errorf("a second listener on %v: %v, reuse %t", at, again, reuse)
			}
		case reuse || !errors.Is(err, unix.EADDRINUSE):
			t.Errorf("reuse %t: %v", reuse, err)
		}
	}
}

// faults, Unix: mode.
func TestModeOfTheSocketFile(t *testing.T) {
	dir := testenv.SocketDir(t)
	for _, mode := range []uint32{0o600, 0o660, 0o666, 0o777} {
		path := filepath.Join(dir, os.FileMode(mode).String())
		listen(t, newCloser(t), sys.ListenSpec{Addr: sys.Addr{Path: path}, Mode: mode})
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != os.FileMode(mode) {
			t.Errorf("mode %v, want %v", got, os.FileMode(mode))
		}
		if info.Mode().Type() != os.ModeSocket {
			t.Errorf("the file is a %v", info.Mode().Type())
		}
	}
}

// A socket without a name has no file that could have a mode.
func TestModeWithoutAPath(t *testing.T) {
	before := descriptors(t)
	fd, _, err := sys.ListenOn(kernel, sys.ListenSpec{Mode: 0o600})
	if err == nil {
		kernel.Close(fd)
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
}

// listen.go: every descriptor is closed again when it fails; the error says what
// failed.
func TestListenThatFailsLeavesNothing(t *testing.T) {
	dir := testenv.SocketDir(t)
	c := newCloser(t)
	_, taken := listen(t, c, sys.ListenSpec{Addr: tcp("127.0.0.1:0")})
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	tests := []struct {
		name string
		spec sys.ListenSpec
		err  error
		text string
	}{
		{"port in use", sys.ListenSpec{Addr: taken}, unix.EADDRINUSE, "bind"},
		{"not our address", sys.ListenSpec{Addr: tcp("192.0.2.1:0")}, unix.EADDRNOTAVAIL, "bind"},
		{"no such zone", sys.ListenSpec{Addr: tcp("[fe80::1%nosuch]:0")}, unix.EINVAL, "bind"},
		{"file exists", sys.ListenSpec{Addr: sys.Addr{Path: file}}, unix.EADDRINUSE, "bind"},
		{"no such folder", sys.ListenSpec{Addr: sys.Addr{Path: filepath.Join(dir, "no", "s")}}, unix.ENOENT, "bind"},
		{"path too long", sys.ListenSpec{Addr: sys.Addr{Path: strings.Repeat("p", 200)}}, unix.EINVAL, "bind"},
		{
			"keep-alive count out of range",
			sys.ListenSpec{Addr: tcp("127.0.0.1:0"), Options: sys.Options{KeepAliveCount: 10_000}},
			unix.EINVAL, "TCP_KEEPCNT",
		},
	}
	before := descriptors(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fd, at, err := sys.ListenOn(kernel, tt.spec)
			if err == nil {
				kernel.Close(fd)
				t.Fatalf("listening on %v", at)
			}
			if fd != -1 || at != (sys.Addr{}) {
				t.Errorf("returned %d and %v with the error", fd, at)
			}
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v; want %v and %q", err, tt.err, tt.text)
			}
			if n := descriptors(t); n != before {
				t.Errorf("%d descriptors, %d before", n, before)
			}
		})
	}
}

// The backlog is the number of connections that wait without Accept.
func TestBacklog(t *testing.T) {
	c := newCloser(t)
	dir := testenv.SocketDir(t)
	l, at := listen(t, c, sys.ListenSpec{Addr: sys.Addr{Path: filepath.Join(dir, "s")}, Backlog: 1})
	refused := false
	for range 10 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		c.add(fd)
		must(t, unix.SetNonblock(fd, true))
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: at.Path}); err != nil {
			refused = true
			break
		}
	}
	if !refused {
		t.Error("10 connections wait on a listener with a backlog of 1")
	}
	accept(t, c, l)
}
