package secure

import (
	"errors"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/sluice-net/sluice/internal/lock"
)

// Gate bounds handshakes: how many compute at the same time, and how many there are. One
// that waits for its peer computes nothing and takes no slot.
//
// What the program supplies (a key that signs elsewhere) is called in a slot, and keeps it
// until it returns, even when the deadline has ended its connection meanwhile: its goroutine
// is still there, and the bound is of those. So a key that hangs for ever costs its slot for
// ever; have it give up before Timeouts.Handshake, and where keys wait for a network make
// more slots than there are processors.
type Gate struct {
	pending atomic.Int64
	limit   int64

	mu      lock.Mutex
	free    int             // slots
	waiting []chan struct{} // for one, in the order in which they came
}

// DefaultMaxHandshakes is how many handshakes may be under way in a process.
const DefaultMaxHandshakes = 1 << 14

// ErrTooManyHandshakes ends a connection for which the Gate has no room.
var ErrTooManyHandshakes = errors.New("secure: too many handshakes are under way")

// NewGate makes a gate of slots that compute, 0: one less than GOMAXPROCS, and 1 at least,
// so that the loops always have a processor; and of limit handshakes under way, 0:
// DefaultMaxHandshakes.
func NewGate(slots, limit int) *Gate {
	if slots <= 0 {
		slots = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if limit <= 0 {
		limit = DefaultMaxHandshakes
	}
	return &Gate{free: slots, limit: int64(limit)}
}

// Pending is how many handshakes are under way.
func (g *Gate) Pending() int { return int(g.pending.Load()) }

// begin counts one more, if there's room.
func (g *Gate) begin() error {
	if g.pending.Add(1) > g.limit {
		g.pending.Add(-1)
		return ErrTooManyHandshakes
	}
	return nil
}

func (g *Gate) end() { g.pending.Add(-1) }

// enter waits for a slot, or for cancel, and reports whether it has one. Whoever came first
// has the next.
func (g *Gate) enter(cancel <-chan struct{}) bool {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return true
	}
	turn := make(chan struct{}, 1)
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-cancel:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return false
	}
	return true // it came at the same time
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.free++
		return
	}
	g.waiting[0] <- struct{}{}
	g.waiting = g.waiting[1:]
}
