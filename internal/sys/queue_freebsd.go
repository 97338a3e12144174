package sys

import "golang.org/x/sys/unix"

// AcceptQueue implements Kernel.
func (*OS) AcceptQueue(fd int) (length, limit int, errno Errno) {
	length, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_LISTENQLEN)
	if err == nil {
		limit, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_LISTENQLIMIT)
	}
	return length, limit, errnoOf(err)
}
