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
// loop no look at a clock. One that stays begun over the threshold is reported, once; a
// loop that's seen in a dispatch counts as busy since the last sample.
type watchdog struct {
	group *Group
	seen  []sighting
	last  time.Duration // when it sampled
	phase uint32
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
		w.alarm.Set(w.pause())
		select {
		case <-w.tick:
			w.sample()
		case <-w.quit:
			return
		}
	}
}

// longestPause keeps the samples dense enough to tell how busy a loop is.
const longestPause = 50 * time.Millisecond

// pause is the time until the next sample: about half of the threshold, and each time
// another one, so that a loop which works at regular times isn't always met at work, or
// never.
func (w *watchdog) pause() time.Duration {
	w.phase += 0x9e3779b9 // the golden ratio's fraction: spread evenly, and the same in each run
	mean := min(w.group.config.Slow/2, longestPause)
	return mean*3/4 + mean/2*time.Duration(w.phase>>16)>>16
}

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
		r.busy.Add(int64(since))
		if s.dispatch != started {
			*s = sighting{dispatch: started, since: now}
			continue
		}
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
