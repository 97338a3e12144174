package engine

import (
	"iter"

	"github.com/sluice-net/sluice/internal/lock"
)

// registry lists a shard's open connections, for whoever wants to see them all: from
// any goroutine, without asking the loop, which may be stuck.
type registry struct {
	mu    lock.Mutex
	first *Conn
	count int
}

// siblings are a connection's neighbours in the registry, guarded by its mu.
type siblings struct{ next, prev *Conn }

func (g *registry) add(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.siblings.next = g.first
	if g.first != nil {
		g.first.siblings.prev = c
	}
	g.first = c
	g.count++
}

func (g *registry) remove(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &c.siblings
	if s.next != nil {
		s.next.siblings.prev = s.prev
	}
	if s.prev != nil {
		s.prev.siblings.next = s.next
	} else {
		g.first = s.next
	}
	*s = siblings{}
	g.count--
}

// snapshot takes a reference on each.
func (g *registry) snapshot() []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*Conn, 0, g.count)
	for c := g.first; c != nil; c = c.siblings.next {
		c.refs.Add(1)
		all = append(all, c)
	}
	return all
}

// Connections yields the connections that are open, loop by loop; each is held while
// the body has it. No lock is held then.
func (e *Env) Connections() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, s := range e.shards {
			if !yieldAll(s.open.snapshot(), yield) {
				return
			}
		}
	}
}

// yieldAll yields connections that are held, and releases them, also if the body panics.
func yieldAll(all []*Conn, yield func(*Conn) bool) bool {
	next := 0
	defer func() {
		for _, c := range all[next:] {
			c.Release()
		}
	}()
	for _, c := range all {
		more := yield(c)
		next++
		c.Release()
		if !more {
			return false
		}
	}
	return true
}

// Quiet counts how often it was asked in a row without a byte having moved between, when it
// was the peer's turn: who is held without a read pending is being worked for. The caller
// has a reference of his own, which doesn't count.
func (c *Conn) Quiet() int {
	c.mu.Lock()
	defer c.unlock()
	if c.flags.has(moved) || c.flags.has(established) && c.read.kind == readNone && c.refs.Load() > 1 {
		c.flags.clear(moved)
		c.quiet = 0
		return 0
	}
	if c.quiet < 255 {
		c.quiet++
	}
	return int(c.quiet)
}
