package reactor

import (
	"sync/atomic"
	"time"
)

// How a loop knows how long its dispatches take and how busy it is. The poller doesn't
// tell where its batches begin and end, and two looks at the clock for each event would
// cost an echo more than 1 %. So dispatches are timed as sparsely as they're dense, and
// stand for those that weren't.
const (
	// SampleEvery is of how many dispatches, or calls, one is timed where they're many.
	// It's a prime, so that kinds which take turns are all met.
	SampleEvery = 61
	// denseBelow is the time from one dispatch to the next below which they're many.
	// Beyond it each is timed, at the cost of less than 0.2 % of the time.
	denseBelow = 50 * time.Microsecond
)

// turns are a loop's dispatches.
type turns struct {
	// The loop's own.
	every   int           // dispatches that the next sample stands for
	untimed int           // of them to come; 0: this one is timed
	began   time.Duration // when it began
	sampled time.Duration // when the last sample ended

	lengths *Histogram
	busy    atomic.Int64 // time in dispatches, but for what's beyond Group.long in one of them
	beyond  atomic.Int64 // that: it's the watchdog's to count, because one long call is easily missed by samples
}

func newTurns() turns { return turns{every: 1, untimed: 1, lengths: NewHistogram(CallBounds)} }

// observe ends a dispatch that was timed.
func (t *turns) observe(now, long time.Duration) {
	took, since := now-t.began, now-t.sampled
	t.sampled = now
	// However long this one was, all of them fit into the time since the last.
	all := func(d time.Duration) time.Duration { return min(d*time.Duration(t.every), since) }
	t.lengths.observe(took, t.every, all(took))
	t.busy.Store(t.busy.Load() + int64(all(min(took, long))))
	if since < denseBelow*time.Duration(t.every) {
		t.every = SampleEvery
	} else {
		t.every = 1
	}
	t.untimed = t.every
}
