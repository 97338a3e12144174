package main

import (
	"encoding/json"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// joint is what the processes of a load have in common: when they begin, and what is shown.
type joint struct {
	procs    int
	start    time.Time // --start-at
	interval time.Duration
	show     func(result.Interval)

	mu      sync.Mutex
	waiting []io.Writer // processes that are ready
	reached []time.Time // where each process is: the beginning of its last interval
	open    []*piece    // what hasn't been shown, by when it began
}

// A piece of time is the intervals of several processes.
type piece struct {
	began time.Time
	of    []int // processes
	sum   result.Interval
}

func newJoint(procs int, l loadtest.Load) *joint {
	return &joint{
		procs: procs, start: l.StartAt, interval: l.Interval, show: l.OnInterval,
		reached: make([]time.Time, procs),
	}
}

// settling is how long processes get to hear when they begin.
const settling = 50 * time.Millisecond

// ready notes that a process is. When all are, they're told when to begin.
func (j *joint) ready(stdin io.Writer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting = append(j.waiting, stdin)
	if len(j.waiting) < j.procs {
		return
	}
	at := j.opening(time.Now().Add(settling))
	for _, w := range j.waiting {
		_ = json.NewEncoder(w).Encode(order{Begin: at}) // whoever hears it sees that it has died
	}
}

// opening is when all begin, as soon as possible. Those of other hosts, with the same
// --start-at, begin a whole number of intervals earlier or later.
func (j *joint) opening(earliest time.Time) time.Time {
	if after := earliest.Sub(j.start); !j.start.IsZero() && after > 0 {
		return j.start.Add((after + j.interval).Truncate(j.interval))
	}
	return earliest
}

// add puts a process's interval to those of the others that are the same piece of time, as
// result.Merge does.
func (j *joint) add(nth int, began time.Time, i result.Interval) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.open, func(p *piece) bool {
		return p.sum.Phase == i.Phase && began.Sub(p.began).Abs()*2 < j.interval && !slices.Contains(p.of, nth)
	})
	if at < 0 {
		p := &piece{began, []int{nth}, result.Interval{Phase: i.Phase, Start: i.Start}}
		p.sum.Absorb(i) // which leaves i as it is
		j.open = append(j.open, p)
		slices.SortStableFunc(j.open, func(a, b *piece) int { return a.began.Compare(b.began) })
	} else {
		j.open[at].of = append(j.open[at].of, nth)
		j.open[at].sum.Absorb(i)
	}
	j.reached[nth] = began
	j.showLocked()
}

// end notes that a process has no more intervals.
func (j *joint) end(nth int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reached[nth] = time.Unix(1<<40, 0)
	j.showLocked()
}

// showLocked shows the pieces that no process can add to any more.
func (j *joint) showLocked() {
	for len(j.open) > 0 {
		p := j.open[0]
		for nth, reached := range j.reached {
			if !slices.Contains(p.of, nth) && reached.Before(p.began.Add(j.interval/2)) {
				return
			}
		}
		j.open = j.open[1:]
		j.show(p.sum)
	}
}
