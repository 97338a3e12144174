package sys_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// faults, Unix: abstract names; a 108-byte path.
func TestAbstractNames(t *testing.T) {
	name := fmt.Sprintf("@sluice-sys-%d-", os.Getpid())
	tests := []struct {
		name string
		path string
		from string
	}{
		{"unnamed client", name + "a", ""},
		{"named client", name + "b", name + "c"},
		{"with a zero byte in it", name + "d\x00e", name + "f\x00"},
		{"the longest", name + strings.Repeat("n", maxPath-len(name)-1), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloser(t)
			l, at := listen(t, c, sys.ListenSpec{Addr: sys.Addr{Path: tt.path}, Mode: 0o600})
			wantAddr(t, "listen", at, 0, sys.Addr{Path: tt.path})
			client := dial(t, c, at, tt.from)
			server := connectedAddrs(t, c, l, client, sys.Addr{Path: tt.from})
			got, errno := kernel.LocalAddr(server)
			wantAddr(t, "the server's local address", got, errno, sys.Addr{Path: tt.path})
			if _, err := os.Stat(tt.path); err == nil {
				t.Error("an abstract name made a file")
			}
		})
	}
}

// Kernel.Readable agrees with Recv.
func TestReadable(t *testing.T) {
	for _, kind := range pairs {
		t.Run(kind.name, func(t *testing.T) {
			a, b, c := kind.make(t)
			if kernel.Readable(a) {
				t.Error("readable, and there's nothing")
			}
			send(t, b, []byte("x"))
			wait(t, a, unix.POLLIN)
			if !kernel.Readable(a) {
				t.Error("not readable, and there's a byte")
			}
			receive(t, a, make([]byte, 10))
			if kernel.Readable(a) {
				t.Error("readable after the last byte")
			}
			c.close(b)
			wait(t, a, unix.POLLIN)
			if !kernel.Readable(a) {
				t.Error("not readable, and the end is there to read")
			}
		})
	}
	if kernel.Readable(1 << 20) {
		t.Error("no descriptor, and readable")
	}
}

// The kernel gives a socket that's bound to nothing a name of its own.
func TestAutobind(t *testing.T) {
	c := newCloser(t)
	l, at := listen(t, c, sys.ListenSpec{})
	if !strings.HasPrefix(at.Path, "@") || len(at.Path) < 2 {
		t.Fatalf("listening on %q, want an abstract name", at.Path)
	}
	connectedAddrs(t, c, l, dial(t, c, at, ""), sys.Addr{})
}

// kernel.go: accepted sockets are non-blocking and closed on exec, and so is the
// listening one.
func TestDescriptorFlags(t *testing.T) {
	c := newCloser(t)
	for _, spec := range []sys.ListenSpec{{Addr: tcp("127.0.0.1:0")}, {}} {
		l, at := listen(t, c, spec)
		_, _, errno := kernel.Accept(l)
		wantErrno(t, "accept without a connection", errno, unix.EAGAIN)
		dial(t, c, at, "")
		server, _ := accept(t, c, l)
		for what, fd := range map[string]int{"listening": l, "accepted": server} {
			status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			must(t, err)
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			must(t, err)
			if status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s %s socket: status %#x, flags %#x", what, at.Network(), status, flags)
			}
		}
	}
}
