//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sluice-net/sluice/bench/internal/stats"
)

// A format is how a fact is written that isn't compared.
type format string

const (
	percent format = "%"
	mebi    format = "MiB"
	seconds format = "s"
)

func (f format) text(v float64) string {
	switch f {
	case percent:
		return fmt.Sprintf("%.1f%%", 100*v)
	case mebi:
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	case seconds:
		return fmt.Sprintf("%.1f s", v)
	}
	return fmt.Sprint(v)
}

// A table has its heads in the first row.
type table [][]string

// tables are two: the figure with its ratios and what tells whether it can be believed; and
// the facts that are compared, by cell. The second isn't there without such facts.
func (r result) tables(cell func(stats.Summary) string) []table {
	first, second := []string{"server", r.Unit}, []string{"server"}
	for _, base := range r.Bases {
		first = append(first, "× "+base)
	}
	for _, c := range r.Columns {
		if !c.Compare {
			first = append(first, c.Head)
			continue
		}
		second = append(second, c.Head)
		for _, base := range r.Bases {
			second = append(second, "× "+base)
		}
	}
	list := []table{{first}, {second}}
	for _, w := range r.Rows {
		if w.Failure != "" {
			continue
		}
		one, two := []string{w.Server, spread(w.Value.Summary)}, []string{w.Server}
		one = append(one, r.ratios(w.Server, w.Value, spread)...)
		for _, c := range r.Columns {
			fact := w.Facts[c.Key]
			if !c.Compare {
				one = append(one, c.Format.text(fact.Median))
				continue
			}
			two = append(append(two, cell(fact.Summary)), r.ratios(w.Server, fact, cell)...)
		}
		list[0], list[1] = append(list[0], one), append(list[1], two)
	}
	if len(second) == 1 {
		list = list[:1]
	}
	return list
}

func (r result) ratios(server string, f figure, cell func(stats.Summary) string) (cells []string) {
	for _, base := range r.Bases {
		ratio, ok := f.Ratios[base]
		switch {
		case base == server:
			cells = append(cells, "1")
		case !ok:
			cells = append(cells, "–")
		default:
			cells = append(cells, cell(ratio))
		}
	}
	return cells
}

// spread is median (smallest–largest).
func spread(s stats.Summary) string {
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

func median(s stats.Summary) string { return number(s.Median) }

// number has three digits that count, or more.
func number(v float64) string {
	if v >= 100 || v <= -100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// legend precedes the tables of a run.
const legend = `"× gnet" is the median of the ratios within each repetition; below 1 less is used, or done.
"server CPU" is the share of its processor that the server used: below 95 % the client or others
held it back, and lines with "!" say so. All replies were compared with what was sent.
`

// remarks say what's wrong with a result.
func (r result) remarks() (list []string) {
	for _, w := range r.Rows {
		if w.Failure != "" {
			list = append(list, "failed: "+w.Failure)
		}
		for _, doubt := range w.Doubts {
			list = append(list, w.Server+": "+doubt)
		}
	}
	return list
}

func (r result) reps() (n int) {
	for _, w := range r.Rows {
		n = max(n, len(w.Samples))
	}
	return n
}

// print writes the result for people.
func (r result) print(out io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s, %d repetitions\n", r.Title, r.reps())
	for _, t := range r.tables(median) {
		tab := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
		for _, row := range t {
			_, _ = fmt.Fprintln(tab, strings.Join(row, "\t"))
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	for _, remark := range r.remarks() {
		fmt.Fprintf(&text, "! %s\n", remark)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// failures are those of all results.
func (r *report) failures() error {
	var errs []error
	for _, one := range r.Results {
		for _, w := range one.Rows {
			if w.Failure != "" {
				errs = append(errs, fmt.Errorf("%s: %s", one.Title, w.Failure))
			}
		}
	}
	return errors.Join(errs...)
}

// markdown is the report for a page.
func (r *report) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %s, %d processors, Linux %s, %s, congestion control %s. "+
		"%d repetitions of %v after %v; median (smallest–largest).\n",
		r.Time.UTC().Format("2 January 2006"), r.CPU, r.CPUs, r.Kernel, r.Go, r.Congestion,
		r.Options.Reps, r.Options.Duration, r.Options.Warmup)
	for _, one := range r.Results {
		fmt.Fprintf(&text, "\n### %s\n\n`SHAPES=%v`\n", upperFirst(one.Title), one.Shape)
		for _, t := range one.tables(spread) {
			text.WriteString("\n")
			for i, row := range t {
				fmt.Fprintf(&text, "| %s |\n", strings.Join(row, " | "))
				if i == 0 {
					fmt.Fprintf(&text, "|%s\n", strings.Repeat("---|", len(row)))
				}
			}
		}
		for i, remark := range one.remarks() {
			if i == 0 {
				text.WriteString("\n")
			}
			fmt.Fprintf(&text, "- %s\n", remark)
		}
	}
	return text.String()
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
