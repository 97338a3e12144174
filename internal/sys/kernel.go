package sys

import (
	"syscall"
	"time"
)

// Errno is a kernel error number; 0 means success.
type Errno = syscall.Errno

// MaxIO bounds the bytes that one call moves, so that a raw call stays short.
const MaxIO = 256 << 10

// MaxVectors bounds the pieces that one Sendv gathers.
const MaxVectors = 64

// Kernel is what the framework asks of the operating system about sockets.
//
// The data calls take non-empty slices, never block, and return EAGAIN when
// nothing can be moved now. A count of 0 with errno 0 from Recv or Peek is the end
// of the stream.
type Kernel interface {
	// Recv receives into p. A result below len(p) may mean drained, or that an
	// out-of-band mark or ancillary data cut it short.
	Recv(fd int, p []byte) (int, Errno)
	// Peek receives into p and leaves the bytes in the socket.
	Peek(fd int, p []byte) (int, Errno)
	// RecvOOB receives the out-of-band byte: EINVAL when there is none, EAGAIN
	// when it is announced but has not come yet.
	RecvOOB(fd int, p []byte) (int, Errno)
	// Readable reports whether Recv has something to give (poll). Where an
	// out-of-band mark is next, Recv's EAGAIN may be about a pending signal and
	// not about the data.
	Readable(fd int) bool
	// AtMark reports whether the next byte of Recv is the one after the
	// out-of-band mark.
	AtMark(fd int) (bool, Errno)

	// Send sends a prefix of p and returns its length.
	Send(fd int, p []byte) (int, Errno)
	// Sendv sends a prefix of the pieces' concatenation and returns its length.
	// No more than MaxVectors pieces are looked at.
	Sendv(fd int, v [][]byte) (int, Errno)
	// SendOOB sends p; its last byte is the out-of-band one.
	SendOOB(fd int, p []byte) (int, Errno)

	// ShutdownWrite sends FIN behind what was sent.
	ShutdownWrite(fd int) Errno
	// SocketError returns SO_ERROR, which reading clears.
	SocketError(fd int) Errno
	// SetLinger sets SO_LINGER; seconds is ignored when on is false.
	SetLinger(fd int, on bool, seconds int) Errno
	// Close closes the descriptor. It is not retried: the descriptor is gone
	// whatever the result.
	Close(fd int) Errno

	// Accept takes the next connection of a listening socket: non-blocking,
	// close-on-exec, with the peer's address.
	Accept(fd int) (int, Addr, Errno)
	// AcceptQueue tells how many connections wait in a listening TCP socket to be
	// accepted, and how many may; it fails for other sockets, and where the system
	// doesn't tell.
	AcceptQueue(fd int) (length, limit int, errno Errno)
	// Socket makes a socket for an outgoing connection to an address of the kind.
	Socket(to Addr, o Options) (int, error)
	// Connect begins to connect: EINPROGRESS when the end isn't known yet, EAGAIN
	// when a Unix-domain listener's queue is full.
	Connect(fd int, to Addr) Errno
	// Bind makes a socket that is bound to an address, and returns the one it has.
	Bind(ListenSpec) (int, Addr, error)
	// Listen has a bound socket listen; a backlog of 0 is the system's maximum.
	Listen(fd, backlog int) Errno
	// LocalAddr is getsockname.
	LocalAddr(fd int) (Addr, Errno)
	// RemoteAddr is getpeername.
	RemoteAddr(fd int) (Addr, Errno)
	// PeerCredentials tells who is at the other end of a Unix-domain socket.
	PeerCredentials(fd int) (Credentials, error)

	// Reserve opens a descriptor that does nothing but hold a place, so that a
	// process at its descriptor limit can give the place up for a moment.
	Reserve() (int, error)
}

// Credentials of the process at the other end of a Unix-domain socket, at the
// time of its connect. PID is 0 where the system doesn't tell (FreeBSD, macOS).
type Credentials struct {
	PID int
	UID uint32
	GID uint32
}

// ListenSpec says which socket Bind and ListenOn make.
type ListenSpec struct {
	Addr      Addr // AddrPort for TCP; Path for a Unix-domain socket
	DualStack bool // an IPv6 wildcard that takes IPv4 as well (V6ONLY off)
	Backlog   int  // 0: the system's maximum
	ReusePort bool // several sockets on one address, spread by the kernel
	Mode      uint32
	Options   Options
}

// Options are set on the listening socket; accepted sockets inherit them, which
// costs no call per connection. The zero value is a good default.
type Options struct {
	Nagle             bool          // leave TCP_NODELAY off
	KeepAlive         time.Duration // TCP idle time before probes; 0: 15 s, negative: no keep-alive
	KeepAliveInterval time.Duration // between probes; 0: 15 s
	KeepAliveCount    int           // unanswered probes before the connection is lost; 0: 9
	Linger            time.Duration // SO_LINGER of the accepted sockets; 0: off
	SendBuffer        int           // SO_SNDBUF in bytes; 0: the system's auto-tuning
	ReceiveBuffer     int           // SO_RCVBUF in bytes; 0: the system's auto-tuning
	UserTimeout       time.Duration // TCP_USER_TIMEOUT (Linux); 0: the system's
}

// OS is the operating system itself.
type OS struct{}

var _ Kernel = (*OS)(nil)
