package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/sys"
)

// Chooser makes the choices of a world: *rand.Rand is one, and so are the bytes of a
// fuzzer.
type Chooser interface {
	// IntN returns a number from 0 to n−1.
	IntN(n int) int
}

// Seed is the Chooser that a number stands for.
func Seed(seed uint64) Chooser { return rand.New(rand.NewPCG(seed, seed^0x51c3)) }

// World is a simulated machine: a kernel, the peers at the other end of its sockets,
// time, and the goroutines of the program under test, of which one runs at a time. All
// that could be otherwise is chosen by a Chooser, so that the same choices give the same
// course.
type World struct {
	Kernel *Kernel
	Clock  *Clock
	Faults Faults
	Steps  int // so far
	Taken  int // times that a goroutine found a lock taken

	trace   trace
	start   time.Time
	actors  []Actor
	signal  chan struct{} // a task has stopped
	pollers []*Poller

	mu      sync.Mutex // of what's below; never held while a task is stopped
	choose  Chooser
	tasks   []*task // in the order in which they came
	byG     map[uintptr]*task
	current *task // who has been let go on
	ended   bool
	failure string
}

// Faults are how often, in a thousand, something happens that may.
type Faults struct {
	Switch int // another goroutine runs at a seam
	Short  int // a send or receive moves less than it could
	Again  int // a send or accept says EAGAIN, and the edge that undoes it comes later
	Memory int // a send says ENOBUFS or ENOMEM, and no edge comes
	Accept int // an accept fails, with one of many errnos
	Call   int // another call fails
	Stale  int // an event is told of twice, or without a cause
	Late   int // time passes although something could be done
}

// Actor is what acts on its own in a world without being a goroutine: a peer, say.
type Actor interface {
	// Ready reports whether Step would do something.
	Ready() bool
	Step()
}

// Sleeper is an Actor that becomes ready when it's time. Without that, time would pass to
// the program's next time-out, and the actor would be late.
type Sleeper interface {
	Actor
	// Until is when, by Now; in the past if it isn't sleeping.
	Until() time.Duration
}

// task is a goroutine of the program under test.
type task struct {
	name   string
	resume chan struct{}
	ready  func() bool // nil: always
	quiet  bool        // only when nothing else can go on
	parked bool
}

// worlds finds the world of a goroutine, for locks, which are watched globally.
var worlds sync.Map // uintptr → *World

var watchLocks = sync.OnceFunc(func() {
	lock.Watch(func(try func() bool) bool {
		v, ok := worlds.Load(sys.G())
		if !ok {
			return false
		}
		w := v.(*World)
		w.yield("", "")
		if try == nil {
			return false
		}
		if try() {
			return true
		}
		w.Taken++
		got := false
		w.Wait("lock", func() bool {
			got = got || try()
			return got
		})
		return true
	})
})

// maxSteps is how long a world may go on: far beyond what any takes that doesn't spin.
const maxSteps = 400_000

// Run runs program in a new world, on a goroutine of its own, and ends when it and every
// goroutine that was spawned in it has ended.
func Run(t *testing.T, choose Chooser, tracing bool, program func(*World)) (r Result) {
	watchLocks()
	synctest.Test(t, func(t *testing.T) {
		w := &World{
			choose: choose, start: time.Now(),
			signal: make(chan struct{}, 1), byG: map[uintptr]*task{},
		}
		w.trace.on = tracing
		w.Kernel = newKernel(w)
		w.Clock = &Clock{w: w}
		w.spawn("main", func() {
			program(w)
			w.mu.Lock()
			w.ended = true
			w.mu.Unlock()
		})
		w.schedule()
		r = Result{Failure: w.failure, Trace: w.trace.lines, Steps: w.Steps}
	})
	return r
}

// Result is what became of a world.
type Result struct {
	Failure string // what was wrong; "": nothing
	Trace   []string
	Steps   int
}

// Spawn starts a goroutine of the program.
func (w *World) Spawn(name string, f func()) {
	w.enter()
	w.spawn(name, f)
}

func (w *World) spawn(name string, f func()) {
	t := &task{name: name, resume: make(chan struct{}), parked: true}
	w.mu.Lock()
	w.tasks = append(w.tasks, t)
	w.mu.Unlock()
	go func() {
		g := sys.G()
		worlds.Store(g, w)
		w.mu.Lock()
		w.byG[g] = t
		w.mu.Unlock()
		defer func() {
			worlds.Delete(g)
			w.mu.Lock()
			delete(w.byG, g)
			w.tasks = slices.DeleteFunc(w.tasks, func(o *task) bool { return o == t })
			w.mu.Unlock()
			w.poke()
		}()
		<-t.resume
		f()
	}()
}

func (w *World) poke() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// self is the task that the caller is.
func (w *World) self() *task {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.byG[sys.G()]
	if t == nil {
		panic("sim: a goroutine that the world hasn't spawned")
	}
	return t
}

// park stops the caller until it's chosen to go on.
func (w *World) park(t *task, ready func() bool) {
	w.mu.Lock()
	t.parked, t.ready = true, ready
	w.mu.Unlock()
	w.poke()
	<-t.resume
}

// Wait stops the caller until cond holds, for which it's asked between any two steps.
func (w *World) Wait(what string, cond func() bool) {
	t := w.enter()
	if cond() {
		return
	}
	w.note(t.name, what, "wait")
	w.park(t, cond)
}

// Yield lets others run, maybe.
func (w *World) Yield() { w.yield("", "") }

// Pause lets others run.
func (w *World) Pause() { w.park(w.self(), nil) }

// Quiet stops the caller until nothing else happens unless time passes.
func (w *World) Quiet() {
	t := w.self()
	w.note(t.name, "quiet", "wait")
	t.quiet = true
	w.park(t, nil)
}

// Sleep stops the caller for d.
func (w *World) Sleep(d time.Duration) {
	<-time.After(d)
	w.Pause()
}

// enter is called at every seam. A goroutine that another one has woken by means of its
// own, through a channel, say, has run beside it so far; here it stops for its turn.
func (w *World) enter() *task {
	t := w.self()
	w.mu.Lock()
	running := w.current == t
	w.mu.Unlock()
	if !running {
		w.park(t, nil)
	}
	return t
}

// yield is called at a seam where another goroutine may come first.
func (w *World) yield(what, detail string) {
	t := w.enter()
	if w.Chance(w.Faults.Switch) {
		if what != "" {
			w.note(t.name, what, "%s", detail)
		}
		w.park(t, nil)
	}
}

// Name names the goroutine that calls, in the trace.
func (w *World) Name(name string) { w.self().name = name }

// Add has an actor act from now on.
func (w *World) Add(a Actor) { w.actors = append(w.actors, a) }

// IntN chooses a number from 0 to n−1.
func (w *World) IntN(n int) int {
	if n <= 1 {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.choose.IntN(n)
}

// Chance is true in about permille of a thousand cases.
func (w *World) Chance(permille int) bool { return permille > 0 && w.IntN(1000) < permille }

// Now is the time since the world began.
func (w *World) Now() time.Duration { return time.Since(w.start) }

// Failf records that something is wrong. The first time counts; the world goes on to
// its end, if it can.
func (w *World) Failf(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.mu.Lock()
	first := w.failure == ""
	if first {
		w.failure = what
	}
	w.mu.Unlock()
	if first {
		w.note("", "FAILURE", "%s (what follows is how the world came to its end)", what)
	}
}

// Failed reports whether something is wrong.
func (w *World) Failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure != ""
}

// wedged ends the process: what waits inside the program can't be made to go.
func (w *World) wedged(why string) {
	var b strings.Builder
	for _, l := range w.trace.lines {
		fmt.Fprintln(&b, l)
	}
	fmt.Fprintf(&b, "--- FAIL: the world can't come to an end: %s\n", why)
	if w.failure != "" {
		fmt.Fprintf(&b, "before: %s\n", w.failure)
	}
	for _, t := range w.tasks {
		fmt.Fprintf(&b, "  %s: parked %t\n", t.name, t.parked)
	}
	stacks := make([]byte, 1<<20)
	if w.trace.on {
		fmt.Fprintf(&b, "%s\n", stacks[:runtime.Stack(stacks, true)])
	}
	if OnWedged != nil {
		OnWedged(&b)
	}
	fmt.Fprint(os.Stderr, b.String())
	os.Exit(1)
}

// OnWedged adds to the report of a world that can't come to an end: which it was.
var OnWedged func(report *strings.Builder)

// schedule is the world's course.
func (w *World) schedule() {
	for {
		synctest.Wait()
		if w.over() {
			return
		}
		if w.Steps++; w.Steps > maxSteps {
			w.wedged(fmt.Sprintf("%d steps, and something goes on all the time", maxSteps))
		}
		if !w.step() && !w.pass(true) {
			w.wedged("nothing can be done, and no time-out is set")
		}
	}
}

func (w *World) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended && len(w.tasks) == 0
}

// step has one thing happen, of all that may. It returns false if nothing may.
func (w *World) step() bool {
	if w.Chance(w.Faults.Late) && w.pass(false) {
		return true
	}
	tasks := w.runnable()
	segments := w.Kernel.underWay()
	var actors []Actor
	for _, a := range w.actors {
		if a.Ready() {
			actors = append(actors, a)
		}
	}
	n := len(tasks) + len(segments) + len(actors)
	if n == 0 {
		for _, t := range w.tasks {
			if t.parked && t.quiet {
				w.resume(t)
				return true
			}
		}
		return false
	}
	switch i := w.IntN(n); {
	case i < len(tasks):
		w.resume(tasks[i])
	case i < len(tasks)+len(segments):
		segments[i-len(tasks)].arrive()
	default:
		actors[i-len(tasks)-len(segments)].Step()
	}
	return true
}

func (w *World) runnable() (tasks []*task) {
	w.mu.Lock()
	all := append([]*task(nil), w.tasks...)
	w.mu.Unlock()
	for _, t := range all {
		if t.parked && !t.quiet && (t.ready == nil || t.ready()) {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

func (w *World) resume(t *task) {
	w.mu.Lock()
	t.parked, t.quiet, t.ready = false, false, nil
	w.current = t
	w.mu.Unlock()
	t.resume <- struct{}{}
}

// patience is how long a world waits for time-outs that it doesn't know of.
const patience = 10 * time.Minute

// pass lets time pass: a little, or until something happens.
func (w *World) pass(far bool) bool {
	next := w.Clock.next()
	limit := time.Duration(1+w.IntN(20)) * time.Millisecond
	switch {
	case far && next != nil:
		limit = max(next.at-w.Now(), 0)
	case far:
		limit = patience
	}
	for _, a := range w.actors {
		if s, ok := a.(Sleeper); ok && s.Until() > w.Now() {
			limit = min(limit, s.Until()-w.Now())
		}
	}
	w.mu.Lock()
	w.current = nil
	w.mu.Unlock()
	select {
	case <-w.signal: // of a task that stopped long ago
	default:
	}
	began := w.Now()
	timer := time.NewTimer(limit)
	select {
	case <-w.signal:
		timer.Stop()
	case <-timer.C:
	}
	w.note("", "time", "%v", w.Now()-began)
	if next != nil && next.at <= w.Now() {
		next.ring()
		return true
	}
	return w.Now()-began < patience
}
