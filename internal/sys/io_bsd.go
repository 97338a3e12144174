//go:build darwin || freebsd

package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

var errUserTimeout = errors.New("TCP_USER_TIMEOUT exists on Linux only")

// Descriptors made here have SO_NOSIGPIPE or, through the runtime, no SIGPIPE for
// anything but descriptors 1 and 2, so MSG_NOSIGNAL isn't needed.
const ioFlags = unix.MSG_DONTWAIT

// Recv implements Kernel.
func (*OS) Recv(fd int, p []byte) (int, Errno) { return recv(fd, p, ioFlags) }

// Peek implements Kernel.
func (*OS) Peek(fd int, p []byte) (int, Errno) { return recv(fd, p, ioFlags|unix.MSG_PEEK) }

// RecvOOB implements Kernel.
func (*OS) RecvOOB(fd int, p []byte) (int, Errno) { return recv(fd, p, ioFlags|unix.MSG_OOB) }

// Send implements Kernel.
func (*OS) Send(fd int, p []byte) (int, Errno) { return sendv(fd, [][]byte{p}, ioFlags) }

// SendOOB implements Kernel.
func (*OS) SendOOB(fd int, p []byte) (int, Errno) {
	return sendv(fd, [][]byte{p}, ioFlags|unix.MSG_OOB)
}

// Sendv implements Kernel.
func (*OS) Sendv(fd int, v [][]byte) (int, Errno) { return sendv(fd, v, ioFlags) }

// Readable implements Kernel. It never disagrees with Recv: kqueue doesn't announce
// out-of-band data, so nobody asks.
func (*OS) Readable(int) bool { return false }

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

func recv(fd int, p []byte, flags int) (int, Errno) {
	if len(p) > MaxIO {
		p = p[:MaxIO]
	}
	for {
		n, _, err := unix.Recvfrom(fd, p, flags)
		switch errno := errnoOf(err); errno {
		case 0:
			return n, 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func sendv(fd int, v [][]byte, flags int) (int, Errno) {
	var cut [MaxVectors][]byte
	used, room := 0, MaxIO
	for _, p := range v {
		if used == len(cut) || room == 0 {
			break
		}
		if len(p) == 0 {
			continue
		}
		if len(p) > room {
			p = p[:room]
		}
		cut[used] = p
		room -= len(p)
		used++
	}
	for {
		n, err := unix.SendmsgBuffers(fd, cut[:used], nil, nil, flags)
		switch errno := errnoOf(err); errno {
		case 0:
			return n, 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// Accept implements Kernel.
func (*OS) Accept(fd int) (int, Addr, Errno) {
	for {
		n, sa, err := accept(fd)
		switch errno := errnoOf(err); errno {
		case 0:
			return n, addrOf(sa), 0
		case unix.EINTR:
		default:
			return -1, Addr{}, errno
		}
	}
}

// PeerCredentials implements Kernel (LOCAL_PEERCRED).
func (*OS) PeerCredentials(fd int) (Credentials, error) {
	const solLocal = 0
	c, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return Credentials{}, err
	}
	creds := Credentials{UID: c.Uid}
	if c.Ngroups > 0 {
		creds.GID = c.Groups[0]
	}
	return creds, nil
}

// LocalAddr implements Kernel.
func (*OS) LocalAddr(fd int) (Addr, Errno) {
	sa, err := unix.Getsockname(fd)
	return addrOf(sa), errnoOf(err)
}

// RemoteAddr implements Kernel.
func (*OS) RemoteAddr(fd int) (Addr, Errno) {
	sa, err := unix.Getpeername(fd)
	return addrOf(sa), errnoOf(err)
}
