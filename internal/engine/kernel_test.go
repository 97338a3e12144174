package engine_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// kernel is a sys.Kernel whose sockets do what a test has told them to.
type kernel struct {
	t testing.TB

	mu      sync.Mutex
	next    int
	open    map[int]bool
	sockets map[int]*socket
	backlog []*socket   // to be accepted
	accept  []sys.Errno // of the next calls of Accept, before the backlog
	stuck   sys.Errno   // of Accept, until it's 0 again
	short   sys.Errno   // of Accept, unless the reserve has been given up
	accepts int         // calls
	calls   []string    // those that end connections, and registrations
	reserve int         // calls of Reserve
	spare   int         // the descriptor of the last one

	made      []*socket   // by Socket
	socketErr error       // of Socket
	connects  []sys.Errno // of the next calls of Connect; then EINPROGRESS
}

// firstFD is where the descriptors begin.
const firstFD = 100

func newKernel(t testing.TB) *kernel {
	return &kernel{t: t, next: firstFD, open: map[int]bool{}, sockets: map[int]*socket{}}
}

// socket is one end of a connection; the test is the other.
type socket struct {
	k    *kernel
	fd   int
	peer sys.Addr

	// What there is to receive: first the steps, then in, then the end.
	steps   []step
	in      []byte
	endless bool      // there's always more
	fin     bool      // the peer has ended its side
	broken  sys.Errno // what Recv gives when in is empty
	oob     []byte
	oobErr  sys.Errno
	atMark  bool
	hold    func() // called by AtMark, with the connection's lock held
	soError sys.Errno
	dead    bool // the reset was told of

	connecting bool // nobody has accepted it yet

	// What was sent, and how it may be.
	out     []byte
	splits  []int     // what the next sends take at most; 0: nothing
	room    int       // what sends take before they would block
	sendErr sys.Errno // of the next send
	urgent  []byte

	finSent bool
	linger  string
	recvs   []int // the sizes that Recv was called with
	sends   []int // … what Send and Sendv moved; −1: an error
	peeks   int
}

// step is one result of Recv.
type step struct {
	n     int // bytes of in
	errno sys.Errno
}

func (k *kernel) newFD() int {
	k.next++
	k.open[k.next] = true
	return k.next
}

// socket makes a socket that nobody has accepted yet.
func (k *kernel) socket() *socket {
	return &socket{k: k, room: math.MaxInt, peer: sys.Addr{Path: "@peer"}}
}

// of finds a socket, whose descriptor must be open.
func (k *kernel) of(fd int, call string) *socket {
	s := k.sockets[fd]
	if s == nil || !k.open[fd] {
		k.t.Errorf("%s of descriptor %d, which isn't open", call, fd)
		return k.socket()
	}
	return s
}

func (k *kernel) log(format string, args ...any) {
	k.calls = append(k.calls, fmt.Sprintf(format, args...))
}

func (k *kernel) Recv(fd int, p []byte) (int, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "recv")
	s.recvs = append(s.recvs, len(p))
	switch {
	case len(p) == 0:
		k.t.Error("recv of 0 bytes")
	case len(s.steps) > 0:
		next := s.steps[0]
		s.steps = s.steps[1:]
		if next.errno != 0 {
			return 0, s.tell(next.errno)
		}
		p = p[:min(next.n, len(p))]
	case s.endless:
		return len(p), 0
	}
	switch {
	case len(s.in) > 0:
		n := copy(p, s.in)
		s.in = s.in[n:]
		return n, 0
	case s.broken != 0:
		return 0, s.tell(s.broken)
	case s.fin:
		return 0, 0
	default:
		return 0, unix.EAGAIN
	}
}

func (k *kernel) Peek(fd int, p []byte) (int, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "peek")
	s.peeks++
	switch {
	case len(s.in) > 0 || s.endless:
		return copy(p, append(s.in, '.')), 0
	case s.broken != 0:
		return 0, s.tell(s.broken)
	case s.fin:
		return 0, 0
	default:
		return 0, unix.EAGAIN
	}
}

func (k *kernel) RecvOOB(fd int, p []byte) (int, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "recvoob")
	switch {
	case s.oobErr != 0:
		return 0, s.oobErr
	case len(s.oob) == 0:
		return 0, unix.EINVAL
	}
	n := copy(p, s.oob)
	s.oob = s.oob[n:]
	return n, 0
}

func (k *kernel) Readable(fd int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "poll")
	return len(s.steps) == 0 && (len(s.in) > 0 || s.fin || s.broken != 0 || s.endless)
}

func (k *kernel) AtMark(fd int) (bool, sys.Errno) {
	k.mu.Lock()
	s := k.of(fd, "sockatmark")
	k.mu.Unlock()
	if s.hold != nil {
		s.hold()
	}
	return s.atMark, 0
}

// tell notes what the connection is told.
func (s *socket) tell(e sys.Errno) sys.Errno {
	s.dead = s.dead || e == unix.ECONNRESET
	return e
}

// take decides what a send of n bytes moves.
func (s *socket) take(n int) (int, sys.Errno) {
	if e := s.sendErr; e != 0 {
		s.sendErr = 0
		s.sends = append(s.sends, -1)
		return 0, s.tell(e)
	}
	n = min(n, s.room)
	if len(s.splits) > 0 {
		n = min(n, s.splits[0])
		s.splits = s.splits[1:]
	}
	if n == 0 {
		s.sends = append(s.sends, -1)
		return 0, unix.EAGAIN
	}
	if s.room != math.MaxInt {
		s.room -= n
	}
	s.sends = append(s.sends, n)
	return n, 0
}

func (k *kernel) Send(fd int, p []byte) (int, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "send")
	if len(p) == 0 || len(p) > sys.MaxIO {
		k.t.Errorf("send of %d bytes", len(p))
	}
	n, errno := s.take(len(p))
	s.out = append(s.out, p[:n]...)
	return n, errno
}

func (k *kernel) Sendv(fd int, v [][]byte) (int, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "sendv")
	total := 0
	for _, p := range v {
		total += len(p)
	}
	if len(v) == 0 || len(v) > sys.MaxVectors || total == 0 || total > sys.MaxIO {
		k.t.Errorf("sendv of %d pieces with %d bytes", len(v), total)
	}
	n, errno := s.take(total)
	for left := n; left > 0; v = v[1:] {
		p := v[0][:min(left, len(v[0]))]
		s.out = append(s.out, p...)
		left -= len(p)
	}
	return n, errno
}

func (k *kernel) SendOOB(fd int, p []byte) (int, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "sendoob")
	n, errno := s.take(len(p))
	if n > 0 {
		s.urgent = append(s.urgent, p[:n]...)
		s.out = append(s.out, '!') // where it was in the stream
	}
	return n, errno
}

func (k *kernel) ShutdownWrite(fd int) sys.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "shutdown")
	if s.finSent {
		k.t.Errorf("a second shutdown of descriptor %d", fd)
	}
	s.finSent = true
	k.log("shutdown %d", fd)
	return 0
}

func (k *kernel) SocketError(fd int) sys.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "SO_ERROR")
	e := s.soError
	s.soError = 0
	return s.tell(e)
}

func (k *kernel) SetLinger(fd int, on bool, seconds int) sys.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "SO_LINGER")
	s.linger = "off"
	if on {
		s.linger = fmt.Sprintf("on %d", seconds)
	}
	k.log("linger %d %s", fd, s.linger)
	return 0
}

func (k *kernel) Close(fd int) sys.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.open[fd] {
		k.t.Errorf("close of descriptor %d, which isn't open", fd)
		return unix.EBADF
	}
	if s := k.sockets[fd]; s != nil && !s.dead && s.linger != "off" && s.linger != "on 0" {
		k.t.Errorf("close of descriptor %d with linger %q: it may wait", fd, s.linger)
	}
	delete(k.open, fd)
	k.log("close %d", fd)
	return 0
}

func (k *kernel) Accept(int) (int, sys.Addr, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.accepts++
	switch {
	case k.stuck != 0:
		return -1, sys.Addr{}, k.stuck
	case k.short != 0 && k.open[k.spare]:
		return -1, sys.Addr{}, k.short
	case len(k.accept) > 0:
		e := k.accept[0]
		k.accept = k.accept[1:]
		if e != 0 {
			return -1, sys.Addr{}, e
		}
	}
	if len(k.backlog) == 0 {
		return -1, sys.Addr{}, unix.EAGAIN
	}
	s := k.backlog[0]
	k.backlog = k.backlog[1:]
	s.fd = k.newFD()
	k.sockets[s.fd] = s
	return s.fd, s.peer, 0
}

func (k *kernel) Socket(to sys.Addr, _ sys.Options) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.socketErr; e != nil {
		return -1, e
	}
	s := k.socket()
	s.fd, s.peer = k.newFD(), to
	k.sockets[s.fd] = s
	k.made = append(k.made, s)
	return s.fd, nil
}

func (k *kernel) Connect(fd int, to sys.Addr) sys.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "connect")
	k.log("connect %d %v", fd, to)
	e := unix.EINPROGRESS
	if len(k.connects) > 0 {
		e, k.connects = k.connects[0], k.connects[1:]
	}
	s.connecting = e != 0
	return e
}

func (k *kernel) Bind(sys.ListenSpec) (int, sys.Addr, error) {
	return -1, sys.Addr{}, errors.ErrUnsupported
}

func (k *kernel) Listen(int, int) sys.Errno { return unix.ENOSYS }

func (k *kernel) LocalAddr(fd int) (sys.Addr, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of(fd, "getsockname")
	return sys.Addr{Path: fmt.Sprintf("@local-%d", fd)}, 0
}

func (k *kernel) RemoteAddr(fd int) (sys.Addr, sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.of(fd, "getpeername")
	if s.connecting {
		return sys.Addr{}, unix.ENOTCONN
	}
	return s.peer, 0
}

func (k *kernel) PeerCredentials(fd int) (sys.Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of(fd, "SO_PEERCRED")
	return sys.Credentials{PID: fd}, nil
}

func (k *kernel) AcceptQueue(fd int) (length, limit int, errno sys.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.open[fd] {
		k.t.Errorf("the queue of descriptor %d, which isn't open", fd)
	}
	return len(k.backlog), 9, 0
}

func (k *kernel) Reserve() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reserve++
	k.spare = k.newFD()
	return k.spare, nil
}

// leaked is the descriptors that are still open.
func (k *kernel) leaked() (fds []int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for fd := range k.open {
		fds = append(fds, fd)
	}
	slices.Sort(fds)
	return fds
}

// ended is the calls about s, in order and without its number.
func (k *kernel) ended(s *socket) (calls []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	number := fmt.Sprintf(" %d", s.fd)
	for _, call := range k.calls {
		if strings.Contains(call+" ", number+" ") {
			calls = append(calls, strings.Replace(call, number, "", 1))
		}
	}
	return calls
}
