package sim

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// Kernel is a sys.Kernel with sockets of its own. A use of a descriptor that isn't open
// is a failure of the world.
type Kernel struct {
	w         *World
	Limit     int         // descriptors; 0: no limit
	Refusals  []sys.Errno // what the next accepts say that would have had a connection
	files     map[int]any
	streams   []*stream
	listeners []*listener
	hosts     map[sys.Addr]Host
	made      int // by Socket
}

// listener is a socket that connections come to.
type listener struct {
	fd      int
	addr    sys.Addr
	backlog []*stream
	reg     *registration
}

// reserve is a descriptor that stands for nothing.
type reserve struct{}

func newKernel(w *World) *Kernel {
	return &Kernel{w: w, files: map[int]any{}, hosts: map[sys.Addr]Host{}}
}

// Open is the descriptors in use.
func (k *Kernel) Open() (fds []int) {
	for fd := range k.files {
		fds = append(fds, fd)
	}
	slices.Sort(fds)
	return fds
}

// open takes the lowest free descriptor, as kernels do: one that was just closed is at
// once somebody else's.
func (k *Kernel) open(file any) (int, sys.Errno) {
	if k.Limit > 0 && len(k.files) >= k.Limit {
		return -1, unix.EMFILE
	}
	fd := 3
	for k.files[fd] != nil {
		fd++
	}
	k.files[fd] = file
	return fd, 0
}

func (k *Kernel) stream(fd int, call string) *stream {
	k.w.enter()
	s, ok := k.files[fd].(*stream)
	if !ok {
		k.w.Failf("%s of descriptor %d, which isn't an open stream", call, fd)
		ours, _ := newPair(k.w, "nobody", false, 1, 1)
		ours.reset(unix.EBADF)
		return ours
	}
	return s
}

// broken decides whether a call fails for no reason of the program's.
func (k *Kernel) broken() bool {
	k.w.enter()
	return k.w.Chance(k.w.Faults.Call)
}

// Recv implements sys.Kernel.
func (k *Kernel) Recv(fd int, p []byte) (int, sys.Errno) {
	k.w.Yield()
	s := k.stream(fd, "recv")
	if len(p) == 0 || len(p) > sys.MaxIO {
		k.w.Failf("recv of %d bytes", len(p))
	}
	n, errno := s.recv(p, false)
	k.w.call("recv", "%s: up to %d bytes: %s", s.label(), len(p), result(n, errno))
	return n, errno
}

// Peek implements sys.Kernel.
func (k *Kernel) Peek(fd int, p []byte) (int, sys.Errno) {
	k.w.Yield()
	s := k.stream(fd, "peek")
	n, errno := s.recv(p, true)
	k.w.call("peek", "%s: %s", s.label(), result(n, errno))
	return n, errno
}

// RecvOOB implements sys.Kernel.
func (k *Kernel) RecvOOB(fd int, p []byte) (n int, errno sys.Errno) {
	k.w.Yield()
	s := k.stream(fd, "recv OOB")
	switch {
	case s.fetch:
		p[0], s.fetch = s.urgent, false
		n = 1
	default:
		errno = unix.EINVAL
	}
	k.w.call("recv OOB", "%s: %s", s.label(), result(n, errno))
	return n, errno
}

// Readable implements sys.Kernel.
func (k *Kernel) Readable(fd int) bool { return k.stream(fd, "poll").readable() }

// AtMark implements sys.Kernel.
func (k *Kernel) AtMark(fd int) (bool, sys.Errno) {
	k.w.Yield()
	return k.stream(fd, "sockatmark").mark == 0, 0
}

// Send implements sys.Kernel.
func (k *Kernel) Send(fd int, p []byte) (int, sys.Errno) {
	k.w.Yield()
	return k.send(k.stream(fd, "send"), "send", p, data)
}

// Sendv implements sys.Kernel.
func (k *Kernel) Sendv(fd int, v [][]byte) (int, sys.Errno) {
	k.w.Yield()
	if len(v) == 0 || len(v) > sys.MaxVectors {
		k.w.Failf("sendv of %d pieces", len(v))
	}
	return k.send(k.stream(fd, "sendv"), "sendv", slices.Concat(v...), data)
}

// SendOOB implements sys.Kernel.
func (k *Kernel) SendOOB(fd int, p []byte) (int, sys.Errno) {
	k.w.Yield()
	return k.send(k.stream(fd, "send OOB"), "send OOB", p, urgent)
}

func (k *Kernel) send(s *stream, call string, p []byte, kind segmentKind) (int, sys.Errno) {
	if len(p) == 0 || len(p) > sys.MaxIO {
		k.w.Failf("%s of %d bytes", call, len(p))
	}
	n, errno := s.send(p, kind)
	k.w.call(call, "%s: %d bytes: %s", s.label(), len(p), result(n, errno))
	return n, errno
}

// ShutdownWrite implements sys.Kernel.
func (k *Kernel) ShutdownWrite(fd int) (errno sys.Errno) {
	k.w.Yield()
	s := k.stream(fd, "shutdown")
	if s.finSent {
		k.w.Failf("a second shutdown of %s", s.label())
	}
	if s.dead {
		errno = unix.ENOTCONN
	}
	s.closeWrite()
	k.w.call("shutdown", "%s: %s", s.label(), result(0, errno))
	return errno
}

// SocketError implements sys.Kernel.
func (k *Kernel) SocketError(fd int) sys.Errno {
	s := k.stream(fd, "SO_ERROR")
	errno := s.takeErr()
	k.w.call("SO_ERROR", "%s: %s", s.label(), result(0, errno))
	return errno
}

// SetLinger implements sys.Kernel.
func (k *Kernel) SetLinger(fd int, on bool, seconds int) sys.Errno {
	if k.broken() {
		return unix.EINVAL
	}
	if s, ok := k.files[fd].(*stream); ok {
		s.lingers0 = on && seconds == 0
	}
	return 0
}

// Close implements sys.Kernel.
func (k *Kernel) Close(fd int) sys.Errno {
	k.w.Yield()
	f := k.files[fd]
	switch f := f.(type) {
	case nil:
		k.w.Failf("close of descriptor %d, which isn't open", fd)
		return unix.EBADF
	case *stream:
		k.w.call("close", "%s, to reset %t", f.label(), f.lingers0)
		if f.reg != nil {
			k.w.Failf("%s is closed while it's registered: its events would find the number's next owner", f.label())
		}
		f.close()
		f.fd = -1
	case *listener:
		k.w.call("close", "the listener")
		for _, s := range f.backlog {
			s.lingers0 = true
			s.close()
		}
		f.backlog = nil
	}
	delete(k.files, fd)
	return 0
}

// acceptErrors are what accept(2) may say about something else than the listener.
var acceptErrors = []sys.Errno{
	unix.ECONNABORTED, unix.EPERM, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPROTO, unix.ENETDOWN,
}

// Accept implements sys.Kernel.
func (k *Kernel) Accept(fd int) (int, sys.Addr, sys.Errno) {
	k.w.Yield()
	l, ok := k.files[fd].(*listener)
	if !ok {
		k.w.Failf("accept of descriptor %d, which isn't a listener", fd)
		return -1, sys.Addr{}, unix.EBADF
	}
	got, peer, errno := k.accept(l)
	k.w.call("accept", "fd %d: %s", got, result(0, errno))
	return got, peer, errno
}

func (k *Kernel) accept(l *listener) (int, sys.Addr, sys.Errno) {
	if len(l.backlog) == 0 {
		return -1, sys.Addr{}, unix.EAGAIN
	}
	if len(k.Refusals) > 0 {
		errno := k.Refusals[0]
		k.Refusals = k.Refusals[1:]
		return -1, sys.Addr{}, errno
	}
	if k.w.Chance(k.w.Faults.Accept) {
		return -1, sys.Addr{}, acceptErrors[k.w.IntN(len(acceptErrors))]
	}
	s := l.backlog[0]
	fd, errno := k.open(s)
	if errno != 0 {
		return -1, sys.Addr{}, errno
	}
	l.backlog = l.backlog[1:]
	s.fd = fd
	s.accepted = k.w.Now()
	return fd, s.from, 0
}

// acceptQueue is how many connections may wait at a listener; for AcceptQueue only, since
// peers wait in any number.
const acceptQueue = 128

// AcceptQueue implements sys.Kernel.
func (k *Kernel) AcceptQueue(fd int) (length, limit int, errno sys.Errno) {
	l, ok := k.files[fd].(*listener)
	if !ok {
		k.w.Failf("TCP_INFO of descriptor %d, which isn't a listener", fd)
		return 0, 0, unix.EBADF
	}
	return len(l.backlog), acceptQueue, 0
}

// Bind implements sys.Kernel.
func (k *Kernel) Bind(spec sys.ListenSpec) (int, sys.Addr, error) {
	k.w.Yield()
	if k.broken() {
		return -1, sys.Addr{}, fmt.Errorf("bind: %w", unix.EADDRINUSE)
	}
	l := &listener{addr: spec.Addr}
	fd, errno := k.open(l)
	if errno != 0 {
		return -1, sys.Addr{}, fmt.Errorf("bind: %w", errno)
	}
	l.fd = fd
	return fd, spec.Addr, nil
}

// Listen implements sys.Kernel.
func (k *Kernel) Listen(fd, _ int) sys.Errno {
	l, ok := k.files[fd].(*listener)
	if !ok {
		panic(fmt.Sprintf("listen on %d, which is no bound socket", fd))
	}
	k.listeners = append(k.listeners, l)
	return 0
}

// LocalAddr implements sys.Kernel.
func (k *Kernel) LocalAddr(fd int) (sys.Addr, sys.Errno) {
	s := k.stream(fd, "getsockname")
	return sys.Addr{Path: "@local-" + s.name}, 0
}

// RemoteAddr implements sys.Kernel.
func (k *Kernel) RemoteAddr(fd int) (sys.Addr, sys.Errno) {
	s := k.stream(fd, "getpeername")
	if s.connecting || s.dead {
		return sys.Addr{}, unix.ENOTCONN
	}
	return s.from, 0
}

// PeerCredentials implements sys.Kernel.
func (k *Kernel) PeerCredentials(fd int) (sys.Credentials, error) {
	k.stream(fd, "SO_PEERCRED")
	if k.broken() {
		return sys.Credentials{}, unix.ENOMEM
	}
	return sys.Credentials{PID: 1}, nil
}

// Reserve implements sys.Kernel.
func (k *Kernel) Reserve() (int, error) {
	if k.broken() {
		return -1, unix.ENFILE
	}
	fd, errno := k.open(reserve{})
	if errno != 0 {
		return -1, errno
	}
	return fd, nil
}

// debt is an edge that's owed, because EAGAIN was said without a cause.
type debt struct{ s *stream }

// Ready implements Actor.
func (*debt) Ready() bool { return true }

// Step implements Actor: the edge comes.
func (d *debt) Step() {
	d.s.changed()
	w := d.s.w
	w.actors = slices.DeleteFunc(w.actors, func(a Actor) bool { return a == Actor(d) })
}

func result(n int, errno sys.Errno) string {
	if errno != 0 {
		return unix.ErrnoName(errno)
	}
	return fmt.Sprint(n)
}

var (
	_ sys.Kernel     = (*Kernel)(nil)
	_ reactor.Poller = (*Poller)(nil)
)
