//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/bench/internal/stats"
)

// A report is what -json writes.
type report struct {
	Time   time.Time `json:"time"`
	Kernel string    `json:"kernel"`
	CPU    string    `json:"cpu"`
	CPUs   int       `json:"cpus"`
	Go     string    `json:"go"`
	// Congestion is the TCP congestion control of the servers' sockets.
	Congestion string   `json:"congestion_control"`
	Options    options  `json:"options"`
	Results    []result `json:"results"`
}

// A result is one experiment with all servers.
type result struct {
	Shape   shape    `json:"shape"`
	Title   string   `json:"title"`
	Unit    string   `json:"unit"`
	Columns []column `json:"columns"`
	Bases   []string `json:"bases"`
	Rows    []row    `json:"rows"`
}

type row struct {
	Server  string            `json:"server"`
	Value   figure            `json:"value"`
	Facts   map[string]figure `json:"facts"`
	Doubts  []string          `json:"doubts,omitempty"`
	Failure string            `json:"failure,omitempty"` // then there's nothing else
	Samples []sample          `json:"samples"`
}

// A figure is summed up over the repetitions, and so are its ratios to the bases.
type figure struct {
	stats.Summary
	Ratios map[string]stats.Summary `json:"ratios,omitempty"`
}

func newReport(o options) *report {
	r := &report{Time: time.Now(), CPU: cpuModel(), CPUs: runtime.NumCPU(), Go: runtime.Version(), Options: o}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		r.Congestion = strings.TrimSpace(string(text))
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		r.Kernel, _, _ = strings.Cut(unix.ByteSliceToString(name.Release[:]), "-") // what a builder has appended says nothing to others
	}
	return r
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func (r *report) save(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func loadReport(file string) (*report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// summarize compares the servers' samples with those of each base that took
// part and that a figure can be divided by: one can be 0 bytes.
func summarize(e experiment, bases []string, all []trials) result {
	r := result{Shape: e.shape(), Title: e.title(), Unit: e.unit(), Columns: e.columns()}
	value := func(s sample) float64 { return s.Value }
	of := map[string][]sample{}
	for _, t := range all {
		of[t.server] = t.samples
	}
	for _, base := range bases {
		if v := pick(of[base], value); len(v) > 0 && slices.Min(v) > 0 {
			r.Bases = append(r.Bases, base)
		}
	}
	compared := func(samples []sample, get func(sample) float64) figure {
		f := figure{Summary: stats.Summarize(pick(samples, get)), Ratios: map[string]stats.Summary{}}
		for _, base := range r.Bases {
			// A base can have been 0, too: then there's no ratio.
			if ratios, err := stats.Ratios(pick(samples, get), pick(of[base], get)); err == nil {
				f.Ratios[base] = stats.Summarize(ratios)
			}
		}
		return f
	}
	for _, t := range all {
		w := row{Server: t.server, Samples: t.samples, Facts: map[string]figure{}}
		if t.failure != nil {
			w.Failure = t.failure.Error()
			r.Rows = append(r.Rows, w)
			continue
		}
		w.Value, w.Doubts = compared(t.samples, value), e.doubts(t.samples)
		for key := range t.samples[0].Facts {
			get := func(s sample) float64 { return s.Facts[key] }
			w.Facts[key] = figure{Summary: stats.Summarize(pick(t.samples, get))}
			if slices.ContainsFunc(r.Columns, func(c column) bool { return c.Key == key && c.Compare }) {
				w.Facts[key] = compared(t.samples, get)
			}
		}
		r.Rows = append(r.Rows, w)
	}
	return r
}

func pick(samples []sample, of func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return values
}
