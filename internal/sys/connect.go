package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// familyOf is the address family of a.
func familyOf(a Addr) int {
	switch {
	case a.IsUnix():
		return unix.AF_UNIX
	case a.AddrPort.Addr().Is4():
		return unix.AF_INET
	default:
		return unix.AF_INET6
	}
}

// Socket implements Kernel.
func (*OS) Socket(to Addr, o Options) (int, error) {
	family := familyOf(to)
	fd, err := socket(family)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := setStreamOptions(fd, family, o); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Connect implements Kernel. A connect that a signal interrupts goes on by itself.
func (*OS) Connect(fd int, to Addr) Errno {
	errno := errnoOf(unix.Connect(fd, to.sockaddr()))
	if errno == unix.EINTR {
		return unix.EINPROGRESS
	}
	return errno
}
