//go:build linux

package echo

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// perSource bounds the connections from one source address. The kernel has some
// 28,000 ports for each (source, destination, port), and finding one gets slow
// near the end.
const perSource = 10_000

// source returns the address that connection i comes from: 127.0.0.2 and up.
// Never 127.0.0.1, where the servers are: a connect to a port that nobody
// listens on could meet itself.
func source(i int) [4]byte {
	n := i/perSource + 2
	return [4]byte{127, 0, byte(n >> 8), byte(n)}
}

// dial starts a connection: non-blocking, so it may not be complete. Sending
// says EAGAIN until it is, and the cause if it failed.
func dial(addr netip.AddrPort, src [4]byte) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	// The port is then chosen by connect, for this destination, not by bind.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return -1, fmt.Errorf("IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return -1, fmt.Errorf("TCP_NODELAY: %w", err)
	}
	// Every kernel has reno, and it doesn't pace what the client sends.
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno"); err != nil {
		return -1, fmt.Errorf("TCP_CONGESTION: %w", err)
	}
	// Closing resets: no TIME_WAIT is left behind for the next server's run.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return -1, fmt.Errorf("SO_LINGER: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: src}); err != nil {
		return -1, fmt.Errorf("bind to source: %w", err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())})
	if err != nil && err != unix.EINPROGRESS {
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// send and recv skip the scheduler: with MSG_DONTWAIT they never block. They
// are never called with an empty p.
func send(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])),
		uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

func recv(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])),
		uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// disconnect resets a connection and leaves a socket that can be connected anew.
func disconnect(fd int) unix.Errno {
	nowhere := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), unsafe.Sizeof(nowhere))
	return errno
}
