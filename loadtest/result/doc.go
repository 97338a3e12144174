// Package result is what a run of the load generator leaves behind: counts and histograms,
// second by second, with all that is needed to judge them later and elsewhere.
//
// Purpose: one type that the run fills, that JSON files hold, that several processes and hosts
// are merged into, and that reports and comparisons read. [Result] has the intervals;
// [Result.Total] adds them up.
//
// # What is measured
//
// A [Metric] names a kind of time, and each interval has a [Histogram] for it if there was
// any. Histograms have three significant digits from 1 ns to 1 h: a time is told from those
// that differ from it by a thousandth, and what is asked for is the longest that counts as the
// same. What is below or above the range counts as its end, and is never lost: a stall of two
// hours is one of an hour. They're kept in full, as HdrHistogram's own compressed text, so
// percentiles of a sum are those of all its parts: nothing is averaged.
//
// # What it costs
//
// An interval that has ended is kept compressed ([Interval.Compress]). A second of 100,000
// messages takes 5.5 KB in a closed loop, where the histograms of the round trip are the same,
// and 14 KB in an open one: a fifteenth and a tenth of what they take expanded. To compress
// or expand a histogram takes 0.2 ms. [Sum] adds up many without expanding each, and JSON is
// written and read interval by interval. (go test -bench . ./loadtest/result)
//
// Every time is an integer number of nanoseconds, and a field that has one ends in _ns in
// JSON. Interval starts are counted from [Result.Started].
//
// # Versions
//
// [Version] grows with every change that an older reader would misunderstand. [Read] refuses
// what is newer than it knows, what lacks something that a result has, and what is cut off.
//
// # Threads and ownership
//
// Values with no locks in them: whoever has one may read it from several goroutines as
// long as none changes it. [Merge] takes what it merges apart and leaves it as it was.
//
// # Non-goals
//
// No network and no clock: a result is data. No statistics over several runs.
//
// Reading order: result.go, load.go, interval.go, histogram.go, compressed.go, encoding.go, sum.go,
// total.go, merge.go, objective.go, then the formats: json.go, csv.go, hdrlog.go.
package result
