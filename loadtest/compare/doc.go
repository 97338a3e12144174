// Package compare says whether one run was better or worse than another, and how sure that
// is.
//
// Purpose: two builds of a server under the same load never give the same figures. [Compare]
// tells a change from the noise, metric by metric, with a confidence interval and a
// [Verdict], for people and for CI.
//
// # The statistics
//
// Neighbouring seconds resemble each other, so the replies of a run, or its seconds, aren't
// independent, and a test that takes them for that finds differences everywhere. So each
// run's measured intervals are put into 8 to 20 batches of equal length, one after the
// other, as simulations are analysed (batch means; for percentiles it's called sectioning):
//
//   - A figure is that of the whole run, all histograms merged. Nothing is averaged.
//   - Its variance is that of the batches' figures about it, divided by their number; for
//     percentiles on a logarithmic scale, and no less than the jackknife says.
//   - If even batches resemble their neighbours, by their first autocorrelation, they count
//     for as much less.
//   - The difference of the two runs has a confidence interval of 99 % by Welch's t, whose
//     degrees of freedom are those of the batches that were counted. A metric is better or
//     worse if the interval doesn't have zero in it. If it does, with fewer than two degrees,
//     it's not comparable: so little was learnt that a large change would be in it, too.
//
// So of a hundred metrics that didn't change, about one is called better or worse by
// chance. A single freeze in one batch makes the interval wide, and isn't called a
// difference: it could have hit the other run. A percentile is compared only if each batch
// has at least five replies beyond it.
//
// What two runs can't show is how much runs of the same build differ from each other, by the
// machine's other work and where memory happened to be. [Options.Threshold] is for that, and
// a third run that compares the first build with itself shows how large it has to be.
//
// A wrong reply isn't statistics: if B has any and A none, B is worse.
//
// # What is comparable
//
// Two runs whose loads a server could tell apart aren't compared ([result.Load.Differences]),
// and invalid runs never are. Clients of another kind are a warning: they may be a cause, too.
//
// # Threads and ownership
//
// Compare only reads the results, and a [Comparison] has nothing of them in it.
//
// # Non-goals
//
// No history of many runs, and no cause.
//
// Reading order: compare.go, metrics.go, batch.go, interval.go, load.go, table.go.
package compare
