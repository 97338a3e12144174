package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/reactor"
)

// MuxConfig sets up a Mux. The zero value is a good default.
type MuxConfig struct {
	Loops        int               // 0: GOMAXPROCS
	Placement    reactor.Placement // which loop a connection goes to
	TurnBudget   int               // bytes a connection may move in each direction before others get their turn; 0: 256 KiB
	SlowCallback time.Duration     // report callbacks that take longer; 0: 100 ms, negative: don't
	Logger       *slog.Logger      // nil: slog.Default()

	Reactor reactor.Config // the seams; what's above overrides it
}

// DefaultTurnBudget is a connection's share of its loop's turn, in bytes.
const DefaultTurnBudget = 256 << 10

// Mux is a group of loops and what their connections have in common.
type Mux struct {
	Group      *reactor.Group
	Allocator  *buffers.Allocator // for who has none of his own
	Logger     *slog.Logger
	TurnBudget int
	timers     muxTimers

	mu        lock.Mutex
	envs      map[EnvKey]*Env
	failed    chan struct{} // closed when a loop has failed
	listeners map[int]func(message string, err error)
	nextID    int
}

// NewMux opens the pollers. Start or Run starts the loops.
func NewMux(c MuxConfig) (*Mux, error) {
	if c.TurnBudget < 0 {
		return nil, fmt.Errorf("mux: TurnBudget is %d: want a number of bytes, or 0 for %d", c.TurnBudget, DefaultTurnBudget)
	}
	m := &Mux{Allocator: buffers.New(buffers.Config{}), Logger: c.Logger, TurnBudget: c.TurnBudget, failed: make(chan struct{}), envs: map[EnvKey]*Env{}, listeners: map[int]func(string, error){}}
	if m.Logger == nil {
		m.Logger = slog.Default()
	}
	m.Logger = ShieldLogger(m.Logger)
	if m.TurnBudget == 0 {
		m.TurnBudget = DefaultTurnBudget
	}
	rc := c.Reactor
	rc.Loops, rc.Placement, rc.Slow = c.Loops, c.Placement, c.SlowCallback
	rc.OnSlow = m.logSlow
	rc.OnPanic = m.logPanic
	rc.OnFailure = m.logFailure
	g, err := reactor.NewGroup(rc)
	if err != nil {
		return nil, err
	}
	m.Group = g
	m.timers = muxTimers{m: m, r: m.loop()}
	return m, nil
}

// Start starts the loops; ErrMode if they were started before.
func (m *Mux) Start() error {
	if m.Group.Start() != nil {
		return ErrMode
	}
	return nil
}

// Run starts the loops and returns when Terminate has ended them.
func (m *Mux) Run() error {
	if err := m.Start(); err != nil {
		return err
	}
	m.Group.Wait()
	return nil
}

// Terminate ends the loops, aborting the connections that are left, and returns when
// they have ended; on a loop at once, and Run returns when they have.
func (m *Mux) Terminate() error {
	if m.Group.OnLoop() {
		m.Group.Spawn(func() { _ = m.Group.Stop() })
		return nil
	}
	return m.Group.Stop()
}

// Post runs f on one of the loops; ErrClosed once they have ended.
func (m *Mux) Post(f func()) error {
	if m.loop().PostFunc(f) != nil {
		return ErrClosed
	}
	return nil
}

// loop is where what concerns no connection runs.
func (m *Mux) loop() *reactor.Reactor { return m.Group.Reactors()[0] }

func (m *Mux) logSlow(s reactor.Slow) {
	m.Logger.Log(context.Background(), slog.LevelWarn, "a callback keeps its loop waiting",
		"reactor", s.Reactor, "for", s.For, "stack", string(s.Stack))
}

func (m *Mux) logPanic(value any, stack []byte) {
	m.panicked("a posted function panicked", value, stack)
}

func (m *Mux) panicked(message string, value any, stack []byte) {
	m.Logger.Log(context.Background(), slog.LevelError, message, "panic", fmt.Sprint(value), "stack", string(stack))
	m.tell(message, fmt.Errorf("panic: %v", value))
}

func (m *Mux) logFailure(err error) {
	const message = "an event loop has failed"
	m.Logger.Log(context.Background(), slog.LevelError, message, "error", err)
	m.mu.Lock()
	select {
	case <-m.failed:
	default:
		close(m.failed)
	}
	m.mu.Unlock()
	m.tell(message, err)
}

// Failed is closed when a loop has failed: its poller, without which nothing on it can be
// served.
func (m *Mux) Failed() <-chan struct{} { return m.failed }

// OnError has f told of failures that no connection stands for, until cancel is called.
// f is called on any goroutine and must not block.
func (m *Mux) OnError(f func(message string, err error)) (cancel func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.nextID
	m.nextID++
	m.listeners[id] = f
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.listeners, id)
	}
}

func (m *Mux) tell(message string, err error) {
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.listeners))
	m.mu.Unlock()
	for _, f := range all {
		f(message, err)
	}
}
