package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ShutdownWrite implements Kernel.
func (*OS) ShutdownWrite(fd int) Errno { return errnoOf(unix.Shutdown(fd, unix.SHUT_WR)) }

// SocketError implements Kernel.
func (*OS) SocketError(fd int) Errno {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return errnoOf(err)
	}
	return Errno(n)
}

// SetLinger implements Kernel.
func (*OS) SetLinger(fd int, on bool, seconds int) Errno {
	l := unix.Linger{}
	if on {
		l.Onoff, l.Linger = 1, int32(seconds)
	}
	return errnoOf(unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
}

// Close implements Kernel.
func (*OS) Close(fd int) Errno { return errnoOf(unix.Close(fd)) }

// Reserve implements Kernel.
func (*OS) Reserve() (int, error) {
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open "+os.DevNull, err)
	}
	return fd, nil
}

// errnoOf takes the number out of an error of package unix.
func errnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	var errno Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EINVAL
}
