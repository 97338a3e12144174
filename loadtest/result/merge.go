package result

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNothing is returned for a merge of no results.
var ErrNothing = errors.New("there is nothing to merge")

// Merge joins the results of processes that made load together. Intervals of the same
// phase that began at the same time, to the nearest whole interval, become one. Nothing is
// lost: counts are summed, and so are histograms, bucket by bucket. The verdicts on
// objectives aren't kept: they were about parts.
func Merge(parts ...*Result) (*Result, error) {
	if len(parts) == 0 {
		return nil, ErrNothing
	}
	first := parts[0]
	for _, p := range parts {
		if p.Load.Interval != first.Load.Interval {
			return nil, fmt.Errorf("intervals of %v and of %v can't be merged: run both with the same --interval", first.Load.Interval, p.Load.Interval)
		}
		if p.Load.Mode != first.Load.Mode {
			return nil, fmt.Errorf("an open and a closed loop can't be merged: their latencies mean different things")
		}
	}
	m := &Result{
		Version: Version,
		Started: first.Started,
		Ended:   first.Ended,
		Command: slices.Clone(first.Command),
		Load:    first.Load,
	}
	m.Load.Connections, m.Load.Rate, m.Load.Hostile, m.Load.Verified = 0, 0, nil, true
	for _, p := range parts {
		m.Started = earlier(m.Started, p.Started)
		if p.Ended.After(m.Ended) {
			m.Ended = p.Ended
		}
		m.Load.Connections += p.Load.Connections
		m.Load.Rate += p.Load.Rate
		m.Load.Hostile = addCounts(m.Load.Hostile, p.Load.Hostile)
		m.Load.Verified = m.Load.Verified && p.Load.Verified
		m.Stopped = m.Stopped || p.Stopped
		m.Clients = append(m.Clients, p.Clients...)
		for _, t := range p.Targets {
			if !slices.Contains(m.Targets, t) {
				m.Targets = append(m.Targets, t)
			}
		}
	}
	for _, p := range parts {
		m.join(p, p.Started.Sub(m.Started))
	}
	slices.SortStableFunc(m.Intervals, func(a, b Interval) int { return cmp.Compare(a.Start, b.Start) })
	return m, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// join adds a part that began so much later. Its own intervals stay apart: of a short phase
// two may begin close together.
func (r *Result) join(part *Result, later time.Duration) {
	later = later.Round(max(r.Load.Interval, 1))
	others := r.Intervals
	joined := make([]bool, len(others))
	for _, i := range part.Intervals {
		i.Start += later
		at := 0
		for at < len(others) && (joined[at] || !r.together(others[at], i)) {
			at++
		}
		if at == len(others) {
			r.Intervals = append(r.Intervals, i.clone())
			continue
		}
		r.Intervals[at].Absorb(i)
		joined[at] = true
	}
	for kind, e := range part.Examples {
		e.At += later
		if have, ok := r.Examples[kind]; !ok || e.At < have.At {
			if r.Examples == nil {
				r.Examples = map[ErrorKind]Example{}
			}
			r.Examples[kind] = e
		}
	}
}

// together reports whether two intervals are the same piece of time, as different processes
// saw it.
func (r *Result) together(a, b Interval) bool {
	apart := (a.Start - b.Start).Abs()
	return a.Phase == b.Phase && apart*2 < max(r.Load.Interval, 1)
}
