package server

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"github.com/sluice-net/sluice/internal/lock"
	"github.com/sluice-net/sluice/internal/sys"
)

// control is the goroutine that the server-level callbacks come from, one at a time and
// in order.
type control struct {
	log  *slog.Logger
	g    atomic.Uintptr
	wake chan struct{}
	done chan struct{}

	mu      lock.Mutex
	queue   []func()
	closing bool
}

// controlQueue bounds the reports that wait for a callback that doesn't return.
const controlQueue = 1024

func newControl(log *slog.Logger) *control {
	return &control{log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// post queues f.
func (c *control) post(f func()) { c.enqueue(f, false) }

// report queues f unless the queue is long: failures that are counted elsewhere may come
// in any number while a callback doesn't return.
func (c *control) report(f func()) { c.enqueue(f, true) }

func (c *control) enqueue(f func(), droppable bool) {
	c.mu.Lock()
	if !c.closing && !(droppable && len(c.queue) >= controlQueue) {
		c.queue = append(c.queue, f)
	}
	c.mu.Unlock()
	c.poke()
}

func (c *control) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *control) run() {
	c.g.Store(sys.G())
	defer close(c.done)
	defer c.g.Store(0)
	for range c.wake {
		c.mu.Lock()
		queue, closing := c.queue, c.closing
		c.queue = nil
		c.mu.Unlock()
		for _, f := range queue {
			c.call(f)
		}
		if closing {
			return
		}
	}
}

func (c *control) call(f func()) {
	defer func() {
		if v := recover(); v != nil {
			c.log.Error("a server callback panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	f()
}

// finish runs what's queued, then last, and ends; that's when the channel is closed.
func (c *control) finish(last func()) <-chan struct{} {
	c.mu.Lock()
	c.queue = append(c.queue, last)
	c.closing = true
	c.mu.Unlock()
	c.poke()
	return c.done
}

// here reports whether the caller is the control goroutine.
func (c *control) here() bool { return c.g.Load() == sys.G() }
