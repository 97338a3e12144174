package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// accept makes the new descriptor non-blocking and close-on-exec in two steps,
// under the lock that os/exec takes, because macOS has no accept4.
func accept(fd int) (int, unix.Sockaddr, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, sa, err := unix.Accept(fd)
	if err != nil {
		return -1, nil, err
	}
	unix.CloseOnExec(n)
	if err := unix.SetNonblock(n, true); err != nil {
		_ = unix.Close(n)
		return -1, nil, err
	}
	return n, sa, nil
}

func socket(family int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// AtMark implements Kernel.
func (*OS) AtMark(fd int) (bool, Errno) {
	const siocAtMark = 0x40047307 // _IOR('s', 7, int)
	n, err := unix.IoctlGetInt(fd, siocAtMark)
	return n != 0, errnoOf(err)
}

func setKeepAliveIdle(fd, seconds int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPALIVE, seconds)
}

func setUserTimeout(int, int) error { return errUserTimeout }
