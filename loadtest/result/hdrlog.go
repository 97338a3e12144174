package result

import (
	"fmt"
	"io"
	"time"
)

// WriteHDRLog writes the intervals that were measured as an HdrHistogram interval log, in
// which the metric is the tag. Starts and lengths are in seconds, counted from the base time;
// values are in nanoseconds, the longest of each line in milliseconds, as the format's own
// tools have it. They have a nanosecond's digits, where the library's writer would lose what
// is below a millisecond, and of the base time what is below a second.
func WriteHDRLog(w io.Writer, r *Result) error {
	milliseconds := r.Started.UnixMilli()
	base := fmt.Sprintf("%d.%03d", milliseconds/1000, milliseconds%1000)
	if _, err := fmt.Fprintf(w, "#[Logged with loadtest]\n#[Histogram log format version 1.3]\n"+
		"#[BaseTime: %s (seconds since epoch)]\n#[StartTime: %s (seconds since epoch), %s]\n"+
		`"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"`+"\n",
		base, base, r.Started.UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	for _, i := range r.Intervals {
		if i.Phase == Warmup {
			continue
		}
		var before *Histogram // of which the line is
		var line string
		for _, m := range Metrics {
			h := i.Histograms[m]
			if h.Count() == 0 {
				continue
			}
			if before == nil || !h.equal(before) {
				text, err := h.MarshalText()
				if err != nil {
					return err
				}
				before = h
				line = fmt.Sprintf("%s,%s,%s,%s", decimal(i.Start, time.Second), decimal(i.Length, time.Second), decimal(h.Max(), time.Millisecond), text)
			}
			if _, err := fmt.Fprintf(w, "Tag=%s,%s\n", m, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// decimal is a time in a unit, to the nanosecond.
func decimal(d, unit time.Duration) string {
	digits := 0
	for n := unit; n > 1; n /= 10 {
		digits++
	}
	return fmt.Sprintf("%d.%0*d", d/unit, digits, d%unit)
}
