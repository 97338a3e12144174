package reactor

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/internal/sys"
)

// Placement decides which loop a new connection goes to.
type Placement uint8

// The placements.
const (
	RoundRobin Placement = iota
	LeastConnections
)

// DefaultSlow is how long a callback may take before the watchdog reports it.
const DefaultSlow = 100 * time.Millisecond

// Config sets up a Group. The zero value is a good default.
type Config struct {
	Loops     int // 0: GOMAXPROCS
	Placement Placement
	Slow      time.Duration // the watchdog's threshold; 0: DefaultSlow, negative: no watchdog

	OnSlow    func(Slow)                    // a call has kept its loop for longer than Slow
	OnPanic   func(value any, stack []byte) // a posted function panicked
	OnFailure func(error)                   // a poller failed; its loop has ended

	// The seams.
	NewPoller func() (Poller, error)
	Kernel    sys.Kernel
	Clock     Clock
	Spawn     func(func()) // starts a goroutine
}

func (c Config) withDefaults() Config {
	if c.Loops == 0 {
		c.Loops = runtime.GOMAXPROCS(0)
	}
	if c.Slow == 0 {
		c.Slow = DefaultSlow
	}
	if c.OnSlow == nil {
		c.OnSlow = func(Slow) {}
	}
	if c.OnPanic == nil {
		c.OnPanic = func(any, []byte) {}
	}
	if c.OnFailure == nil {
		c.OnFailure = func(error) {}
	}
	if c.NewPoller == nil {
		c.NewPoller = NewPoller
	}
	if c.Kernel == nil {
		c.Kernel = &sys.OS{}
	}
	if c.Clock == nil {
		c.Clock = newSystemClock()
	}
	if c.Spawn == nil {
		c.Spawn = func(f func()) { go f() }
	}
	return c
}

// Group is a set of loops that start and stop together.
type Group struct {
	config   Config
	reactors []*Reactor
	dog      *watchdog
	long     time.Duration // what's beyond it in one dispatch is the watchdog's to count

	turn   atomic.Uint64 // of RoundRobin
	ids    atomic.Uint64
	panics atomic.Uint64
	slow   atomic.Uint64

	mu      sync.Mutex
	state   groupState
	running sync.WaitGroup
}

type groupState uint8

const (
	groupNew groupState = iota
	groupRunning
	groupStopped
)

// ErrState is returned by Start and Stop when it's not their turn.
var ErrState = errors.New("reactor: group is not in a state for that")

// NewGroup opens the pollers; Start starts the loops.
func NewGroup(c Config) (*Group, error) {
	if c.Loops < 0 {
		return nil, fmt.Errorf("reactor: %d loops: want 1 or more, or 0 for GOMAXPROCS", c.Loops)
	}
	bridgeGnetLog()
	g := &Group{config: c.withDefaults(), long: forever}
	if g.config.Slow > 0 {
		g.long = g.config.pause()
	}
	for i := range g.config.Loops {
		r, err := newReactor(g, i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reactor %d: %w", i, err), g.closeAll())
		}
		g.reactors = append(g.reactors, r)
	}
	return g, nil
}

// Start runs the loops.
func (g *Group) Start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != groupNew {
		return ErrState
	}
	g.state = groupRunning
	for _, r := range g.reactors {
		g.running.Add(1)
		g.config.Spawn(func() {
			defer g.running.Done()
			r.run()
		})
	}
	if g.config.Slow > 0 {
		g.dog = newWatchdog(g)
		g.config.Spawn(g.dog.run)
	}
	return nil
}

// Stop ends the loops and waits until they have ended; a second call waits too. It
// must not be called on a loop.
func (g *Group) Stop() error {
	g.mu.Lock()
	state := g.state
	g.state = groupStopped
	g.mu.Unlock()
	switch state {
	case groupNew:
		for _, r := range g.reactors {
			r.fence() // there's no loop to run what was posted
		}
		return g.closeAll()
	case groupStopped:
		g.running.Wait()
		return nil
	case groupRunning:
	}
	for _, r := range g.reactors {
		r.stop()
	}
	g.running.Wait()
	if g.dog != nil {
		g.dog.stop()
	}
	return g.closeAll()
}

func (g *Group) closeAll() (err error) {
	for _, r := range g.reactors {
		err = errors.Join(err, r.close())
	}
	return err
}

// Wait returns when the loops have ended.
func (g *Group) Wait() { g.running.Wait() }

// OnLoop reports whether the caller is one of the loops.
func (g *Group) OnLoop() bool {
	for _, r := range g.reactors {
		if r.OnLoop() {
			return true
		}
	}
	return false
}

// NextID gives out numbers from 1.
func (g *Group) NextID() uint64 { return g.ids.Add(1) }

// Now is the clock's time, which is monotonic. Unlike a Reactor's it's the same for all
// loops, and has those gaps in it in which the process didn't run.
func (g *Group) Now() time.Duration { return g.config.Clock.Now() }

// Spawn starts a goroutine.
func (g *Group) Spawn(f func()) { g.config.Spawn(f) }

// Reactors are the loops; the slice is not to be changed.
func (g *Group) Reactors() []*Reactor { return g.reactors }

// Place chooses a loop for a new connection and counts it there; AddLoad(-1) takes it
// off again. A loop that has failed isn't chosen while there's another.
func (g *Group) Place() *Reactor {
	var r *Reactor
	switch g.config.Placement {
	case RoundRobin:
		r = g.next()
		for range g.reactors {
			if !r.failed.Load() {
				break
			}
			r = g.next()
		}
	case LeastConnections:
		for _, other := range g.reactors {
			if r == nil || r.failed.Load() || other.load.Load() < r.load.Load() && !other.failed.Load() {
				r = other
			}
		}
	}
	r.load.Add(1)
	return r
}

func (g *Group) next() *Reactor {
	return g.reactors[(g.turn.Add(1)-1)%uint64(len(g.reactors))]
}

// Stats are counters of one loop.
type Stats struct {
	Events      uint64        // dispatches: events, tasks and timers
	Connections int64         // placed here and not closed yet
	Posts       int64         // waiting
	Timers      int64         // armed
	Busy        time.Duration // in dispatches, estimated by samples
	Turns       Durations     // how long dispatches take, estimated by samples
}

// Stats of the loops, by index.
func (g *Group) Stats() []Stats {
	all := make([]Stats, len(g.reactors))
	for i, r := range g.reactors {
		all[i] = Stats{
			Events: r.finished.Load(), Connections: r.load.Load(), Posts: r.backlog.Load(), Timers: r.wheel.count.Load(),
			Busy: time.Duration(r.turns.busy.Load() + r.turns.beyond.Load()), Turns: r.turns.lengths.Durations(),
		}
	}
	return all
}

// Panics is how many calls panicked.
func (g *Group) Panics() uint64 { return g.panics.Load() }

// SlowCalls is how many calls the watchdog has reported.
func (g *Group) SlowCalls() uint64 { return g.slow.Load() }
