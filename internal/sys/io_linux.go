package sys

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const ioFlags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL

// Recv implements Kernel.
func (*OS) Recv(fd int, p []byte) (int, Errno) { return recv(fd, p, ioFlags) }

// Peek implements Kernel.
func (*OS) Peek(fd int, p []byte) (int, Errno) { return recv(fd, p, ioFlags|unix.MSG_PEEK) }

// RecvOOB implements Kernel.
func (*OS) RecvOOB(fd int, p []byte) (int, Errno) { return recv(fd, p, ioFlags|unix.MSG_OOB) }

// Send implements Kernel.
func (*OS) Send(fd int, p []byte) (int, Errno) { return send(fd, p, ioFlags) }

// SendOOB implements Kernel.
func (*OS) SendOOB(fd int, p []byte) (int, Errno) { return send(fd, p, ioFlags|unix.MSG_OOB) }

func recv(fd int, p []byte, flags int) (int, Errno) {
	n, errno := move(unix.SYS_RECVFROM, fd, p, flags)
	raceWrite(p[:n])
	return n, errno
}

func send(fd int, p []byte, flags int) (int, Errno) {
	raceRead(p)
	return move(unix.SYS_SENDTO, fd, p, flags)
}

// move receives or sends.
func move(call uintptr, fd int, p []byte, flags int) (int, Errno) {
	for {
		n := rawIO(call, fd, unsafe.Pointer(unsafe.SliceData(p)), min(len(p), MaxIO), flags)
		if n >= 0 {
			return n, 0
		}
		if errno := Errno(-n); errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Sendv implements Kernel.
func (*OS) Sendv(fd int, v [][]byte) (int, Errno) {
	var iov [MaxVectors]unix.Iovec
	used, room := 0, MaxIO
	for _, p := range v {
		if used == len(iov) || room == 0 {
			break
		}
		if len(p) == 0 {
			continue
		}
		if len(p) > room {
			p = p[:room]
		}
		raceRead(p)
		iov[used].Base = unsafe.SliceData(p)
		iov[used].SetLen(len(p))
		room -= len(p)
		used++
	}
	var msg unix.Msghdr
	msg.Iov = &iov[0]
	msg.SetIovlen(used)
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&msg)), uintptr(ioFlags))
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// SocketError implements Kernel.
func (*OS) SocketError(fd int) Errno {
	var n int32
	size := uint32(unsafe.Sizeof(n))
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&n)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return Errno(n)
}

// SetLinger implements Kernel.
func (*OS) SetLinger(fd int, on bool, seconds int) Errno {
	var l unix.Linger
	if on {
		l.Onoff, l.Linger = 1, int32(seconds)
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&l)), unsafe.Sizeof(l), 0)
	return errno
}

// Close implements Kernel.
func (*OS) Close(fd int) Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return errno
}

// Accept implements Kernel. It parses the address itself, because the portable
// call allocates one for each connection.
func (*OS) Accept(fd int) (int, Addr, Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd),
			uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(n), rawAddr(&sa, size), 0
		case unix.EINTR:
		default:
			return -1, Addr{}, errno
		}
	}
}

// LocalAddr implements Kernel.
func (*OS) LocalAddr(fd int) (Addr, Errno) { return nameOf(unix.SYS_GETSOCKNAME, fd) }

// RemoteAddr implements Kernel.
func (*OS) RemoteAddr(fd int) (Addr, Errno) { return nameOf(unix.SYS_GETPEERNAME, fd) }

// nameOf asks for an address itself, too: package unix doesn't tell an unnamed
// Unix-domain socket from one with an empty abstract name.
func nameOf(call uintptr, fd int) (Addr, Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	_, _, errno := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return Addr{}, errno
	}
	return rawAddr(&sa, size), 0
}

func rawAddr(sa *unix.RawSockaddrAny, size uint32) Addr {
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4(in.Addr), hostOrder(in.Port))}
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return Addr{AddrPort: netip.AddrPortFrom(ip6(in.Addr, in.Scope_id), hostOrder(in.Port))}
	case unix.AF_UNIX:
		un := (*unix.RawSockaddrUnix)(unsafe.Pointer(sa))
		return Addr{Path: unixPath(un, int(size))}
	default:
		return Addr{}
	}
}

func hostOrder(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// unixPath reads a path that the kernel gave a length for. A file's path ends before a
// zero byte; an abstract name begins with one, shown as '@', and may contain others.
func unixPath(un *unix.RawSockaddrUnix, size int) string {
	n := min(size-int(unsafe.Offsetof(un.Path)), len(un.Path))
	if n <= 0 {
		return ""
	}
	abstract := un.Path[0] == 0
	b := make([]byte, 0, n)
	for _, c := range un.Path[:n] {
		if c == 0 && !abstract {
			break
		}
		b = append(b, byte(c))
	}
	if abstract {
		b[0] = '@'
	}
	return string(b)
}

// AtMark implements Kernel.
func (*OS) AtMark(fd int) (bool, Errno) {
	n, err := unix.IoctlGetInt(fd, unix.SIOCATMARK)
	return n != 0, errnoOf(err)
}

// PeerCredentials implements Kernel (SO_PEERCRED).
func (*OS) PeerCredentials(fd int) (Credentials, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{PID: int(c.Pid), UID: c.Uid, GID: c.Gid}, nil
}

// Readable implements Kernel.
func (*OS) Readable(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&unix.POLLIN != 0
}
