package compare

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable writes the comparison for people. The errors are those of w.
func (c Comparison) WriteTable(w io.Writer) error {
	var text strings.Builder
	for _, s := range []struct {
		name string
		side Side
	}{{"A", c.A}, {"B", c.B}} {
		fmt.Fprintf(&text, "%s  %s, %v measured, %s\n", s.name, strings.Join(s.side.Targets, ", "),
			s.side.Time.Round(time.Second), s.side.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	text.WriteByte('\n')
	for _, why := range c.Refused {
		fmt.Fprintf(&text, "Not comparable: %s.\n", why)
	}
	for _, why := range c.Warnings {
		fmt.Fprintf(&text, "Mind that %s.\n", why)
	}
	if len(c.Refused)+len(c.Warnings) > 0 {
		text.WriteByte('\n')
	}
	c.table(&text)
	if worse := c.Worse(); len(worse) > 0 {
		fmt.Fprintf(&text, "\nB is worse by more than %s: %s.\n", percent(c.Threshold), strings.Join(worse, ", "))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (c Comparison) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintf(t, "\tA\tB\tchange\t%.0f %% interval\tverdict\n", 100*c.Confidence)
	for _, r := range c.Rows {
		change, interval := "–", "–"
		if r.Change != nil {
			change = r.difference(*r.Change)
		}
		if r.Low != nil {
			interval = r.difference(*r.Low) + " … " + r.difference(*r.High)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Metric, r.figure(r.A), r.figure(r.B), change, interval, r.words())
	}
	_ = t.Flush() // w is a strings.Builder
	if len(c.Refused) > 0 {
		return
	}
	end := "\n"
	for _, r := range c.Rows {
		if r.Verdict == NotComparable {
			_, _ = io.WriteString(w, end)
			end = ""
			_, _ = fmt.Fprintf(w, "%s isn't comparable: %s.\n", r.Metric, r.Reason)
		}
	}
}

func (r Row) words() string {
	switch r.Verdict {
	case Better:
		return "better"
	case Worse:
		return "worse"
	case Same:
		return "no significant difference"
	case NotComparable:
		return "not comparable"
	}
	return string(r.Verdict)
}

func (r Row) figure(v *float64) string {
	if v == nil {
		return "–"
	}
	switch r.Unit {
	case PerSecond:
		if *v >= 100 {
			return strconv.FormatFloat(*v, 'f', 0, 64) + "/s"
		}
		return significant(*v) + "/s"
	case Nanoseconds:
		return shortTime(*v)
	case Part:
		return percent(*v)
	case Number:
		return strconv.FormatFloat(*v, 'f', 0, 64)
	}
	return ""
}

// difference is relative; of parts it's in points of a percent.
func (r Row) difference(v float64) string {
	if v == 0 {
		return "0"
	}
	sign := "+"
	if v < 0 {
		sign = "−"
	}
	v = math.Abs(v)
	switch r.Unit {
	case Number:
		return sign + significant(v)
	case Part:
		return sign + significant(100*v) + " points"
	case PerSecond, Nanoseconds:
	}
	if v >= 100 {
		return sign + "10000 % or more"
	}
	return sign + strconv.FormatFloat(100*v, 'f', 1, 64) + " %"
}

func shortTime(ns float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= u.size {
			return threeDigits(ns/u.size) + " " + u.name
		}
	}
	return significant(ns) + " ns"
}

// threeDigits has zeros at its end, so that columns can be compared.
func threeDigits(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func percent(part float64) string { return significant(100*part) + " %" }

// significant has up to three digits, or all before the point.
func significant(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
