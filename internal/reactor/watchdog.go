package reactor

import (
	"bytes"
	"runtime"
	"strconv"
	"time"
)

// Slow reports a call that keeps its loop, and so every connection on it, waiting.
type Slow struct {
	Reactor int
	For     time.Duration // at least; the call hasn't returned yet
	Stack   []byte        // the loop's goroutine now
}

// watchdog samples how many dispatches each loop has begun and ended, which costs the
// loop no look at a clock. One that stays begun over the threshold is reported, once.
type watchdog struct {
	group *Group
	seen  []sighting
	last  time.Duration // when it sampled
	alarm Alarm
	tick  chan struct{}
	quit  chan struct{}
	ended chan struct{}
}

// sighting is the dispatch that a loop was in at the last sample.
type sighting struct {
	dispatch uint64 // its number; 0: none
	since    time.Duration
	reported bool
}

func newWatchdog(g *Group) *watchdog {
	w := &watchdog{
		group: g,
		seen:  make([]sighting, len(g.reactors)),
		tick:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	w.alarm = g.config.Clock.NewAlarm(func() {
		select {
		case w.tick <- struct{}{}:
		default:
		}
	})
	return w
}

func (w *watchdog) run() {
	defer close(w.ended)
	defer w.alarm.Stop()
	w.last = w.group.config.Clock.Now()
	for {
		w.alarm.Set(w.group.config.pause())
		select {
		case <-w.tick:
			w.sample()
		case <-w.quit:
			return
		}
	}
}

// pause is the time between samples.
func (c Config) pause() time.Duration { return min(c.Slow/2, DefaultSlow/2) }

func (w *watchdog) stop() {
	close(w.quit)
	<-w.ended
}

func (w *watchdog) sample() {
	now := w.group.config.Clock.Now()
	since := min(now-w.last, gap) // beyond that the process didn't run
	w.last = now
	for i, r := range w.group.reactors {
		s := &w.seen[i]
		// finished first: read later, it could belong to a later dispatch.
		finished := r.finished.Load()
		started := r.started.Load()
		if started == finished {
			*s = sighting{}
			continue
		}
		if s.dispatch != started {
			*s = sighting{dispatch: started, since: now}
			continue
		}
		r.turns.beyond.Add(int64(since))
		if took := now - s.since; took >= w.group.config.Slow && !s.reported {
			s.reported = true
			w.group.slow.Add(1)
			w.group.config.OnSlow(Slow{Reactor: i, For: took, Stack: stackOf(r.goid.Load())})
		}
	}
}

// goroutineID is the number in the heading of the caller's stack trace.
func goroutineID() int64 {
	var buf [64]byte
	fields := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(fields) < 2 {
		return 0
	}
	id, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// stackOf finds a goroutine's trace in a dump of all of them. That's slow, and stops
// the program for a moment, which a loop that is stuck justifies.
func stackOf(id int64) []byte {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= 64<<20 {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 4*len(buf))
	}
	heading := []byte("goroutine " + strconv.FormatInt(id, 10) + " ")
	for trace := range bytes.SplitSeq(buf, []byte("\n\n")) {
		if bytes.HasPrefix(trace, heading) {
			return bytes.Clone(trace)
		}
	}
	return nil
}
