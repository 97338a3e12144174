package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/lock"
)

// Server accepts connections and calls back. It runs once: New, Start, Shutdown.
type Server struct {
	// Immutable after New.
	config    Config
	log       *slog.Logger
	allocator *buffers.Allocator
	control   *control

	// Set by Start.
	mux       *engine.Mux
	ownMux    bool
	endpoints []*endpoint
	outgoing  *endpoint
	nextLoop  int
	unheard   func() // ends the Mux's reports of errors

	// changing is held while Start or Shutdown change what's above. Callbacks may
	// come meanwhile, so they never wait for it.
	changing lock.Mutex

	places   *places
	draining draining

	pausing lock.Mutex // orders StopAcceptingConnections, Start… and Shutdown
	paused  bool       // guarded by pausing

	dialing     context.Context // ends when Shutdown begins
	stopDialing context.CancelFunc

	phase  atomic.Uint32 // serverState
	held   atomic.Int64  // closed and not released
	freed  chan struct{} // signalled when held falls to 0
	live   atomic.Pointer[[]*endpoint]
	accept atomic.Pointer[[]*engine.Acceptor]
}

type serverState uint32

const (
	serverNew serverState = iota
	serverRunning
	serverDraining
	serverStopped
)

func (s serverState) String() string {
	switch s {
	case serverNew:
		return "new"
	case serverRunning:
		return "running"
	case serverDraining:
		return "draining"
	case serverStopped:
		return "stopped"
	default:
		return "unknown"
	}
}

func (s *Server) state() serverState { return serverState(s.phase.Load()) }

// become moves to a later state, under changing.
func (s *Server) become(next serverState) {
	if next <= s.state() {
		panic(fmt.Sprintf("sluice: server: illegal move from %v to %v", s.state(), next))
	}
	s.phase.Store(uint32(next))
}

// New checks the configuration. It opens nothing.
func New(c Config) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	log := engine.ShieldLogger(c.Logger)
	if c.Name != "" {
		log = log.With("server", c.Name)
	}
	s := &Server{config: c, log: log, allocator: c.Allocator, control: newControl(log), places: newPlaces(c.MaxConnections), freed: make(chan struct{}, 1)}
	if s.allocator == nil {
		s.allocator = buffers.New(buffers.Config{Debug: c.Debug})
	}
	return s, nil
}

// Start binds every listener, or none, and starts accepting. conn.ErrMode if it was
// called before.
func (s *Server) Start() error {
	if s.state() != serverNew {
		return conn.ErrMode
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.state() != serverNew {
		return conn.ErrMode
	}
	if err := s.start(); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

func (s *Server) start() error {
	if s.config.Slots != nil {
		s.config.Slots.Freeze()
	}
	if err := s.startMux(); err != nil {
		return err
	}
	group := s.mux.Group
	kernel := group.Reactors()[0].Kernel()
	for _, l := range s.config.Listeners {
		e := newEndpoint(s, l)
		if err := e.listen(kernel, len(group.Reactors())); err != nil {
			return errors.Join(err, s.undoStart())
		}
		e.prepare(s.mux)
		s.endpoints = append(s.endpoints, e)
	}
	s.outgoing = newOutgoing(s)
	s.dialing, s.stopDialing = context.WithCancel(context.Background())
	endpoints := append(slices.Clone(s.endpoints), s.outgoing)
	s.live.Store(&endpoints)
	s.become(serverRunning)
	group.Spawn(s.control.run)
	s.unheard = s.mux.OnError(func(message string, err error) {
		s.control.post(func() { s.config.Callback.OnError(message, err) })
	})
	s.control.post(s.config.Callback.OnStartAcceptingConnections)
	var all []*engine.Acceptor
	for _, e := range s.endpoints {
		if err := e.open(); err != nil {
			return errors.Join(err, s.abandon())
		}
		e.accepting.Store(&e.accept)
		all = append(all, e.accept...)
	}
	s.accept.Store(&all)
	s.resumeAccepting() // who was refused a place before that
	return nil
}

// startMux starts the loops, if they're the server's own or nobody has yet.
func (s *Server) startMux() error {
	s.mux = (*engine.Mux)(s.config.Mux)
	if s.mux == nil {
		own, err := engine.NewMux(engine.MuxConfig{Logger: s.log})
		if err != nil {
			return err
		}
		s.mux, s.ownMux = own, true
	}
	if err := s.mux.Start(); err != nil && !errors.Is(err, conn.ErrMode) {
		return err
	}
	return nil
}

// undoStart gives back what listening took; the server can be started again.
func (s *Server) undoStart() error {
	kernel := s.mux.Group.Reactors()[0].Kernel()
	for _, e := range s.endpoints {
		e.closeSockets(kernel)
	}
	s.endpoints = nil
	if s.ownMux {
		return s.mux.Terminate()
	}
	return nil
}

// abandon ends a server that couldn't start accepting, because its Mux has ended.
func (s *Server) abandon() error {
	for _, e := range s.endpoints {
		e.close(context.Background())
	}
	s.stopDialing()
	s.unheard()
	s.become(serverStopped)
	<-s.control.finish(s.config.Callback.OnShutdownComplete)
	return s.undoStart()
}

// Run starts the server, waits until ctx ends (or an event loop fails, which is an
// error), and shuts it down within Config.DrainTimeout.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(); err != nil {
		return err
	}
	var failed error
	select {
	case <-ctx.Done():
	case <-s.mux.Failed():
		failed = errors.New("server: an event loop has failed; see the log")
	}
	drain, cancel := context.Background(), context.CancelFunc(func() {})
	if s.config.DrainTimeout > 0 {
		drain, cancel = context.WithTimeout(drain, s.config.DrainTimeout)
	}
	defer cancel()
	return errors.Join(failed, s.Shutdown(drain))
}

// Addrs are the addresses actually bound, by the listeners' names. It's empty before
// Start.
func (s *Server) Addrs() map[string][]conn.Addr {
	all := map[string][]conn.Addr{}
	for _, e := range s.listeners() {
		if e == s.outgoing {
			continue
		}
		all[e.l.Name] = append([]conn.Addr(nil), e.bound...)
	}
	return all
}

// Ready reports whether the server serves: it's running, not draining, and all its event
// loops turn.
func (s *Server) Ready() bool {
	if s.state() != serverRunning {
		return false
	}
	select {
	case <-s.mux.Failed():
		return false
	default:
		return true
	}
}

// Connections yields the open connections, loop by loop. Each is held by a reference
// while the body has it, and no lock is. Connections that come meanwhile may be missed.
func (s *Server) Connections() iter.Seq[*conn.Stream] {
	return func(yield func(*conn.Stream) bool) {
		for _, e := range s.listeners() {
			for c := range e.env.Connections() {
				if !yield((*conn.Stream)(c)) {
					return
				}
			}
		}
	}
}

// StopAcceptingConnections has the server accept nothing more; connections wait in the
// kernel's queue. OnStopAcceptingConnections follows, and connections that were being
// accepted may. A second call changes nothing. conn.ErrMode before Start, conn.ErrClosed
// from Shutdown on. Any goroutine may call it, in callbacks, too.
func (s *Server) StopAcceptingConnections() error { return s.pause(true) }

// StartAcceptingConnections has the server accept again, beginning with those who have
// waited. OnStartAcceptingConnections follows. The rest is as with
// StopAcceptingConnections.
func (s *Server) StartAcceptingConnections() error { return s.pause(false) }

func (s *Server) pause(paused bool) error {
	s.pausing.Lock()
	defer s.pausing.Unlock()
	all := s.accept.Load()
	switch {
	case s.state() == serverNew || s.state() == serverRunning && all == nil:
		return conn.ErrMode
	case s.state() != serverRunning:
		return conn.ErrClosed
	case s.paused == paused:
		return nil
	}
	s.paused = paused
	if paused {
		s.control.post(s.config.Callback.OnStopAcceptingConnections)
	} else {
		s.control.post(s.config.Callback.OnStartAcceptingConnections)
	}
	for _, a := range *all {
		a.Pause(paused)
	}
	return nil
}

// listeners are the endpoints once they have started.
func (s *Server) listeners() []*endpoint {
	if live := s.live.Load(); live != nil {
		return *live
	}
	return nil
}

// AbortAllConnections resets every connection, and returns how many it were.
// OnAllConnectionsAborted follows.
func (s *Server) AbortAllConnections() int {
	n := s.abortAll(conn.ReasonLocalAbort, nil)
	s.control.post(func() { s.config.Callback.OnAllConnectionsAborted(n) })
	return n
}

func (s *Server) abortAll(r conn.Reason, cause error) (n int) {
	for c := range s.Connections() {
		(*engine.Conn)(c).AbortFor(r, cause)
		n++
	}
	return n
}

// resumeAccepting has all acceptors look again, because there's a place.
func (s *Server) resumeAccepting() {
	for _, e := range s.listeners() {
		e.resumeAccepting()
	}
}
