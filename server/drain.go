package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

// ShutdownError tells what a Shutdown had to leave behind.
type ShutdownError struct {
	Aborted int // connections that were open when the time was over
	Held    int // closed, but with a reference that nobody has released
}

func (e *ShutdownError) Error() string {
	return fmt.Sprintf("server: shut down with %d connections aborted and %d still referenced", e.Aborted, e.Held)
}

// The drain's course.
const (
	drainLook   = 250 * time.Millisecond // between looks at the connections, at most
	drainLooks  = 64                     // looks there are at least
	drainQuiet  = time.Second            // without a byte until a connection counts as quiet
	evictFrom   = 0.75                   // of the time: from here on the rest are shut down …
	evictWithin = 0.15                   // … evenly over this part of it
	abortGrace  = 2 * time.Second        // for callbacks to return after the abort
	heldGrace   = 100 * time.Millisecond // for references to be released
)

// Shutdown stops accepting and drains: connections are served on; those without
// traffic for a second are shut down, unless the program holds one without a read pending,
// because then the answer is the program's to give; near the end of ctx's time (or, without one, of
// Config.DrainTimeout) the rest are shut down a few at a time; when ctx ends, what's
// left is aborted. It returns a *ShutdownError if anything was, or is still referenced,
// and conn.ErrOnLoop inside a callback. Calls after the first return conn.ErrMode.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.state() == serverNew {
		return conn.ErrMode
	}
	if s.mux.Group.OnLoop() || s.control.here() {
		return conn.ErrOnLoop
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.state() != serverRunning {
		return conn.ErrMode
	}
	s.become(serverDraining)
	s.draining.become(DrainGrace)
	s.stopDialing()

	cb := s.config.Callback
	s.control.post(cb.OnShutdownInitiated)
	closing, cancel := withGrace(ctx)
	defer cancel()
	for _, e := range s.endpoints {
		e.close(closing)
	}
	s.stopAccepting()

	aborted := s.drain(ctx)
	if aborted > 0 {
		s.control.post(func() { cb.OnAllConnectionsAborted(aborted) })
	}
	err := s.stopLoops()
	s.unheard()
	s.become(serverStopped)
	finishing, cancel := withGrace(ctx)
	defer cancel()
	select {
	case <-s.control.finish(cb.OnShutdownComplete):
	case <-finishing.Done():
		err = errors.Join(err, errors.New("server: a server callback hasn't returned"))
	}

	held := s.awaitFreed()
	if aborted > 0 || held > 0 {
		err = errors.Join(&ShutdownError{Aborted: aborted, Held: held}, err)
	}
	return err
}

// stopAccepting tells of it, unless that was done.
func (s *Server) stopAccepting() {
	s.pausing.Lock()
	defer s.pausing.Unlock()
	if !s.paused {
		s.paused = true
		s.control.post(s.config.Callback.OnStopAcceptingConnections)
	}
}

// withGrace ends abortGrace after ctx.
func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	graced, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(abortGrace, cancel) })
	return graced, func() {
		stop()
		cancel()
	}
}

// drain waits for the connections to end, helps them to, and returns how many it had
// to abort.
func (s *Server) drain(ctx context.Context) (aborted int) {
	defer s.draining.become(DrainOver)
	begun := time.Now()
	total := s.config.DrainTimeout
	if deadline, ok := ctx.Deadline(); ok {
		total = time.Until(deadline)
	}
	interval := drainLook
	if total > 0 {
		interval = max(min(total/drainLooks, drainLook), drainLook/16)
	}
	look := time.NewTicker(interval)
	defer look.Stop()
	evict := eviction{quiet: int((drainQuiet + interval - 1) / interval)}
	for s.places.any() {
		select {
		case <-s.places.empty:
		case <-look.C:
			evict.look(s, progress(time.Since(begun), total))
		case <-ctx.Done():
			s.draining.become(DrainAborting)
			for _, e := range s.listeners() {
				e.env.Refuse.Store(true) // who is on his way to his loop comes too late
			}
			aborted = s.abortAll(conn.ReasonDrainAbort, context.Cause(ctx))
			s.draining.aborted(aborted)
			s.awaitEmpty()
			return aborted
		}
	}
	return 0
}

// progress is the part of the time that has passed; 0 if it's unlimited.
func progress(passed, total time.Duration) float64 {
	if total <= 0 {
		return 0
	}
	return float64(passed) / float64(total)
}

// eviction shuts connections down in the course of a drain.
type eviction struct {
	quiet   int // looks without a byte until a connection counts as quiet
	total   int // connections when evicting began
	evicted int
}

func (v *eviction) look(s *Server, progress float64) {
	allowed, silent, before := 0, 0, v.evicted
	if progress >= evictFrom {
		if s.draining.phase() == DrainGrace {
			s.draining.become(DrainEvicting)
		}
		if v.total == 0 {
			v.total = s.places.open()
		}
		part := min((progress-evictFrom)/evictWithin, 1)
		allowed = int(math.Ceil(part*float64(v.total))) - v.evicted
	}
	for c := range s.Connections() {
		e := (*engine.Conn)(c)
		if c.State() == conn.Draining {
			continue
		}
		quiet := e.Quiet() >= v.quiet
		if !quiet && allowed <= 0 {
			continue
		}
		switch {
		case e.ShutdownFor(conn.ReasonDrain) != nil: // it has ended by itself
		case quiet:
			silent++
		default:
			allowed--
			v.evicted++
		}
	}
	s.draining.shutDown(silent, v.evicted-before)
}

// awaitEmpty waits for aborted connections to end, which takes their loops a moment,
// or for ever if a callback doesn't return.
func (s *Server) awaitEmpty() {
	grace := time.NewTimer(abortGrace)
	defer grace.Stop()
	for s.places.any() {
		select {
		case <-s.places.empty:
		case <-grace.C:
			return
		}
	}
}

// awaitFreed gives those a moment who are about to release a connection (whoever
// iterates over them holds one), and returns how many are still held.
func (s *Server) awaitFreed() int {
	grace := time.NewTimer(heldGrace)
	defer grace.Stop()
	for s.held.Load() > 0 {
		select {
		case <-s.freed:
		case <-grace.C:
			return int(s.held.Load())
		}
	}
	return 0
}

// stopLoops waits until the last callbacks have returned: by ending the loops, if
// they're ours, or by passing through each of them.
func (s *Server) stopLoops() error {
	done := make(chan error, 1)
	s.mux.Group.Spawn(func() {
		if s.ownMux {
			done <- s.mux.Terminate()
			return
		}
		s.passLoops()
		done <- nil
	})
	grace := time.NewTimer(abortGrace)
	defer grace.Stop()
	select {
	case err := <-done:
		return err
	case <-grace.C:
		return errors.New("server: a callback hasn't returned; its event loop is left behind")
	}
}

func (s *Server) passLoops() {
	for _, r := range s.mux.Group.Reactors() {
		passed := make(chan struct{})
		if r.PostFunc(func() { close(passed) }) == nil {
			<-passed
		}
	}
}
