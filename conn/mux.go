package conn

import (
	"log/slog"
	"time"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// Mux is a group of event loops (the seeds' IIoMux). Several servers may share one.
type Mux engine.Mux

// Placement decides which loop a new connection goes to.
type Placement = reactor.Placement

// The placements.
const (
	RoundRobin       = reactor.RoundRobin
	LeastConnections = reactor.LeastConnections
)

// MuxConfig sets up a Mux. The zero value is a good default.
type MuxConfig struct {
	Loops        int           // event loops; 0: GOMAXPROCS
	Placement    Placement     // which loop a connection goes to
	TurnBudget   int           // bytes a connection may move in each direction before others get their turn; 0: 256 KiB
	SlowCallback time.Duration // report callbacks that take longer, with their stack; 0: 100 ms, negative: don't
	Logger       *slog.Logger  // nil: slog.Default()
}

// NewMux makes the loops without starting them.
func NewMux(c MuxConfig) (*Mux, error) {
	m, err := engine.NewMux(engine.MuxConfig{
		Loops:        c.Loops,
		Placement:    c.Placement,
		TurnBudget:   c.TurnBudget,
		SlowCallback: c.SlowCallback,
		Logger:       c.Logger,
	})
	return (*Mux)(m), err
}

// Start starts the loops; ErrMode if that was done before.
func (m *Mux) Start() error { return (*engine.Mux)(m).Start() }

// Run starts the loops and returns when Terminate has ended them.
func (m *Mux) Run() error { return (*engine.Mux)(m).Run() }

// Terminate ends the loops and waits for that; connections still open are aborted. On one
// of the loops it doesn't wait, for it would be waiting for itself: Run returns when they
// have ended. A second call changes nothing.
func (m *Mux) Terminate() error { return (*engine.Mux)(m).Terminate() }

// Post runs f on a loop, after what was posted before; ErrClosed once the loops have
// ended. Any goroutine may call it. f must not block.
func (m *Mux) Post(f func()) error { return (*engine.Mux)(m).Post(f) }

// AfterFunc has f called on a loop, as Post does, after d; at once if d isn't positive,
// but never on the caller's stack. It may be called before Start, from when on d counts
// too. Once the loops have ended f isn't called any more. A panic in f ends nothing: it's
// logged, and told to the servers' OnError. Any goroutine may call AfterFunc, and Reset and
// Stop of what it returns. f must not block.
func (m *Mux) AfterFunc(d time.Duration, f func()) *Timer { return (*engine.Mux)(m).AfterFunc(d, f) }
