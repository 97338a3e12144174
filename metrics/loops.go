package metrics

import (
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

// loops are the event loops of one Mux.
type loops struct {
	// Immutable.
	mux   *conn.Mux
	first int // the number of its first loop
	beats []*heartbeat
}

// end is one beyond the number of its last loop.
func (l *loops) end() int { return l.first + len(l.beats) }

// failed reports whether one of the loops has.
func (l *loops) failed() bool {
	select {
	case <-(*engine.Mux)(l.mux).Failed():
		return true
	default:
		return false
	}
}

// loopsLocked returns a Mux's loops, and numbers them when it's new.
func (c *Collector) loopsLocked(mux *conn.Mux) *loops {
	for _, l := range c.loops {
		if l.mux == mux {
			return l
		}
	}
	l := &loops{mux: mux}
	// Each loop by itself: conn.Mux.Post asks one of them, and a loop that's stuck
	// keeps only its own connections waiting.
	for _, r := range (*engine.Mux)(mux).Group.Reactors() {
		l.beats = append(l.beats, &heartbeat{post: r.PostFunc})
	}
	l.first = c.freeLocked(len(l.beats))
	c.loops = append(c.loops, l)
	return l
}

// freeLocked finds the first n numbers in a row that nobody has: those of a Mux that was
// removed are used again, so that replacing servers makes no new label values.
func (c *Collector) freeLocked(n int) (first int) {
	for moved := true; moved; {
		moved = false
		for _, l := range c.loops {
			if first < l.end() && l.first < first+n {
				first, moved = l.end(), true
			}
		}
	}
	return first
}
