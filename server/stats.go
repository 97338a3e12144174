package server

import (
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// Stats are a server's counters. They only grow, but for Open, Held, the limits and the
// reactors' Connections and Posts; they're exact once all is quiet.
type Stats struct {
	State     string // new, running, draining, stopped
	Open      int    // connections open now
	Held      int    // closed, but referenced
	Limit     int    // Config.MaxConnections; 0: none
	Drain     DrainStats
	Listeners map[string]ListenerStats
	Reactors  []ReactorStats
	Panics    uint64 // callbacks that panicked, on these loops
	Slow      uint64 // callbacks that the watchdog reported, on these loops
	Buffers   buffers.Stats
}

// ListenerStats are the counters of one listener's connections.
type ListenerStats struct {
	Open          int // connections open now
	Limit         int // Listener.MaxConnections; 0: none
	Accepted      uint64
	Rejected      map[Rejection]uint64 // accepted by the kernel and refused; every Rejection is in it
	AcceptErrors  uint64
	Closed        map[conn.Reason]uint64
	ReceivedBytes uint64 // the application's
	SentBytes     uint64 // the application's
	Reads         uint64 // completed
	Writes        uint64 // calls that sent something
	Panics        uint64
}

// ReactorStats are the counters of one event loop.
type ReactorStats struct {
	Events      uint64 // dispatches
	Connections int64
	Posts       int64         // waiting
	Timers      int64         // set
	Busy        time.Duration // in dispatches, as the watchdog has sampled it; 0 without one
	Turns       Durations     // how long dispatches take: a sample
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
	n := e.env.Counts()
	st := ListenerStats{
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
	}
	for r := range engine.Reasons {
		if closed := n.Closed(conn.Reason(r)); closed > 0 {
			st.Closed[conn.Reason(r)] = closed
		}
	}
	return st
}
