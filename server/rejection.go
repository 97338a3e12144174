package server

import (
	"sync/atomic"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

// Rejection is why a connection that the kernel had accepted was refused: it was reset,
// and no callback has heard of it. On a Unix-domain socket its client may see an end instead.
type Rejection uint8

// Why connections are refused.
const (
	RejectedMaxConnections Rejection = iota // never: at these limits they wait in the kernel's queue
	RejectedPerAddress                      // Listener.MaxPerAddress
	RejectedRate                            // Listener.AcceptRate
	RejectedDescriptors                     // this process or the system had no descriptor left for long
	RejectedDraining                        // never: who comes too late is accepted, and closed for ReasonDrainAbort

	rejections
)

var rejectionNames = [rejections]string{"max_connections", "per_address", "rate", "descriptors", "draining"}

// String is the word for it in the log and in metrics.
func (r Rejection) String() string {
	if r < rejections {
		return rejectionNames[r]
	}
	return "unknown"
}

// refusals counts what the listener's own limits have refused; the rest is the engine's
// to count.
type refusals [rejections]atomic.Uint64

// counts is all of them, also those that there weren't.
func (r *refusals) counts(n *engine.Counts) map[Rejection]uint64 {
	all := make(map[Rejection]uint64, rejections)
	for i := range r {
		all[Rejection(i)] = r[i].Load()
	}
	all[RejectedDescriptors] = n[engine.CountShed]
	return all
}

// Offer implements engine.AcceptPolicy. Whoever has too many connections doesn't use up
// what the others may have at the rate.
func (e *endpoint) Offer(peer conn.Addr) (owner any, wanted bool) {
	if !e.addresses.enter(peer) {
		e.reject(peer, RejectedPerAddress)
		return nil, false
	}
	if !e.pace.allow(e.env.Mux.Group.Now()) {
		e.addresses.leave(peer)
		e.reject(peer, RejectedRate)
		return nil, false
	}
	return nil, true
}

func (e *endpoint) reject(peer conn.Addr, why Rejection) {
	e.refused[why].Add(1)
	if e.mayLog() {
		e.s.log.Warn("a connection is refused", "listener", e.l.Name, "remote", peer, "reason", why)
	}
}
