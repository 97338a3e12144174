// Package stats sums up the few repetitions that a benchmark has: median,
// smallest and largest, and the ratio of two servers repetition by repetition.
//
// Ratios are taken pair by pair because the two samples of one repetition were
// measured seconds apart: what disturbed the machine disturbed both.
//
// A Histogram is for the many values within one repetition: latencies.
package stats
