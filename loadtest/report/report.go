package report

import (
	"crypto/sha256"
	_ "embed" // the page and what is in it
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText string

//go:embed hover.js
var hoverText string

// Write writes the report of a result as one HTML file. The errors are those of w.
func Write(w io.Writer, r *result.Result) error {
	t, err := template.New("page.html").Parse(pageText)
	if err != nil {
		return fmt.Errorf("the report's page: %w", err)
	}
	return t.Execute(w, newPage(r))
}

// A page has all that page.html shows.
type page struct {
	Title    string // of the window
	Targets  []string
	When     string
	Sentence string
	Invalid  bool
	Verdicts []verdict
	Tiles    []tile

	Objectives []result.Verdict

	Throughput, Latency, Distribution *chart
	Percentiles                       []percentileRow
	Both                              bool // corrected and uncorrected
	Times                             []timesCard
	Connections, Hostile              *chart
	Errors                            []errorRow
	ErrorChart                        *chart
	Lag, CPU                          *chart

	Clients []client
	Command string

	Style  template.CSS
	Script template.JS
	Policy string
}

// A client is a process that made load, in words.
type client struct {
	Host, System, Go, Processors, Descriptors string
	Saturated                                 []result.Saturation
	Number                                    int // of processes alike
}

func newPage(r *result.Result) page {
	total := r.Total()
	t := newTimeline(r)
	p := page{
		Targets:      r.Targets,
		When:         when(r),
		Sentence:     sentence(r, total),
		Invalid:      !r.Valid(),
		Verdicts:     verdicts(r, total),
		Tiles:        tiles(r, total),
		Objectives:   objectives(r),
		Throughput:   throughput(r, t, total),
		Latency:      latencies(r, t, total),
		Distribution: distribution(r, total),
		Percentiles:  percentileRows(r, total),
		Both:         hasBoth(r, total),
		Times:        times(r, total),
		Connections:  connections(t, total),
		Hostile:      hostiles(t),
		Errors:       errorRows(r, total),
		ErrorChart:   errorsOverTime(t),
		Lag:          lag(t, total),
		CPU:          clientCPU(t, total),
		Clients:      clients(r),
		Command:      commandLine(r.Command),
		Style:        template.CSS(styleText),
		Script:       template.JS(hoverText),
		Policy:       policy(),
	}
	p.Title = strings.Join(r.Targets, ", ") + " – loadtest"
	if p.Invalid {
		p.Title = "INVALID: " + p.Title
	}
	return p
}

// policy keeps a page from doing what it isn't there for, whatever a server has managed
// to get into an example of an error: no network, and no script but ours.
func policy() string {
	sum := sha256.Sum256([]byte(hoverText))
	return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func when(r *result.Result) string {
	if r.Started.IsZero() {
		return ""
	}
	return r.Started.UTC().Format("2 January 2006, 15:04:05 UTC")
}

// objectives are those of the run, with times in three digits.
func objectives(r *result.Result) []result.Verdict {
	all := slices.Clone(r.Objectives)
	for i := range all {
		if d, err := time.ParseDuration(all[i].Measured); err == nil {
			all[i].Measured = duration(d)
		}
	}
	return all
}

// clients joins processes that are alike: of --procs=8 there's one line.
func clients(r *result.Result) []client {
	var all []client
	for _, c := range r.Clients {
		one := client{
			Host: c.Host, System: c.OS + "/" + c.Arch, Go: c.Go, Number: 1,
			Processors: count(c.Processors), Descriptors: count(c.DescriptorLimit), Saturated: c.Saturated,
		}
		if c.DescriptorLimit == 0 {
			one.Descriptors = "unknown"
		}
		if last := len(all) - 1; last >= 0 && len(c.Saturated) == 0 && alike(all[last], one) {
			all[last].Number++
			continue
		}
		all = append(all, one)
	}
	return all
}

func alike(a, b client) bool {
	return a.Host == b.Host && a.System == b.System && a.Go == b.Go && a.Processors == b.Processors &&
		a.Descriptors == b.Descriptors && len(a.Saturated) == 0
}

// commandLine can be pasted into a shell.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@%+") != "" {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
