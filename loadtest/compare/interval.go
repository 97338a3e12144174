package compare

import "math"

// An estimate is a figure with its uncertainty.
type estimate struct {
	figure   float64
	variance float64 // of the figure
	freedom  float64 // degrees of it
}

// estimateOf takes a figure of a whole run and those of its batches, in their order.
func estimateOf(figure float64, batches []float64) estimate {
	n := float64(len(batches))
	var sum float64
	for _, v := range batches {
		sum += (v - figure) * (v - figure)
	}
	independent := n * independence(batches)
	return estimate{figure, sum / (n - 1) / independent, max(independent-1, 1)}
}

// independence is for how much of an independent value each counts, by the first
// autocorrelation: 1 if they aren't alike.
func independence(values []float64) float64 {
	n := float64(len(values))
	var mean float64
	for _, v := range values {
		mean += v / n
	}
	var all, neighbours float64
	for i, v := range values {
		all += (v - mean) * (v - mean)
		if i > 0 {
			neighbours += (v - mean) * (values[i-1] - mean)
		}
	}
	if all == 0 {
		return 1
	}
	// What few values show is too low: of r they show r − (1 + 4r)/n, on average.
	r := min(max((neighbours/all+1/n)/(1-4/n), 0), 0.9)
	return (1 - r) / (1 + r)
}

// jackknife is the variance of a figure, by what it would be without each batch in turn.
func jackknife(without []float64) float64 {
	n := float64(len(without))
	var mean, sum float64
	for _, v := range without {
		mean += v / n
	}
	for _, v := range without {
		sum += (v - mean) * (v - mean)
	}
	return sum * (n - 1) / n
}

// difference is B − A, and how far that may be off, by Welch's t with its degrees of freedom.
func difference(a, b estimate) (change, margin, freedom float64) {
	variance := a.variance + b.variance
	change = b.figure - a.figure
	if variance == 0 {
		return change, 0, math.Inf(1)
	}
	freedom = variance * variance / (a.variance*a.variance/a.freedom + b.variance*b.variance/b.freedom)
	return change, studentT(freedom) * math.Sqrt(variance), freedom
}

// leastFreedom is how many degrees it takes to say that there's no significant difference. With
// one the interval is 64 deviations to each side, and few changes would be out of it.
const leastFreedom = 2

// student are the values of Student's t that [Confidence] lies within on both sides, for 1, 2
// … degrees of freedom.
var student = []float64{
	63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169,
	3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845,
	2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750,
}

// studentT is for a whole number of degrees, so it's rather too large than too small.
func studentT(freedom float64) float64 {
	return student[int(min(max(freedom, 1), float64(len(student))))-1]
}
