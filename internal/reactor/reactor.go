package reactor

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/sys"
)

// ErrStopped is what Post returns once the loop takes nothing more.
var ErrStopped = errors.New("reactor: stopped")

// Handler receives the events of one descriptor, on the loop.
type Handler interface {
	OnEvent(Events)
	// OnPanic is called after a panic in OnEvent or OnTimer, outside of it.
	OnPanic(value any, stack []byte)
	// OnStop is called for every descriptor that's still registered when the loop
	// ends; the handler deregisters and closes.
	OnStop()
}

// Reactor is one loop.
type Reactor struct {
	// Immutable.
	group  *Group
	index  int
	poller Poller

	// The loop's own.
	table    table
	wheel    wheel
	current  panicker // whom a panic concerns
	depth    int      // calls in progress: Call and timers nest in a dispatch
	stopping bool

	// Guarded by mu.
	mu      lock.Mutex
	posts   taskList
	waking  bool // Wake was called and its event hasn't been dispatched
	stopped bool
	caches  map[*buffers.Allocator]*buffers.Cache

	// Atomic.
	g        atomic.Uintptr // sys.G of the loop while it runs
	goid     atomic.Int64   // the same goroutine's number, to find it in a dump
	started  atomic.Uint64  // dispatches begun
	finished atomic.Uint64  // dispatches ended
	load     atomic.Int64   // connections placed here
	backlog  atomic.Int64   // posts waiting
	skipped  atomic.Int64   // time that Now leaves out (wheel.go)
	failed   atomic.Bool    // its poller did

	turns turns // who may do what is said there
}

// panicker is the part of Handler that tasks have as well.
type panicker interface {
	OnPanic(value any, stack []byte)
}

func newReactor(group *Group, index int) (*Reactor, error) {
	p, err := group.config.NewPoller()
	if err != nil {
		return nil, err
	}
	r := &Reactor{
		group: group, index: index, poller: p, caches: map[*buffers.Allocator]*buffers.Cache{},
		turns: newTurns(),
	}
	r.wheel.init(r)
	return r, nil
}

// Index numbers the reactors of a group from 0.
func (r *Reactor) Index() int { return r.index }

// Kernel is the group's.
func (r *Reactor) Kernel() sys.Kernel { return r.group.config.Kernel }

// Group is the group that r belongs to.
func (r *Reactor) Group() *Group { return r.group }

// OnLoop reports whether the caller is the loop.
func (r *Reactor) OnLoop() bool { return r.g.Load() == sys.G() }

// Cache returns the loop's free list of an allocator. Any goroutine may ask; only
// the loop may use it.
func (r *Reactor) Cache(a *buffers.Allocator) *buffers.Cache {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.caches[a]
	switch {
	case k != nil:
	case r.caches == nil: // the loop has ended and won't use it
		k = a.NewCache()
		k.Close()
	default:
		k = a.NewCache()
		r.caches[a] = k
	}
	return k
}

// Register starts events for a stream's descriptor. On the loop only.
func (r *Reactor) Register(fd int, h Handler) error { return r.register(fd, h, r.poller.Add) }

// RegisterListener starts events for a listening descriptor. On the loop only.
func (r *Reactor) RegisterListener(fd int, h Handler) error {
	return r.register(fd, h, r.poller.AddListener)
}

func (r *Reactor) register(fd int, h Handler, add func(int) error) error {
	r.table.set(fd, h)
	if err := add(fd); err != nil {
		r.table.set(fd, nil)
		return err
	}
	return nil
}

// Deregister ends events for a descriptor, which the caller then closes: an event
// already fetched for it finds nobody, or the number's next owner, for whom it's a
// hint like any other. On the loop only.
func (r *Reactor) Deregister(fd int) {
	r.table.set(fd, nil)
	// It fails only for a descriptor that isn't registered, which is what we want.
	_ = r.poller.Delete(fd)
}

// Handlers calls f for every registered handler until it returns false. f may
// deregister. On the loop only.
func (r *Reactor) Handlers(f func(Handler) bool) { r.table.each(f) }

// AddLoad counts connections placed here, for LeastConnections and the statistics.
func (r *Reactor) AddLoad(n int64) { r.load.Add(n) }

// Now is the time that timers go by: monotonic, less the gaps in which the process
// didn't run.
func (r *Reactor) Now() time.Duration {
	return r.Clock() - time.Duration(r.skipped.Load())
}

// Clock is monotonic time, by which to measure how long something takes.
func (r *Reactor) Clock() time.Duration { return r.group.config.Clock.Now() }

// run is the loop.
func (r *Reactor) run() {
	r.goid.Store(goroutineID())
	r.g.Store(sys.G())
	err := r.poller.Wait(r.dispatcher())
	if !r.stopping {
		// The poller itself failed: nothing can be served from here on.
		r.failed.Store(true)
		r.group.config.OnFailure(fmt.Errorf("reactor %d: poller: %w", r.index, err))
		r.fence()
	}
	r.g.Store(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.caches {
		k.Close()
	}
	r.caches = nil
}

// dispatcher returns what the poller calls for each event: a closure, because the value of
// a method would be one call more.
func (r *Reactor) dispatcher() func(fd int, ev Events) (stop bool) {
	return func(fd int, ev Events) bool {
		if fd == WakeFD {
			r.runPosts()
			return r.stopping
		}
		h := r.table.get(fd)
		if h == nil {
			return false // its descriptor was closed earlier in this batch
		}
		defer r.enter(h).leave()
		h.OnEvent(ev)
		r.current = nil
		return false
	}
}

// errGoexit is the panic that nobody recovers.
var errGoexit = errors.New("sluice: runtime.Goexit called in a callback: it would end the event loop and every connection on it")

// enter begins a call into user-reachable code on behalf of p, and leave ends it.
// The callee has returned if and only if it set current to nil.
func (r *Reactor) enter(p panicker) *Reactor {
	r.current = p
	if r.depth++; r.depth == 1 {
		r.started.Store(r.started.Load() + 1)
		if r.turns.untimed--; r.turns.untimed == 0 {
			r.turns.began = r.Clock()
		}
	}
	return r
}

func (r *Reactor) leave() {
	if p := r.current; p != nil {
		v := recover()
		if v == nil {
			v = errGoexit
		}
		if err, ok := v.(error); ok && errors.Is(err, errGoexit) {
			panic(err) // through the calls that this one is nested in, too
		}
		stack := debug.Stack()
		r.current = nil
		r.group.panics.Add(1)
		p.OnPanic(v, stack)
	}
	if r.depth--; r.depth == 0 {
		r.finished.Store(r.started.Load())
		if r.turns.untimed == 0 {
			r.turns.observe(r.Clock(), r.group.long)
		}
	}
}
