package sys

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultKeepAlive      = 15 * time.Second
	defaultKeepAliveCount = 9
	maxBacklog            = 1<<16 - 1 // the kernel cuts it to net.core.somaxconn
)

// ListenOn binds and listens. Nothing is left behind when it fails.
func ListenOn(k Kernel, spec ListenSpec) (int, Addr, error) {
	fd, bound, err := k.Bind(spec)
	if err != nil {
		return -1, Addr{}, err
	}
	if errno := k.Listen(fd, spec.Backlog); errno != 0 {
		k.Close(fd)
		unlink(spec.Addr)
		return -1, Addr{}, os.NewSyscallError("listen", errno)
	}
	return fd, bound, nil
}

// Bind implements Kernel. Every descriptor that it opened is closed again, and every file
// removed, when it fails.
func (k OS) Bind(spec ListenSpec) (int, Addr, error) {
	family := familyOf(spec.Addr)
	fd, err := socket(family)
	if err != nil {
		return -1, Addr{}, os.NewSyscallError("socket", err)
	}
	bound, err := k.bind(fd, family, spec)
	if err != nil {
		_ = unix.Close(fd)
		return -1, Addr{}, err
	}
	return fd, bound, nil
}

func (k OS) bind(fd, family int, spec ListenSpec) (Addr, error) {
	if err := setListenOptions(fd, family, spec); err != nil {
		return Addr{}, err
	}
	if err := unix.Bind(fd, spec.Addr.sockaddr()); err != nil {
		return Addr{}, os.NewSyscallError("bind", err)
	}
	if spec.Mode != 0 && isFile(spec.Addr) {
		if err := unix.Chmod(spec.Addr.Path, spec.Mode); err != nil {
			unlink(spec.Addr)
			return Addr{}, os.NewSyscallError("chmod", err)
		}
	}
	bound, errno := k.LocalAddr(fd)
	if errno != 0 {
		unlink(spec.Addr)
		return Addr{}, os.NewSyscallError("getsockname", errno)
	}
	return bound, nil
}

// Listen implements Kernel.
func (*OS) Listen(fd, backlog int) Errno {
	if backlog <= 0 {
		backlog = maxBacklog
	}
	return errnoOf(unix.Listen(fd, backlog))
}

// isFile tells an address with a file from an abstract name or none.
func isFile(a Addr) bool { return a.IsUnix() && a.Path != "" && a.Path[0] != '@' }

// unlink removes the file that bind has made.
func unlink(a Addr) {
	if isFile(a) {
		_ = unix.Unlink(a.Path)
	}
}

func setListenOptions(fd, family int, spec ListenSpec) error {
	set := optionSetter{fd: fd}
	if family != unix.AF_UNIX {
		set.number("SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		if spec.ReusePort {
			set.number("SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
	}
	if family == unix.AF_INET6 {
		v6only := 1
		if spec.DualStack {
			v6only = 0
		}
		set.number("IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, v6only)
	}
	if set.err != nil {
		return set.err
	}
	return setStreamOptions(fd, family, spec.Options)
}

// setStreamOptions sets what a connection has from its beginning.
func setStreamOptions(fd, family int, o Options) error {
	set := optionSetter{fd: fd}
	if o.SendBuffer > 0 {
		set.number("SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, o.SendBuffer)
	}
	if o.ReceiveBuffer > 0 {
		set.number("SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, o.ReceiveBuffer)
	}
	if o.Linger > 0 {
		set.did("SO_LINGER", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER,
			&unix.Linger{Onoff: 1, Linger: int32(seconds(o.Linger))}))
	}
	if family == unix.AF_UNIX {
		return set.err
	}
	if !o.Nagle {
		set.number("TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	set.keepAlive(o)
	if o.UserTimeout > 0 {
		set.did("TCP_USER_TIMEOUT", setUserTimeout(fd, int(o.UserTimeout.Milliseconds())))
	}
	return set.err
}

// optionSetter sets options until one fails, and keeps that error.
type optionSetter struct {
	fd  int
	err error
}

func (s *optionSetter) number(name string, level, option, value int) {
	if s.err == nil {
		s.did(name, unix.SetsockoptInt(s.fd, level, option, value))
	}
}

func (s *optionSetter) did(name string, err error) {
	if s.err == nil && err != nil {
		s.err = fmt.Errorf("setsockopt %s: %w", name, err)
	}
}

func (s *optionSetter) keepAlive(o Options) {
	if o.KeepAlive < 0 {
		return
	}
	idle, interval, count := o.KeepAlive, o.KeepAliveInterval, o.KeepAliveCount
	if idle == 0 {
		idle = defaultKeepAlive
	}
	if interval <= 0 {
		interval = defaultKeepAlive
	}
	if count <= 0 {
		count = defaultKeepAliveCount
	}
	set := s.number
	set("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	s.did("TCP_KEEPIDLE", setKeepAliveIdle(s.fd, seconds(idle)))
	set("TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(interval))
	set("TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, count)
}

// seconds rounds up, because the kernel refuses 0.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
