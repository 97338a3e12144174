package sys_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// DESIGN, Events are hints: a SO_ERROR value is cleared by asking for it.
func TestSocketErrorIsToldOnce(t *testing.T) {
	client, server, c := tcpPair(t)
	wantErrno(t, "SO_ERROR at first", kernel.SocketError(client), 0)
	wantErrno(t, "linger", kernel.SetLinger(server, true, 0), 0)
	c.close(server)
	wait(t, client, unix.POLLIN)
	wantErrno(t, "SO_ERROR after the reset", kernel.SocketError(client), unix.ECONNRESET)
	wantErrno(t, "SO_ERROR asked again", kernel.SocketError(client), 0)
}

// DESIGN, Raw calls: SO_LINGER is cleared before close, or {1,0} in Abort.
func TestSetLinger(t *testing.T) {
	tests := []struct {
		name    string
		on      bool
		seconds int
		errno   unix.Errno // of the peer's read
	}{
		{"off", false, 7, 0},
		{"on for 0 s", true, 0, unix.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, server, c := tcpPair(t)
			wantErrno(t, "on", kernel.SetLinger(server, true, 3), 0)
			wantErrno(t, "linger", kernel.SetLinger(server, tt.on, tt.seconds), 0)
			c.close(server)
			wait(t, client, unix.POLLIN)
			n, errno := kernel.Recv(client, make([]byte, 1))
			if n != 0 || errno != tt.errno {
				t.Errorf("the peer reads %d, %v; want errno %v", n, errno, tt.errno)
			}
		})
	}
}

func TestShutdownWriteLeavesReading(t *testing.T) {
	for _, kind := range pairs {
		t.Run(kind.name, func(t *testing.T) {
			a, b, _ := kind.make(t)
			wantErrno(t, "shutdown", kernel.ShutdownWrite(a), 0)
			_, errno := kernel.Send(a, []byte("x"))
			wantErrno(t, "send after shutdown", errno, unix.EPIPE)
			send(t, b, []byte("back"))
			buf := make([]byte, 10)
			if n := receive(t, a, buf); string(buf[:n]) != "back" {
				t.Errorf("got %q", buf[:n])
			}
		})
	}
}

func TestShutdownWriteOfAnUnconnectedSocket(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	newCloser(t).add(fd)
	wantErrno(t, "shutdown", kernel.ShutdownWrite(fd), unix.ENOTCONN)
}

// faults, Unix: peer credentials.
func TestPeerCredentials(t *testing.T) {
	a, _, _ := unixPair(t)
	got, err := kernel.PeerCredentials(a)
	must(t, err)
	if got.UID != uint32(os.Getuid()) || got.GID != uint32(os.Getgid()) {
		t.Errorf("%+v, want user %d and group %d", got, os.Getuid(), os.Getgid())
	}
	if got.PID != 0 && got.PID != os.Getpid() {
		t.Errorf("process %d, want %d", got.PID, os.Getpid())
	}
	if _, err := kernel.PeerCredentials(-1); err == nil {
		t.Error("credentials of no descriptor")
	}
}

// faults, Overload: keep reserve fds.
func TestReserveHoldsADescriptor(t *testing.T) {
	before := descriptors(t)
	fd, err := kernel.Reserve()
	must(t, err)
	if n := descriptors(t); n != before+1 {
		t.Errorf("%d descriptors with one in reserve, %d before", n, before)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	must(t, err)
	if flags&unix.FD_CLOEXEC == 0 {
		t.Error("a child process would inherit the reserve")
	}
	wantErrno(t, "close", kernel.Close(fd), 0)
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors after the close, %d before", n, before)
	}
}
