package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ShutdownWrite implements Kernel.
func (*OS) ShutdownWrite(fd int) Errno { return errnoOf(unix.Shutdown(fd, unix.SHUT_WR)) }

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
