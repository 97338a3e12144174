package sys_test

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/internal/testenv"
)

// operations, Metrics: accept_queue_length and accept_queue_limit.
func TestAcceptQueue(t *testing.T) {
	c := newCloser(t)
	const backlog = 7
	l, at := listen(t, c, sys.ListenSpec{Addr: tcp("127.0.0.1:0"), Backlog: backlog})
	waiting := func(want int) {
		t.Helper()
		// The last packet of a handshake may be on its way when the client has connected.
		for late := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
			length, limit, errno := kernel.AcceptQueue(l)
			if errno == 0 && length == want && limit == backlog {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("%d of %d wait (%v), want %d of %d", length, limit, errno, want, backlog)
			}
		}
	}
	waiting(0)
	var client int
	for n := range 3 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		must(t, err)
		client = c.add(fd)
		must(t, unix.Connect(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(at.AddrPort.Port())}))
		waiting(n + 1)
	}
	fd, _, errno := kernel.Accept(l)
	wantErrno(t, "accept", errno, 0)
	c.add(fd)
	waiting(2)
	if _, _, errno := kernel.AcceptQueue(client); errno != unix.EINVAL {
		t.Errorf("of a connection: %v", errno)
	}
	local, _ := listen(t, c, sys.ListenSpec{Addr: sys.Addr{Path: filepath.Join(testenv.SocketDir(t), "s")}})
	if _, _, errno := kernel.AcceptQueue(local); errno == 0 {
		t.Error("of a Unix-domain socket: no error")
	}
}
