package sys

import "golang.org/x/sys/unix"

// tcpListen is a listening socket's state in TCP_INFO.
const tcpListen = 10

// AcceptQueue implements Kernel.
func (*OS) AcceptQueue(fd int) (length, limit int, errno Errno) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	switch {
	case err != nil:
		return 0, 0, errnoOf(err)
	case info.State != tcpListen:
		return 0, 0, unix.EINVAL
	default:
		return int(info.Unacked), int(info.Sacked), 0 // what these two are of a listener
	}
}
