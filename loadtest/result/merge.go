package result

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"
)

// ErrNothing is returned for a merge of no results.
var ErrNothing = errors.New("there is nothing to merge")

// A Misfit is why a part can't be merged with the first one.
type Misfit struct {
	Part   int // 0 is the first
	Reason string
}

func (m *Misfit) Error() string { return fmt.Sprintf("part %d: %s", m.Part+1, m.Reason) }

// Merge joins the results of processes that made load together: at the same time, with the
// same load on each connection. How many connections they had, and of what rate, may differ,
// and so may their targets. Intervals of the same phase that began at the same time, to the
// nearest whole interval, become one. Nothing is lost: counts are summed, and so are
// histograms, bucket by bucket. The verdicts on objectives aren't kept: they were about
// parts. One invalid part makes the whole invalid. The error is a [*Misfit], or [ErrNothing].
func Merge(parts ...*Result) (*Result, error) {
	if len(parts) == 0 {
		return nil, ErrNothing
	}
	for n, p := range parts {
		if reason := misfit(parts[0], p); reason != "" {
			return nil, &Misfit{n, reason}
		}
		if reason := apart(parts, n); reason != "" {
			return nil, &Misfit{n, reason}
		}
	}
	m := parts[0].frame()
	m.Load.Connections, m.Load.Rate, m.Load.ConnectRate, m.Load.Hostile, m.Load.Verified = 0, 0, 0, nil, true
	for _, p := range parts {
		m.Started = earlier(m.Started, p.Started)
		if p.Ended.After(m.Ended) {
			m.Ended = p.Ended
		}
		m.Load.Connections += p.Load.Connections
		m.Load.Rate += p.Load.Rate
		m.Load.ConnectRate += p.Load.ConnectRate
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
	var groups []group
	for _, p := range parts {
		later := p.Started.Sub(m.Started).Round(max(m.Load.Interval, 1))
		groups = join(groups, p.Intervals, later, m.Load.Interval)
		m.addExamples(p.Examples, later)
	}
	var sum Sum
	for _, g := range groups {
		m.Intervals = append(m.Intervals, g.sum(&sum))
	}
	return m, nil
}

// frame is a new result with what the parts of a whole have in common.
func (r *Result) frame() *Result {
	return &Result{
		Version: Version,
		Started: r.Started,
		Ended:   r.Ended,
		Command: slices.Clone(r.Command),
		Load:    r.Load,
	}
}

// misfit says why a part isn't of one load with the first; empty: it is.
func misfit(first, p *Result) string {
	for _, d := range first.Load.Differences(p.Load) {
		switch d.Field {
		case FieldConnections, FieldRate, FieldConnectRate, FieldHostile, FieldVerified: // they have a sum
		case FieldMode:
			return "an open and a closed loop can't be merged: their latencies mean different things"
		case FieldInFlight, FieldArrival, FieldThink, FieldLifetime, FieldChurn, FieldResume, FieldTimeout, FieldSizes, FieldCodec:
			return fmt.Sprintf("its load differs (%s %s, and the first part's %s): the sum would be of neither", d.Field, d.B, d.A)
		}
	}
	if a, b := first.Load.Interval, p.Load.Interval; a != b {
		return fmt.Sprintf("intervals of %v can't be merged with such of %v: run both with the same --interval", b, a)
	}
	return ""
}

// together is within what time processes that were told to begin at the same time do. The
// shortest runs have ended by then.
const together = time.Second

// apart says that a part wasn't on at the same time as any other; empty: it was.
func apart(parts []*Result, n int) string {
	p := parts[n]
	for i, other := range parts {
		overlap := p.Started.Before(other.Ended) && other.Started.Before(p.Ended)
		if len(parts) == 1 || i != n && (overlap || p.Started.Sub(other.Started).Abs() < together) {
			return ""
		}
	}
	return fmt.Sprintf("it went from %s to %s, when no other did: they weren't made together, or their clocks disagree",
		p.Started.UTC().Format(time.DateTime), p.Ended.UTC().Format(time.DateTime))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// addExamples keeps the first of each kind.
func (r *Result) addExamples(examples map[ErrorKind]Example, later time.Duration) {
	for kind, e := range examples {
		e.At += later
		if have, ok := r.Examples[kind]; !ok || e.At < have.At {
			if r.Examples == nil {
				r.Examples = map[ErrorKind]Example{}
			}
			r.Examples[kind] = e
		}
	}
}

// A group is one piece of time, as different processes saw it: an interval of each.
type group []Interval

func (g group) start() time.Duration { return g[0].Start }

// join puts a part's intervals, which began so much later, into the groups. Its own intervals
// stay apart: of a short phase two may begin close together.
func join(groups []group, part []Interval, later, length time.Duration) []group {
	joined := make([]bool, len(groups))
	var more []group
	for _, i := range part {
		i.Start += later
		near := func(g group) bool { return (g.start()-i.Start).Abs()*2 < max(length, 1) }
		at := sort.Search(len(groups), func(n int) bool { return groups[n].start() >= i.Start || near(groups[n]) })
		for at < len(groups) && near(groups[at]) && (joined[at] || groups[at][0].Phase != i.Phase) {
			at++
		}
		if at == len(groups) || !near(groups[at]) {
			more = append(more, group{i})
			continue
		}
		groups[at] = append(groups[at], i)
		joined[at] = true
	}
	groups = append(groups, more...)
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(a.start(), b.start()) })
	return groups
}

// sum is compressed at once: expanded, all of a night's would be too much.
func (g group) sum(s *Sum) Interval {
	sum := g[0].clone()
	if len(g) == 1 {
		return sum.Compress()
	}
	for _, i := range g[1:] {
		i.Histograms = nil
		sum.Absorb(i)
	}
	for _, i := range g {
		s.Add(i)
	}
	sum.Histograms = s.Histograms()
	return sum.Compress()
}
