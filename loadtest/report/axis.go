package report

import (
	"math"
	"time"
)

// A scale puts values at places from 0 to 1.
type scale struct {
	low, high float64
	log       bool
	ticks     []float64
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		low, high, v = math.Log(low), math.Log(high), math.Log(max(v, low))
	}
	return min(max((v-low)/(high-low), 0), 1)
}

// headroom is the part of a scale above its highest value, where the names of bands stand.
const headroom = 0.11

// fromZero is for numbers and rates: linear.
func fromZero(highest float64, whole bool) scale {
	if highest <= 0 {
		highest = 1
	}
	step := roundStep(highest / 5)
	if whole {
		step = max(step, 1)
	}
	s := scale{high: highest / (1 - headroom)}
	for i := 0; float64(i)*step <= s.high; i++ {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	return s
}

// roundStep is the next of 1, 2 and 5 times a power of ten.
func roundStep(atLeast float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(atLeast)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= atLeast*0.9999 {
			return m * power
		}
	}
	return 10 * power
}

// logMarks are the places of ticks within a power of ten, from those for wide ranges to
// those for narrow ones.
var logMarks = [][]float64{{1}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 6, 8}}

// logarithmic is for times that differ by orders of magnitude.
func logarithmic(lowest, highest float64) scale {
	lowest = max(lowest, 1)
	highest = max(highest, lowest*3)
	s := scale{low: lowest, high: highest * math.Pow(highest/lowest, headroom), log: true}
	for _, marks := range logMarks {
		s.ticks = nil
		for power := math.Pow(10, math.Floor(math.Log10(s.low))); power <= s.high; power *= 10 {
			for _, m := range marks {
				if v := m * power; v >= s.low && v <= s.high {
					s.ticks = append(s.ticks, v)
				}
			}
		}
		if len(s.ticks) >= 3 {
			break
		}
	}
	return s
}

// timeSteps are the distances that people count time in.
var timeSteps = []time.Duration{
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// elapsed is for the time since the start.
func elapsed(end time.Duration) scale {
	s := scale{high: max(float64(end), 1)}
	step := timeSteps[len(timeSteps)-1]
	for _, candidate := range timeSteps {
		if end <= 7*candidate {
			step = candidate
			break
		}
	}
	for at := time.Duration(0); at <= end && len(s.ticks) < 50; at += step {
		s.ticks = append(s.ticks, float64(at))
	}
	return s
}
