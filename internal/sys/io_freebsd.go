package sys

import "golang.org/x/sys/unix"

func accept(fd int) (int, unix.Sockaddr, error) {
	return unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
}

func socket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// AtMark implements Kernel.
func (*OS) AtMark(fd int) (bool, Errno) {
	n, err := unix.IoctlGetInt(fd, unix.SIOCATMARK)
	return n != 0, errnoOf(err)
}

func setKeepAliveIdle(fd, seconds int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
}

func setUserTimeout(int, int) error { return errUserTimeout }
