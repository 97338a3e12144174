package server

import (
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// Stats are a server's counters. They only grow, but for the limits and those that say so;
// they're exact once all is quiet.
type Stats struct {
	State     string // new, running, draining, stopped
	Open      int    // connections open now
	Held      int    // now: closed, but referenced
	Limit     int    // Config.MaxConnections; 0: none
	Drain     DrainStats
	Listeners map[string]ListenerStats
	Reactors  []ReactorStats
	Panics    uint64 // callbacks that panicked, on these loops
	Slow      uint64 // callbacks that the watchdog reported, on these loops
	Buffers   buffers.Stats
}

// ListenerStats are the counters of one listener's connections. Those that were connected
// to others are those of listener "outgoing".
type ListenerStats struct {
	Transport     string               // "tcp" or "unix", or "tls" with Listener.TLS; "" of outgoing
	Open          int                  // connections open now
	Limit         int                  // Listener.MaxConnections; 0: none
	Accepted      uint64               // connections that began their life; outgoing ones, before they try to connect
	Rejected      map[Rejection]uint64 // accepted by the kernel and refused; every Rejection is in it
	AcceptErrors  uint64
	AcceptErrnos  map[string]uint64 // the same by errno, EMFILE say; the rare ones are "other"
	Closed        map[conn.Reason]uint64
	ReceivedBytes uint64 // the application's
	SentBytes     uint64 // the application's
	Reads         uint64 // completed
	Writes        uint64 // calls that sent something
	Panics        uint64

	// Now.
	Handshaking   int   // connections that aren't established yet
	Established   int   // … that are
	Draining      int   // … that are shut down, and not closed yet
	Blocked       int   // … whose output rose above Flow.High, and isn't down at Flow.Low again
	BufferedBytes int64 // output that isn't sent yet
	Queue         AcceptQueue

	TLS *TLSStats // of listeners with TLS, of outgoing, and of those of upgrades, once there was one; nil: of none

	Lives Durations // of connections that were established, from then to their close
	Calls Durations // of callbacks: a sample, one in 61
}

// AcceptQueue is the kernel's queue of connections that wait to be accepted, of all the
// sockets of a listener.
type AcceptQueue struct {
	Known  bool // it's there for TCP on Linux and FreeBSD, while the listener accepts
	Length int
	Limit  int
}

// ReactorStats are the counters of one event loop.
type ReactorStats struct {
	Events      uint64        // dispatches
	Connections int64         // now
	Posts       int64         // now: waiting
	Timers      int64         // now: set
	Busy        time.Duration // in dispatches, estimated by samples
	Turns       Durations     // how long dispatches take, estimated by samples
}

// Durations are counted by classes of their length.
type Durations = reactor.Durations

// Stats sums up the counters. Any goroutine may call it; no loop is waited for.
func (s *Server) Stats() Stats {
	endpoints := s.listeners()
	st := Stats{
		State:     s.state().String(),
		Open:      s.places.open(),
		Held:      int(s.held.Load()),
		Limit:     s.config.MaxConnections,
		Listeners: map[string]ListenerStats{},
		Buffers:   s.allocator.Stats(),
	}
	for _, e := range endpoints {
		st.Listeners[e.l.Name] = e.stats()
	}
	st.Drain = s.draining.copy(st.Open)
	if s.live.Load() != nil { // before that there may be no Mux
		g := s.mux.Group
		st.Panics, st.Slow = g.Panics(), g.SlowCalls()
		for _, r := range g.Stats() {
			st.Reactors = append(st.Reactors, ReactorStats(r))
		}
	}
	return st
}

// Name returns Config.Name.
func (s *Server) Name() string { return s.config.Name }

// Mux returns the event loops: Config.Mux, or the server's own, which there are from
// Start on and which is nil before. Any goroutine may call it.
func (s *Server) Mux() *conn.Mux {
	if s.config.Mux == nil && s.live.Load() != nil {
		return (*conn.Mux)(s.mux)
	}
	return s.config.Mux
}

// Allocator returns where the connections' buffers come from: Config.Allocator, or the
// server's own.
func (s *Server) Allocator() *buffers.Allocator { return s.allocator }

func (e *endpoint) stats() ListenerStats {
	n, g := e.env.Counts(), e.env.Gauges()
	st := ListenerStats{
		Transport:     e.transport,
		Open:          e.s.places.openAt(&e.places),
		Limit:         e.l.MaxConnections,
		Accepted:      n[engine.CountAccepted],
		Rejected:      e.refused.counts(&n),
		AcceptErrors:  n[engine.CountAcceptErrors],
		Closed:        map[conn.Reason]uint64{},
		ReceivedBytes: n[engine.CountReceivedBytes],
		SentBytes:     n[engine.CountSentBytes],
		Reads:         n[engine.CountReads],
		Writes:        n[engine.CountWrites],
		Panics:        n[engine.CountPanics],

		AcceptErrnos:  g.AcceptErrors,
		Handshaking:   int(g.Phases[engine.PhaseHandshaking]),
		Established:   int(g.Phases[engine.PhaseEstablished]),
		Draining:      int(g.Phases[engine.PhaseDraining]),
		Blocked:       int(g.Blocked),
		BufferedBytes: g.Buffered,
		Queue:         e.queue(),
		TLS:           e.tlsStats(g.Handshakes),
		Lives:         g.Lives,
		Calls:         g.Calls,
	}
	for r := range engine.Reasons {
		if closed := n.Closed(conn.Reason(r)); closed > 0 {
			st.Closed[conn.Reason(r)] = closed
		}
	}
	return st
}

// queue asks the kernel.
func (e *endpoint) queue() (q AcceptQueue) {
	all := e.s.accept.Load()
	if all == nil {
		return q
	}
	for _, a := range *all {
		if a.Origin() != e.l.Name {
			continue
		}
		if length, limit, ok := a.Queue(); ok {
			q = AcceptQueue{Known: true, Length: q.Length + length, Limit: q.Limit + limit}
		}
	}
	return q
}
