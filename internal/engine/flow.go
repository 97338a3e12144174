package engine

import (
	"math"
	"slices"
	"sync/atomic"
)

// Flow bounds what a connection keeps. 0 stands for the default, a negative number
// for no bound.
type Flow struct {
	High       int // queued output (bytes) above which reads wait and WriteBlocked is called; 64 KiB
	Low        int // … until it's down here; 16 KiB
	MaxPending int // queued output above which writes are refused; 1 MiB
	MaxRead    int // the largest ReadFull; 1 MiB
}

var defaultFlow = Flow{High: 64 << 10, Low: 16 << 10, MaxPending: 1 << 20, MaxRead: 1 << 20}

func (f Flow) withDefaults(base Flow) Flow {
	f = Flow{
		High:       bound(f.High, base.High),
		Low:        bound(f.Low, base.Low),
		MaxPending: bound(f.MaxPending, base.MaxPending),
		MaxRead:    min(bound(f.MaxRead, base.MaxRead), math.MaxInt32),
	}
	f.Low = min(f.Low, f.High)
	return f
}

func bound(n, base int) int {
	switch {
	case n == 0:
		return base
	case n < 0:
		return math.MaxInt
	default:
		return n
	}
}

// SetFlow changes the connection's bounds; 0 keeps the listener's.
func (c *Conn) SetFlow(f Flow) {
	own := f.withDefaults(c.shard.env.Flow)
	c.mu.Lock()
	c.flow = &own
	c.finish()
}

// Pending is the bytes queued for sending.
func (c *Conn) Pending() int {
	c.mu.Lock()
	defer c.unlock()
	return c.out.Len()
}

// gateMode says what a connection's reads wait for.
type gateMode uint8

const (
	gateOwnReads gateMode = iota // its own output written in its Read callbacks
	gateOwn                      // all of its own output
	gateOther                    // all of another's (ext.waitsFor)
	gateOff
)

// gate is a connection's output level as others see it, and those who look.
type gate struct {
	of       *Conn
	watchers []*Conn      // guarded by of.mu
	high     atomic.Bool  // output rose above High and hasn't been down at Low since
	readers  atomic.Int32 // watchers with a read pending: they keep of open
}

// SetReadGate makes the connection's reads wait while o's output is high: o may be
// itself, or nil for no waiting. The default is its own output of its Read callbacks.
func (c *Conn) SetReadGate(o *Conn) {
	var g *gate
	mode := gateOff
	switch {
	case o == c:
		mode = gateOwn
	case o != nil:
		g, mode = o.watch(c), gateOther
	}
	c.mu.Lock()
	old := g // if it's too late, and nothing will be read any more
	if c.state != Closed && c.state != Released {
		old = c.setGateLocked(mode, g)
	}
	c.finish()
	old.unwatch(c)
}

// setGateLocked returns the gate that's to be unwatched, without the lock.
func (c *Conn) setGateLocked(mode gateMode, g *gate) *gate {
	x := c.extLocked()
	old := x.waitsFor
	if x.waiting {
		x.waiting = false
		old.readers.Add(-1) // unwatch has its owner look
	}
	x.gateMode, x.waitsFor = mode, g
	c.flags.clear(gated)
	c.holdGateLocked()
	return old
}

// holdGateLocked keeps the count of watchers with a read pending.
func (c *Conn) holdGateLocked() {
	x := c.ext
	if x.waitsFor == nil {
		return
	}
	if pending := c.read.kind != readNone && c.state == Open; pending != x.waiting {
		x.waiting = pending
		if pending {
			x.waitsFor.readers.Add(1)
		} else if x.waitsFor.readers.Add(-1) == 0 {
			x.unheld = x.waitsFor.of
		}
	}
}

// unholdLocked has the one that our reads wait for look whether it's still wanted.
func (c *Conn) unholdLocked() {
	o := c.ext.unheld
	c.ext.unheld = nil
	c.mu.Unlock()
	o.mu.Lock()
	o.finish()
	c.mu.Lock()
}

// watch has w told when c's output has fallen to Low.
func (c *Conn) watch(w *Conn) *gate {
	c.mu.Lock()
	defer c.unlock()
	x := c.extLocked()
	if x.gate == nil {
		x.gate = &gate{of: c}
	}
	if c.state < Closed {
		if c.out.Len() > c.flow.High {
			x.gate.high.Store(true)
		}
		x.gate.watchers = append(x.gate.watchers, w)
	}
	return x.gate
}

// unwatch takes c off, and lets the gate's owner see whether it's still wanted.
func (g *gate) unwatch(c *Conn) {
	if g == nil {
		return
	}
	g.of.mu.Lock()
	if i := slices.Index(g.watchers, c); i >= 0 {
		g.watchers = slices.Delete(g.watchers, i, i+1)
	}
	g.of.finish()
}

// suspendedLocked reports whether reads wait for output to go. It keeps the
// hysteresis.
func (c *Conn) suspendedLocked() bool {
	if c.reason.servesReads() {
		return false // that output won't go any more
	}
	level := c.out.Tagged()
	if c.ext != nil {
		switch c.ext.gateMode {
		case gateOwnReads:
		case gateOwn:
			level = c.out.Len()
		case gateOther:
			return c.ext.waitsFor.high.Load()
		case gateOff:
			return false
		}
	}
	switch {
	case level > c.flow.High:
		c.flags.set(gated)
	case level <= c.flow.Low:
		c.flags.clear(gated)
	}
	return c.flags.has(gated)
}

// nextOfFlowLocked is the part of nextLocked about levels. A level counts when the
// socket has refused to take it down; a write that was refused is told of in any case,
// so that whoever waits for WriteReady gets it.
func (c *Conn) nextOfFlowLocked() work {
	level := c.out.Len()
	switch {
	case c.state != Open || !c.flags.has(established):
	case !c.flags.has(blocked) && (level > c.flow.High && !c.flags.has(writable) || c.flags.has(refused)):
		return doBlocked
	case c.flags.has(blocked) && level <= c.flow.Low && (!c.flags.has(refused) || !c.hasOutputLocked()):
		return doReady // with everything sent, what was refused has room
	}
	if x := c.ext; x != nil && x.gate != nil && level <= c.flow.Low && x.gate.high.Load() {
		return doUngate
	}
	return nothing
}

// ungateLocked lets the watchers read. Their locks are taken without ours; a watcher
// that sees the gate high before this is kicked after it.
func (c *Conn) ungateLocked() {
	g := c.ext.gate
	g.high.Store(false)
	watchers := slices.Clone(g.watchers)
	c.mu.Unlock()
	for _, w := range watchers {
		w.mu.Lock()
		w.finish()
	}
	c.mu.Lock()
}
