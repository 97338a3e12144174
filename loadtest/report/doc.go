// Package report draws a result as one HTML file for people: what came out, in ten seconds,
// and below it how it went second by second.
//
// Purpose: [Write] turns a result into a page that needs nothing else: no network, no
// other file. Its charts are SVG made here; a few lines of script show the values of an
// instant under the pointer, and without them nothing is missing but that.
//
// # What a chart is
//
// A chart's SVG is stretched to the width that there is, and its words are HTML that isn't,
// so that they can be read on a phone. Its height is fixed: vertical places are in pixels,
// horizontal ones in thousandths of the width. A long run is drawn in at most 240 columns of
// several intervals each; their histograms are merged, so nothing is averaged.
//
// # Threads and ownership
//
// Write only reads the result; no goroutine is started.
//
// # Non-goals
//
// No judging: what is valid, kept or wrong stands in the result. No comparing: that's
// loadtest/compare. No charts for other purposes.
//
// Reading order: report.go, headline.go, chart.go, axis.go, timeline.go, overtime.go,
// distribution.go, times.go, number.go; then page.html, style.css and hover.js.
package report
