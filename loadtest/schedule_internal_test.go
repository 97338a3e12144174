package loadtest

import (
	"math"
	"slices"
	"testing"
	"time"
)

// Poisson arrivals have exponential gaps: with a deviation that's their mean, and beyond k
// means a part of e^-k.
func TestPoisson(t *testing.T) {
	t.Parallel()
	const n = 200_000
	l := Load{Rate: 1000, Connections: 10, Poisson: true, Seed: 1}
	for nth := range 3 {
		s := newSchedule(l, nth, time.Minute)
		last := time.Minute
		var sum, squares float64
		var beyond [4]float64
		for range n {
			gap := (s.next - last).Seconds() * l.Rate / float64(l.Connections) // in means
			last = s.next
			sum += gap
			squares += gap * gap
			for k := range beyond {
				if gap > float64(k) {
					beyond[k]++
				}
			}
			s.advance()
		}
		near := func(what string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > 0.01 { // five deviations, of what is the least certain
				t.Errorf("connection %d: %s is %.4f, want %.4f", nth, what, got, want)
			}
		}
		mean := sum / n
		near("the mean", mean, 1)
		near("the deviation", math.Sqrt(squares/n-mean*mean), 1)
		for k, many := range beyond {
			near("the part beyond some means", many/n, math.Exp(-float64(k)))
		}
	}
}

// Messages of a constant rate have equal distances, of all connections together, and of all
// processes.
func TestConstantRate(t *testing.T) {
	t.Parallel()
	const n, rate, connections = 1000, 500, 6
	for processes := 1; processes <= 3; processes++ {
		var times []time.Duration
		for process := range processes {
			l := Load{
				Rate: rate / float64(processes), Connections: connections / processes,
				Offset: time.Duration(process) * time.Second / rate,
			}
			for nth := range l.Connections {
				s := newSchedule(l, nth, time.Minute)
				for s.next < time.Minute+n*time.Second/rate-time.Millisecond {
					times = append(times, s.next)
					s.advance()
				}
			}
		}
		slices.Sort(times)
		if len(times) != n {
			t.Errorf("%d processes: %d messages in %v, want %d", processes, len(times), n*time.Second/rate, n)
		}
		for i, at := range times {
			if off := at - time.Minute - time.Duration(i)*time.Second/rate; off.Abs() > time.Microsecond {
				t.Fatalf("%d processes: message %d is %v off", processes, i, off)
			}
		}
	}
}
