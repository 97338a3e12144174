package conn

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/socketfile"
	"github.com/sluice-net/sluice/internal/sys"
)

// Bind implements Socket.
func (s *socket) Bind(localAddr string, localPort uint16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.wantLocked(roleNone); err != nil {
		return err
	}
	at, err := s.kind.local(localAddr, localPort, s.ipv6)
	if err != nil {
		return s.endLocked(ShutdownAddressInvalid, err)
	}
	fd, bound, err := s.bind(at)
	var call *os.SyscallError
	switch {
	case errors.As(err, &call) && call.Syscall == "socket":
		return s.endLocked(ShutdownOpenFailed, err)
	case err != nil:
		return s.endLocked(ShutdownBindFailed, err)
	}
	s.becomeLocked(roleBound)
	s.fd, s.file = fd, socketfile.Opened(bound.Path)
	addr, port := parts(bound)
	if s.r.PostFunc(func() { s.called().SocketBindResult(s, addr, port) }) != nil {
		return s.endLocked(ShutdownLost, nil)
	}
	return nil
}

func (s *socket) bind(at Addr) (int, Addr, error) {
	if at.IsUnix() {
		stale, err := socketfile.Clear(at.Path)
		if err != nil {
			return -1, Addr{}, err
		}
		if stale { // a log handler is user code: not under the lock
			_ = s.r.PostFunc(func() {
				s.log(slog.LevelWarn, "removing a stale socket file: no server answers on it", "path", at.Path)
			})
		}
	}
	return s.r.Kernel().Bind(sys.ListenSpec{Addr: at, Mode: uint32(s.mode.Perm())})
}

// endLocked ends a socket that the loops don't know of, and has its user told.
func (s *socket) endLocked(reason ShutdownReason, err error) error {
	if s.role == roleBound {
		s.r.Kernel().Close(s.fd)
		s.file.Remove()
	}
	s.becomeLocked(roleClosed)
	s.causeLocked(reason, err)
	if s.r.PostFunc(s.tellShutdown) != nil {
		s.env.Unshare()
		return ErrClosed // the loops have ended: nobody is told
	}
	return nil
}

// causeLocked records why it has ended.
func (s *socket) causeLocked(reason ShutdownReason, err error) {
	s.reason = reason
	if err != nil {
		s.err = &Error{Op: reason.String(), ID: s.id, Err: err}
	}
}

// tellShutdown makes the last call, on the loop.
func (s *socket) tellShutdown() {
	s.mu.Lock()
	s.over = true
	reason, err := s.reason, s.err
	s.mu.Unlock()
	defer s.env.Unshare()
	if err != nil {
		s.log(slog.LevelWarn, "a socket has failed", "reason", reason.String(), "error", err)
	}
	s.called().SocketShutdown(s, reason)
}

// Listen implements Socket.
func (s *socket) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.wantLocked(roleBound); err != nil {
		return err
	}
	if errno := s.r.Kernel().Listen(s.fd, 0); errno != 0 {
		return s.endLocked(ShutdownListenFailed, os.NewSyscallError("listen", errno))
	}
	s.becomeLocked(roleListening)
	s.reason = ShutdownLost // if the loops end
	a, err := engine.NewAcceptor(s.env, (*listening)(s), s.r, s.fd, true)
	if err != nil { // they have
		s.becomeLocked(roleClosed)
		s.file.Remove()
		s.env.Unshare()
		return ErrClosed
	}
	s.acceptor = a
	return nil
}

// offer is a connection that SocketListenResult tells of.
type offer struct {
	answered bool
	user     User // nil: denied
}

// Accept implements Socket.
func (s *socket) Accept(u User) error {
	if !s.r.OnLoop() || s.offer == nil || s.offer.answered {
		return ErrMode
	}
	*s.offer = offer{true, u}
	return nil
}

// listening is a socket as its acceptor sees it.
type listening socket

// Admit implements engine.AcceptPolicy.
func (l *listening) Admit() bool {
	s := (*socket)(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.role == roleListening
}

// Offer implements engine.AcceptPolicy.
func (l *listening) Offer(peer Addr) (owner any, wanted bool) {
	s := (*socket)(l)
	addr, port := parts(peer)
	s.offer = &offer{}
	returned := s.guard(func() { s.called().SocketListenResult(s, addr, port) })
	u := s.offer.user
	s.offer = nil
	if u == nil || !returned {
		return nil, false
	}
	s.env.Share()
	n := &socket{kind: s.kind, env: s.env, r: s.r, role: roleClient, connected: true}
	n.refs.Store(1)
	n.user.Store(&u)
	return n, true
}

// guard calls a user, and reports whether he has returned. A panic is not the acceptor's.
func (s *socket) guard(call func()) (returned bool) {
	defer func() {
		if v := recover(); v != nil {
			s.log(slog.LevelError, "a callback panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	call()
	return true
}

// Placed implements engine.AcceptPolicy.
func (l *listening) Placed() {}

// Cancel implements engine.AcceptPolicy.
func (l *listening) Cancel() {}

// AcceptFailed implements engine.AcceptPolicy: no failure that passes ends the socket. It may
// come in any number, so there's one line a second about it.
func (l *listening) AcceptFailed(err error, fatal bool) {
	s := (*socket)(l)
	if !fatal {
		if now := s.r.Now(); s.warned == 0 || now-s.warned >= time.Second {
			s.warned = now
			s.log(slog.LevelWarn, "accept failed", "error", err)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.role == roleListening {
		s.becomeLocked(roleClosed)
		s.causeLocked(ShutdownAcceptFailed, err)
	}
}

// Ended implements engine.AcceptPolicy.
func (l *listening) Ended() {
	s := (*socket)(l)
	s.mu.Lock()
	switch s.role {
	case roleListening: // the loops end
		s.becomeLocked(roleClosed)
	case roleClosed:
		if s.err == nil {
			s.reason = ShutdownNormal // Shutdown
		}
	case roleNone, roleClient, roleBound:
	}
	s.mu.Unlock()
	s.file.Remove()
	s.guard(s.tellShutdown)
}
