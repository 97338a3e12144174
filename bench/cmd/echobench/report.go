//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
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
	Title string   `json:"title"`
	Unit  string   `json:"unit"`
	Bases []string `json:"bases"`
	Rows  []row    `json:"rows"`
}

type row struct {
	Server  string                   `json:"server"`
	Value   stats.Summary            `json:"value"`
	Ratios  map[string]stats.Summary `json:"ratios"` // by base
	Facts   map[string]stats.Summary `json:"facts"`
	Doubts  []string                 `json:"doubts,omitempty"`
	Samples []sample                 `json:"samples"`
}

func newReport(o options) *report {
	r := &report{Time: time.Now(), CPU: cpuModel(), CPUs: runtime.NumCPU(), Go: runtime.Version(), Options: o}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		r.Congestion = strings.TrimSpace(string(text))
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		r.Kernel = unix.ByteSliceToString(name.Release[:])
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

// summarize compares the servers' samples with those of each base that took
// part and that a figure can be divided by: one can be 0 bytes.
func summarize(e experiment, list []server, bases []string, samples [][]sample) (result, error) {
	r := result{Title: e.title(), Unit: e.unit()}
	values := make(map[string][]float64, len(list))
	for i, s := range list {
		values[s.name] = pick(samples[i], func(one sample) float64 { return one.Value })
	}
	for _, base := range bases {
		if v := values[base]; v != nil && slices.Min(v) > 0 {
			r.Bases = append(r.Bases, base)
		}
	}
	for i, s := range list {
		w := row{
			Server:  s.name,
			Value:   stats.Summarize(values[s.name]),
			Ratios:  map[string]stats.Summary{},
			Facts:   map[string]stats.Summary{},
			Doubts:  e.doubts(samples[i]),
			Samples: samples[i],
		}
		for _, base := range r.Bases {
			ratios, err := stats.Ratios(values[s.name], values[base])
			if err != nil {
				return r, fmt.Errorf("%s against %s: %w", s.name, base, err)
			}
			w.Ratios[base] = stats.Summarize(ratios)
		}
		for key := range samples[i][0].Facts {
			w.Facts[key] = stats.Summarize(pick(samples[i], func(one sample) float64 { return one.Facts[key] }))
		}
		r.Rows = append(r.Rows, w)
	}
	return r, nil
}

func pick(samples []sample, of func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return values
}

// print writes a table: median (smallest–largest) of the figure and of the
// ratios, medians of the facts.
func (r result) print(out io.Writer, e experiment) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s, %d repetitions\n", r.Title, len(r.Rows[0].Samples))
	tab := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintf(tab, "server\t%s", r.Unit)
	for _, base := range r.Bases {
		fmt.Fprintf(tab, "\t× %s", base)
	}
	for _, c := range e.columns() {
		fmt.Fprintf(tab, "\t%s", c.head)
	}
	fmt.Fprintln(tab)
	for _, w := range r.Rows {
		fmt.Fprintf(tab, "%s\t%s", w.Server, spread(w.Value))
		for _, base := range r.Bases {
			if base == w.Server {
				fmt.Fprint(tab, "\t1")
				continue
			}
			fmt.Fprintf(tab, "\t%s", spread(w.Ratios[base]))
		}
		for _, c := range e.columns() {
			fmt.Fprintf(tab, "\t%s", c.format(w.Facts[c.key].Median))
		}
		fmt.Fprintln(tab)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, w := range r.Rows {
		for _, doubt := range w.Doubts {
			fmt.Fprintf(&text, "! %s, %s\n", w.Server, doubt)
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// spread prints figures with three or more digits that count.
func spread(s stats.Summary) string {
	format := "%.3f (%.3f–%.3f)"
	if s.Max >= 100 {
		format = "%.0f (%.0f–%.0f)"
	}
	return fmt.Sprintf(format, s.Median, s.Min, s.Max)
}
