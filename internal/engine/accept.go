package engine

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/reactor"
	"golang.org/x/sys/unix"
)

// AcceptPolicy is whom an Acceptor works for. It's called on the acceptor's loop and
// must not block.
type AcceptPolicy interface {
	// Admit takes a place for one connection. After false the acceptor takes
	// nothing more until Resume.
	Admit() bool
	// Offer tells who has come into the place. One that isn't wanted is reset, and
	// Cancel follows; one that is has owner with it from its beginning.
	Offer(peer Addr) (owner any, wanted bool)
	// Placed: a connection has taken the place.
	Placed()
	// Cancel gives a place back that no connection took.
	Cancel()
	// AcceptFailed tells of a failure; after a fatal one the acceptor is closed.
	AcceptFailed(err error, fatal bool)
	// Ended: the acceptor has closed its descriptor. The last call.
	Ended()
}

// Acceptor takes connections off a listening descriptor and brings them to their
// loops. No failure makes it spin, and none but a broken descriptor ends it.
type Acceptor struct {
	// Immutable.
	env    *Env
	policy AcceptPolicy
	r      *reactor.Reactor
	spread bool // connections are placed on all loops; otherwise they stay on r

	// The loop's own; fd changes under the lock, for those who ask for its queue.
	mu      lock.Mutex
	fd      int // −1 once closed
	reserve int // a descriptor to give up when there are no others; −1: none
	backoff time.Duration
	failed  int // per-connection failures in a row
	timer   reactor.Timer
	link    reactor.Link

	posted atomic.Bool
	paused atomic.Bool
	closed chan struct{}
}

const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
	// acceptsPerTurn bounds what one dispatch accepts.
	acceptsPerTurn = 64
	// failuresInARow is how many connections in a row may fail on their own
	// account before that's taken for a failure of the acceptor.
	failuresInARow = 16
)

// NewAcceptor takes fd over and starts accepting on r's loop.
func NewAcceptor(env *Env, policy AcceptPolicy, r *reactor.Reactor, fd int, spread bool) (*Acceptor, error) {
	a := &Acceptor{env: env, policy: policy, r: r, spread: spread, fd: fd, reserve: -1, closed: make(chan struct{})}
	a.timer.Target = a
	if reserve, err := r.Kernel().Reserve(); err == nil {
		a.reserve = reserve
	}
	if err := r.PostFunc(a.open); err != nil {
		r.Kernel().Close(fd)
		if a.reserve >= 0 {
			r.Kernel().Close(a.reserve)
		}
		return nil, err
	}
	return a, nil
}

func (a *Acceptor) open() {
	if err := a.r.RegisterListener(a.fd, a); err != nil {
		a.policy.AcceptFailed(fmt.Errorf("register the listener: %w", err), true)
		a.close()
		return
	}
	a.accept()
}

// Resume has it accept again after Admit refused. Any goroutine may call it.
func (a *Acceptor) Resume() {
	if a.posted.CompareAndSwap(false, true) && a.r.Post(a) != nil {
		a.posted.Store(false)
	}
}

// Pause has it accept nothing more, or go on. Connections wait in the kernel's queue
// meanwhile. Any goroutine may call it; what's being accepted still comes.
func (a *Acceptor) Pause(paused bool) {
	a.paused.Store(paused)
	if !paused {
		a.Resume()
	}
}

// Close ends it; the channel is closed when the descriptor is. (If the loop has ended,
// that was before.)
func (a *Acceptor) Close() <-chan struct{} {
	_ = a.r.PostFunc(a.close)
	return a.closed
}

func (a *Acceptor) close() {
	if a.fd < 0 {
		return
	}
	a.r.Deregister(a.fd)
	a.mu.Lock()
	a.r.Kernel().Close(a.fd)
	a.fd = -1
	a.mu.Unlock()
	a.r.Disarm(&a.timer)
	if a.reserve >= 0 {
		a.r.Kernel().Close(a.reserve)
		a.reserve = -1
	}
	close(a.closed)
	a.policy.Ended()
}

// Queue tells how many connections wait to be accepted, and how many may: of a TCP socket,
// where the system tells, until the acceptor is closed. Any goroutine may call it.
func (a *Acceptor) Queue() (length, limit int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return 0, 0, false
	}
	length, limit, errno := a.r.Kernel().AcceptQueue(a.fd)
	return length, limit, errno == 0
}

// Origin is the name of the listener.
func (a *Acceptor) Origin() string { return a.env.Origin }

// OnEvent implements reactor.Handler.
func (a *Acceptor) OnEvent(reactor.Events) { a.accept() }

// OnTimer implements reactor.TimerTarget: the back-off is over.
func (a *Acceptor) OnTimer(*reactor.Timer) { a.accept() }

// RunTask implements reactor.Task.
func (a *Acceptor) RunTask() {
	a.posted.Store(false)
	a.accept()
}

// TaskLink implements reactor.Task.
func (a *Acceptor) TaskLink() *reactor.Link { return &a.link }

// OnStop implements reactor.Handler.
func (a *Acceptor) OnStop() { a.close() }

// OnPanic implements reactor.Handler; no user code runs on an acceptor's behalf.
func (a *Acceptor) OnPanic(value any, stack []byte) {
	panic(fmt.Sprintf("sluice: a bug in the acceptor: %v\n%s", value, stack))
}

func (a *Acceptor) accept() {
	if a.fd < 0 || a.timer.Armed() {
		return
	}
	defer a.env.shards[a.r.Index()].publish()
	for range acceptsPerTurn {
		if a.paused.Load() || !a.policy.Admit() {
			return
		}
		fd, peer, errno := a.r.Kernel().Accept(a.fd)
		if errno != 0 {
			a.policy.Cancel()
			if !a.goOn(errno) {
				return
			}
			continue
		}
		a.failed, a.backoff = 0, 0
		a.offer(fd, peer)
		if a.fd < 0 {
			return
		}
	}
	a.Resume()
}

// goOn sorts a failure: one connection's, the descriptor's, or one to wait out.
func (a *Acceptor) goOn(errno unix.Errno) bool {
	switch errno {
	case unix.EAGAIN:
		return false
	case unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EOPNOTSUPP:
		a.env.shards[a.r.Index()].countAcceptError(errno)
		a.policy.AcceptFailed(errno, true)
		a.close()
		return false
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		a.report(errno)
		a.wait(errno)
		return false
	default:
		// The connection that was next has failed (ECONNABORTED, EPERM by a
		// firewall, a network error it inherited); the next may be fine.
		a.report(errno)
		if a.failed++; a.failed < failuresInARow {
			return true
		}
		a.wait(errno)
		return false
	}
}

func (a *Acceptor) report(errno unix.Errno) {
	a.env.shards[a.r.Index()].countAcceptError(errno)
	a.policy.AcceptFailed(errno, false)
}

// wait backs off. Connections stay in the kernel's queue meanwhile; once the shortage
// has lasted, the oldest is refused with the reserve descriptor, once per wait, so
// that its client needn't wait for ever.
func (a *Acceptor) wait(errno unix.Errno) {
	if a.backoff == maxBackoff && (errno == unix.EMFILE || errno == unix.ENFILE) {
		a.shed()
	}
	a.backoff = min(max(2*a.backoff, minBackoff), maxBackoff)
	a.r.Arm(&a.timer, a.backoff)
}

func (a *Acceptor) shed() {
	if a.reserve < 0 {
		return
	}
	k := a.r.Kernel()
	k.Close(a.reserve)
	a.reserve = -1
	if fd, _, errno := k.Accept(a.fd); errno == 0 {
		a.refuse(fd, CountShed)
	}
	if reserve, err := k.Reserve(); err == nil {
		a.reserve = reserve
	}
}

// refuse resets a connection, at once: its client is told, and nothing of it stays.
func (a *Acceptor) refuse(fd int, as Counter) {
	k := a.r.Kernel()
	k.SetLinger(fd, true, 0)
	k.Close(fd)
	a.env.shards[a.r.Index()].add(as, 1)
}

func (a *Acceptor) offer(fd int, peer Addr) {
	owner, wanted := a.policy.Offer(peer)
	if !wanted {
		a.refuse(fd, CountUnwanted)
		a.policy.Cancel()
		return
	}
	a.place(fd, peer, owner)
}

// place brings a connection to its loop, where it begins its life.
func (a *Acceptor) place(fd int, peer Addr, owner any) {
	to := a.r
	if a.spread {
		to = a.r.Group().Place()
	} else {
		to.AddLoad(1)
	}
	c := newAccepted(a.env.shards[to.Index()], fd, peer, owner)
	a.policy.Placed() // now: it may have left again when Post returns
	if to != a.r {
		if to.Post(c) == nil {
			return
		}
		// That loop has ended, and ours is about to. Whoever was promised the connection
		// hears of both, its beginning and its end.
		to.AddLoad(-1)
		a.r.AddLoad(1)
		c = newAccepted(a.env.shards[a.r.Index()], fd, peer, owner)
	}
	a.r.Call(c)
}
