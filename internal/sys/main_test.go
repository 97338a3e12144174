package sys_test

import (
	"errors"
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var kernel sys.Kernel = &sys.OS{}

// closer closes descriptors at the end of a test, once each.
type closer struct {
	t    testing.TB
	open map[int]bool
}

func newCloser(t testing.TB) *closer {
	c := &closer{t: t, open: map[int]bool{}}
	t.Cleanup(func() {
		for fd := range c.open {
			kernel.Close(fd)
		}
	})
	return c
}

func (c *closer) add(fd int) int {
	c.open[fd] = true
	return fd
}

func (c *closer) close(fd int) {
	c.t.Helper()
	delete(c.open, fd)
	if errno := kernel.Close(fd); errno != 0 {
		c.t.Errorf("close: %v", errno)
	}
}

// unixPair returns two connected Unix-domain stream sockets, in blocking mode.
func unixPair(t testing.TB) (a, b int, c *closer) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	c = newCloser(t)
	return c.add(fds[0]), c.add(fds[1]), c
}

// tcpPair returns the two ends of a TCP connection over loopback, in blocking mode.
func tcpPair(t testing.TB) (client, server int, c *closer) {
	t.Helper()
	c = newCloser(t)
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	c.add(l)
	must(t, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(l, 1))
	at, err := unix.Getsockname(l)
	must(t, err)
	client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	c.add(client)
	must(t, unix.Connect(client, at))
	server, _, err = unix.Accept(l)
	must(t, err)
	c.add(server)
	c.close(l)
	must(t, unix.SetsockoptInt(client, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	must(t, unix.SetsockoptInt(server, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	return client, server, c
}

// pairs are the kinds of stream that the calls must treat alike.
var pairs = []struct {
	name string
	make func(testing.TB) (int, int, *closer)
}{{"unix", unixPair}, {"tcp", tcpPair}}

// wait blocks until fd is ready for an event or has failed.
func wait(t testing.TB, fd int, events int16) {
	t.Helper()
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		must(t, err)
		if n == 0 {
			t.Fatalf("descriptor %d: nothing happened in 10 s", fd)
		}
		return
	}
}

// send sends all of p, waiting for room.
func send(t testing.TB, fd int, p []byte) {
	t.Helper()
	for len(p) > 0 {
		n, errno := kernel.Send(fd, p)
		switch errno {
		case 0:
			p = p[n:]
		case unix.EAGAIN:
			wait(t, fd, unix.POLLOUT)
		default:
			t.Fatalf("send: %v", errno)
		}
	}
}

// receive waits for bytes, or the end, and receives once.
func receive(t testing.TB, fd int, p []byte) int {
	t.Helper()
	wait(t, fd, unix.POLLIN)
	n, errno := kernel.Recv(fd, p)
	wantErrno(t, "recv", errno, 0)
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErrno(t testing.TB, call string, got, want sys.Errno) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: errno %d (%v), want %d (%v)", call, int(got), got, int(want), want)
	}
}

// text is n bytes that differ from one place to the next.
func text(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

// descriptors counts the open descriptors of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/dev/fd")
	must(t, err)
	return len(all)
}
