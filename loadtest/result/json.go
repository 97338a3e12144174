package result

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// ErrVersion is wrapped by [Read]'s error for a format that it doesn't know.
var ErrVersion = errors.New("unknown version")

// ErrNoResult is wrapped by [Read]'s error for what isn't a result, or not a whole one.
var ErrNoResult = errors.New("not a result of loadtest")

// intervalsField is where the intervals are in the JSON. They're written and read one by one:
// those of a night together would need several times the memory that they have.
const (
	intervalsField = "intervals"
	versionField   = "version"
)

// longestRun is far beyond any, and far from where a time.Duration overflows.
const longestRun = 10 * 365 * 24 * time.Hour

// Write writes a result as JSON.
func Write(w io.Writer, r *Result) error {
	frame := *r
	frame.Intervals = []Interval{}
	text, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	// It's there once: within a string the quotes would have a backslash.
	head, tail, _ := bytes.Cut(text, []byte(`"`+intervalsField+`":[]`))
	if _, err := fmt.Fprintf(w, `%s"%s":[`, head, intervalsField); err != nil {
		return err
	}
	for n, i := range r.Intervals {
		text, err := json.Marshal(i)
		if err != nil {
			return err
		}
		if n > 0 {
			text = append([]byte(",\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "]%s\n", tail)
	return err
}

// Read reads what [Write] wrote. What is no result, lacks something that a result has, or is
// of a version that isn't known, is an error. The histograms are compressed.
func Read(r io.Reader) (*Result, error) {
	d := json.NewDecoder(r)
	got, err := readFields(d)
	if err != nil {
		return nil, explain(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: there's more behind its end", ErrNoResult)
	}
	return got, got.check()
}

// explain says what an error of the decoder means.
func explain(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, ErrNoResult):
		return err
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it's empty", ErrNoResult)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it's cut off: the run, or a copy, didn't get to its end", ErrNoResult)
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: no JSON: %w", ErrNoResult, err)
	case errors.As(err, &kind):
		return fmt.Errorf("%w: %w", ErrNoResult, err)
	default:
		return err
	}
}

func readFields(d *json.Decoder) (*Result, error) {
	if err := readDelimiter(d, '{'); err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	var intervals []Interval
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, unexpected(err)
		}
		name, _ := token.(string)
		if name == intervalsField {
			if intervals, err = readIntervals(d); err != nil {
				return nil, unexpected(err)
			}
			continue
		}
		var field json.RawMessage
		if err := d.Decode(&field); err != nil {
			return nil, unexpected(err)
		}
		fields[name] = field
		// At once, as the rest of a later version may be anything.
		if name == versionField {
			if err := checkVersion(field); err != nil {
				return nil, err
			}
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, unexpected(err)
	}
	var lacks []string
	for _, name := range []string{versionField, "started", "ended", "targets", "load", "clients"} {
		if _, ok := fields[name]; !ok {
			lacks = append(lacks, name)
		}
	}
	if intervals == nil {
		lacks = append(lacks, intervalsField)
	}
	if len(lacks) > 0 {
		return nil, fmt.Errorf("%w: it has no %s", ErrNoResult, strings.Join(lacks, ", "))
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	got := new(Result)
	if err := json.Unmarshal(text, got); err != nil {
		return nil, err
	}
	got.Intervals = intervals
	return got, nil
}

// unexpected is an end where there can be none yet.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readDelimiter(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		return fmt.Errorf("%w: %v is where %v should be", ErrNoResult, token, want)
	}
	return err
}

func checkVersion(field json.RawMessage) error {
	var version int
	if err := json.Unmarshal(field, &version); err != nil || version < 1 {
		return fmt.Errorf("%w: %s is no version", ErrNoResult, field)
	}
	if version > Version {
		return fmt.Errorf("%w %d; this program reads up to %d: use a newer one", ErrVersion, version, Version)
	}
	return nil
}

func readIntervals(d *json.Decoder) ([]Interval, error) {
	if err := readDelimiter(d, '['); err != nil {
		return nil, err
	}
	all := []Interval{}
	for d.More() {
		var i struct {
			Interval
			Histograms map[Metric]*string `json:"histograms"` // instead of the Interval's
		}
		if err := d.Decode(&i); err != nil {
			return nil, err
		}
		if err := i.read(i.Histograms); err != nil {
			return nil, fmt.Errorf("%w: interval %d: %w", ErrNoResult, len(all), err)
		}
		all = append(all, i.Interval)
	}
	_, err := d.Token()
	return all, err
}

// read has the histograms from their texts, of which many are equal.
func (i *Interval) read(texts map[Metric]*string) error {
	read := map[string]*Histogram{}
	for m, text := range texts {
		if text == nil {
			continue
		}
		h, ok := read[*text]
		if !ok {
			h = new(Histogram)
			if err := h.UnmarshalText([]byte(*text)); err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
			read[*text] = h
		}
		if i.Histograms == nil {
			i.Histograms = map[Metric]*Histogram{}
		}
		i.Histograms[m] = h.clone()
	}
	return nil
}

// check holds what has been read to what all that comes later relies on.
func (r *Result) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrNoResult, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Load.Mode != OpenLoop && r.Load.Mode != ClosedLoop:
		return bad("its load's mode is %q, and neither %s nor %s", r.Load.Mode, OpenLoop, ClosedLoop)
	case r.Load.Interval <= 0:
		return bad("its load has no interval_ns")
	case len(r.Targets) == 0:
		return bad("it has no target")
	case len(r.Clients) == 0:
		return bad("it has no client")
	case len(r.Intervals) == 0:
		return bad("it has no interval")
	case r.Ended.Before(r.Started) || r.Ended.Sub(r.Started) > longestRun:
		return bad("it can't have gone from %s to %s", r.Started.Format(time.RFC3339), r.Ended.Format(time.RFC3339))
	}
	for n, i := range r.Intervals {
		switch i.Phase {
		case Connecting, Warmup, Measure, Drain:
		default:
			return bad("interval %d: there's no phase %q", n, i.Phase)
		}
		if i.Start < 0 || i.Length < 0 || i.Start > longestRun || i.Length > longestRun {
			return bad("interval %d: it's %v long after %v", n, i.Length, i.Start)
		}
	}
	slices.SortStableFunc(r.Intervals, func(a, b Interval) int { return cmp.Compare(a.Start, b.Start) })
	return nil
}
