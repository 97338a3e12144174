package result

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An Objective is what a run has to keep: a percentile of a metric, the part of errors, or
// a rate.
type Objective struct {
	text     string // as it was written
	subject  string // of subjects, or a metric
	quantile string // of quantiles; empty for other subjects
	less     bool   // the value has to be below the limit; otherwise above
	orEqual  bool
	limit    float64 // nanoseconds, part of 1, or per second
}

// Verdict is an objective with what became of it.
type Verdict struct {
	Objective string `json:"objective"`
	Measured  string `json:"measured"`
	Kept      bool   `json:"kept"`
}

// objectiveNames are the metrics in the words of an objective.
var objectiveNames = map[string]Metric{
	"connect":               Connect,
	"handshake":             HandshakeFull,
	"resumed":               HandshakeResumed,
	"firstbyte":             FirstByte,
	"roundtrip":             RoundTrip,
	"roundtrip-uncorrected": RoundTripUncorrected,
}

const (
	subjectErrors = "errors"
	subjectRate   = "rate"
)

const objectiveWant = "want such as roundtrip p99<5ms, connect max<1s, errors<0.01% or rate>=1000; the times are of connect, handshake, resumed, firstbyte, roundtrip and roundtrip-uncorrected"

// ParseObjectives reads a list such as
//
//	roundtrip p99<5ms, connect max<1s, errors<0.01%, rate>=1000
//
// The subjects with a time are connect, handshake, resumed, firstbyte, roundtrip and
// roundtrip-uncorrected; after them comes mean, max or a percentile. errors is a part of all
// replies, rate is replies per second. The comparisons are <, <=, > and >=.
func ParseObjectives(text string) ([]Objective, error) {
	var all []Objective
	for one := range strings.SplitSeq(text, ",") {
		o, err := parseObjective(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

func parseObjective(text string) (Objective, error) {
	bad := fmt.Errorf("%q: %s", text, objectiveWant)
	o := Objective{text: text}
	at := strings.IndexAny(text, "<>")
	if at < 0 {
		return o, bad
	}
	o.less = text[at] == '<'
	limit := text[at+1:]
	limit, o.orEqual = strings.CutPrefix(limit, "=")
	limit = strings.TrimSpace(limit)
	words := strings.Fields(text[:at])
	switch {
	case len(words) == 1 && words[0] == subjectErrors:
		return o, o.number(words[0], limit, bad)
	case len(words) == 1 && words[0] == subjectRate:
		return o, o.number(words[0], limit, bad)
	case len(words) != 2 || objectiveNames[words[0]] == "":
		return o, bad
	}
	if _, ok := quantile(words[1]); !ok && words[1] != "mean" && words[1] != "max" {
		return o, bad
	}
	d, err := time.ParseDuration(limit)
	if err != nil || d < 0 {
		return o, bad
	}
	o.subject, o.quantile, o.limit = words[0], words[1], float64(d)
	return o, nil
}

// number reads a limit that is no time; percent divides by 100.
func (o *Objective) number(subject, limit string, bad error) error {
	digits, percent := strings.CutSuffix(limit, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 || percent && subject == subjectRate {
		return bad
	}
	if percent {
		n /= 100
	}
	o.subject, o.limit = subject, n
	return nil
}

func quantile(word string) (float64, bool) {
	digits, ok := strings.CutPrefix(word, "p")
	p, err := strconv.ParseFloat(digits, 64)
	return p, ok && err == nil && p > 0 && p <= 100
}

func (o Objective) String() string { return o.text }

// Judge says whether a total keeps the objective. A time of which there was none isn't kept:
// nothing was shown.
func (o Objective) Judge(t Total) Verdict {
	v := Verdict{Objective: o.text}
	var value float64
	switch o.subject {
	case subjectErrors:
		value = t.ErrorRatio()
		v.Measured = strconv.FormatFloat(100*value, 'g', 4, 64) + "%"
	case subjectRate:
		value = t.Rate(t.Received)
		v.Measured = strconv.FormatFloat(value, 'f', 1, 64)
	default:
		h := t.Histograms[objectiveNames[o.subject]]
		if h.Count() == 0 {
			v.Measured = "none"
			return v
		}
		d := o.of(h)
		value, v.Measured = float64(d), d.String()
	}
	switch {
	case value == o.limit:
		v.Kept = o.orEqual
	case o.less:
		v.Kept = value < o.limit
	default:
		v.Kept = value > o.limit
	}
	return v
}

func (o Objective) of(h *Histogram) time.Duration {
	switch o.quantile {
	case "mean":
		return h.Mean()
	case "max":
		return h.Max()
	default:
		p, _ := quantile(o.quantile)
		return h.Percentile(p)
	}
}
