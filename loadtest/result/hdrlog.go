package result

import (
	"io"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// WriteHDRLog writes the intervals that were measured as an HdrHistogram interval log, in
// which the metric is the tag. Values are in nanoseconds, the longest of each line in
// milliseconds, as the format's own tools have it.
func WriteHDRLog(w io.Writer, r *Result) error {
	start := r.Started.UnixMilli()
	log := hdr.NewHistogramLogWriter(w)
	log.SetBaseTime(start)
	for _, step := range []func() error{
		func() error { return log.OutputComment("[Logged with loadtest]") },
		log.OutputLogFormatVersion,
		func() error { return log.OutputBaseTime(start) },
		func() error { return log.OutputStartTime(start) },
		log.OutputLegend,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, i := range r.Intervals {
		if i.Phase == Warmup {
			continue
		}
		for _, m := range Metrics {
			if i.Histograms[m].Count() == 0 {
				continue
			}
			h := i.Histograms[m].packed.Clone()
			h.SetTag(string(m))
			h.SetStartTimeMs(start + i.Start.Milliseconds())
			h.SetEndTimeMs(start + (i.Start + i.Length).Milliseconds())
			if err := log.OutputIntervalPackedHistogram(h); err != nil {
				return err
			}
		}
	}
	return nil
}
