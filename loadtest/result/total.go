package result

import "time"

// A Total is the sum of what counts: the measured intervals, and the replies that came
// after them.
type Total struct {
	Counts
	Time       time.Duration // that was measured
	Histograms map[Metric]*Histogram
	Errors     map[ErrorKind]uint64
	PeakOpen   uint64 // connections at the same time, at the end of an interval
}

// Total adds the intervals up.
func (r *Result) Total() Total {
	var t Total
	var sum Sum
	var until time.Duration // measured time before it is in t.Time
	for _, i := range r.Intervals {
		switch i.Phase {
		case Warmup:
			continue
		case Measure:
			// Those of several hosts may overlap.
			end := i.Start + i.Length
			t.Time += max(0, end-max(i.Start, until))
			until = max(until, end)
		case Connecting, Drain:
			i.ClientCPU = 0 // as its time doesn't count either
		}
		t.Add(i.Counts)
		t.Open = i.Open
		t.PeakOpen = max(t.PeakOpen, i.Open)
		sum.Add(i)
		t.Errors = addCounts(t.Errors, i.Errors)
	}
	t.Histograms = sum.Histograms()
	return t
}

// Rate is n per second of the time that was measured.
func (t Total) Rate(n uint64) float64 {
	if t.Time <= 0 {
		return 0
	}
	return float64(n) / t.Time.Seconds()
}

// Failed is how many errors there were, of all kinds.
func (t Total) Failed() uint64 {
	var sum uint64
	for _, n := range t.Errors {
		sum += n
	}
	return sum
}

// Faults is how many errors were the server's giving other bytes than it should have.
func (t Total) Faults() uint64 {
	var sum uint64
	for k, n := range t.Errors {
		if k.Fault() {
			sum += n
		}
	}
	return sum
}

// ErrorRatio is the part of what was attempted that failed: errors over replies and errors.
func (t Total) ErrorRatio() float64 {
	failed := t.Failed()
	if failed == 0 {
		return 0
	}
	return float64(failed) / float64(failed+t.Received)
}
