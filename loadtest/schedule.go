package loadtest

import (
	"math/rand/v2"
	"time"
)

// A schedule is the planned times of one connection's messages in an open loop, counted
// from the start of the run. It doesn't know who is late: a connection that couldn't send
// catches up, and its messages keep their planned times.
type schedule struct {
	next   time.Duration
	gap    time.Duration // on average
	random *rand.Rand    // nil: all gaps are equal
}

// newSchedule is that of the nth of a load's connections. Constant schedules are shifted
// against each other, so that the sum of them is even too, as are those of several processes.
func newSchedule(l Load, nth int, from time.Duration) *schedule {
	gap := time.Duration(float64(l.Connections) / l.Rate * float64(time.Second))
	s := &schedule{gap: gap}
	if l.Poisson {
		s.random = rand.New(rand.NewPCG(uint64(l.Seed), uint64(nth)))
		s.next = from
		s.advance()
		return s
	}
	s.next = from + l.Offset + time.Duration(float64(gap)*float64(nth)/float64(l.Connections))
	return s
}

func (s *schedule) advance() {
	gap := s.gap
	if s.random != nil {
		gap = time.Duration(s.random.ExpFloat64() * float64(gap))
	}
	s.next += gap
}

// passed is how many messages were planned before a time; they're skipped.
func (s *schedule) passed(now time.Duration) uint64 {
	var n uint64
	for s.next < now {
		s.advance()
		n++
	}
	return n
}
