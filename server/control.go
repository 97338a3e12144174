package server

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/sluice-net/sluice/internal/sys"
)

// control is the goroutine that the server-level callbacks come from, one at a time and
// in order.
type control struct {
	log  *slog.Logger
	g    atomic.Uintptr
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	queue   []func()
	closing bool
	dropped int
}

// controlQueue bounds what waits for a callback that doesn't return.
const controlQueue = 1024

func newControl(log *slog.Logger) *control {
	return &control{log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// post queues f. When the queue is full f is dropped: only reports of failures come in
// such numbers, and they're counted elsewhere.
func (c *control) post(f func()) {
	c.mu.Lock()
	if c.closing || len(c.queue) >= controlQueue {
		c.dropped++
	} else {
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

// finish runs what's queued, then last, and ends. It waits for that.
func (c *control) finish(last func()) {
	c.mu.Lock()
	c.queue = append(c.queue, last)
	c.closing = true
	c.mu.Unlock()
	c.poke()
	<-c.done
}

// here reports whether the caller is the control goroutine.
func (c *control) here() bool { return c.g.Load() == sys.G() }
