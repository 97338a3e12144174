//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
)

// colours are one of the two looks of a chart: GitHub's pages, and this text on them.
type colours struct {
	Text, Faint, Ours, Limit, Peer string
}

var looks = map[string]colours{
	"light": {Text: "#1f2328", Faint: "#59636e", Ours: "#0969da", Limit: "#8c959f", Peer: "#c8d1da"},
	"dark":  {Text: "#f0f6fc", Faint: "#9198a1", Ours: "#4493f8", Limit: "#767e87", Peer: "#3d444d"},
}

// The measures of a chart, in pixels. The longest bar of each shape is as long as the others'.
const (
	chartWidth = 640
	labelWidth = 104
	valueWidth = 150
	headHeight = 26
	barHeight  = 20
	barGap     = 4
	groupGap   = 14
)

type chart struct {
	colours
	Width, Height int
	Title         string
	Groups        []group
}

// A group is one shape.
type group struct {
	Y     int
	Title string
	Bars  []bar
}

type bar struct {
	Y, X, Width, Height int
	Server, Text        string
	Fill                string
	Bold                bool
}

// Baseline is where text stands so that its middle is the bar's: not every renderer knows how
// to centre it by itself.
func (b bar) Baseline() int { return b.Y + b.Height/2 + 4 }

// ValueX is where the figure stands: behind the bar.
func (b bar) ValueX() int { return b.X + b.Width + 6 }

var chartTemplate = template.Must(template.New("chart").Funcs(template.FuncMap{"xml": template.HTMLEscapeString}).Parse(
	`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="{{.Height}}" viewBox="0 0 {{.Width}} {{.Height}}" role="img" aria-label="{{xml .Title}}" font-family="-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif" font-size="12">
{{- $c := .}}
<title>{{xml .Title}}</title>
{{- range .Groups}}
<text x="0" y="{{.Y}}" fill="{{$c.Text}}" font-weight="600">{{xml .Title}}</text>
{{- range .Bars}}
<text x="0" y="{{.Baseline}}" fill="{{if .Bold}}{{$c.Text}}{{else}}{{$c.Faint}}{{end}}"{{if .Bold}} font-weight="600"{{end}}>{{xml .Server}}</text>
<rect x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="{{.Height}}" rx="2" fill="{{.Fill}}"/>
<text x="{{.ValueX}}" y="{{.Baseline}}" fill="{{$c.Text}}">{{xml .Text}}</text>
{{- end}}
{{- end}}
</svg>
`))

// saveCharts writes NAME-light.svg and NAME-dark.svg.
func (r *report) saveCharts(name string, chosen shapes) error {
	for look, c := range looks {
		text, err := r.chart(c, chosen)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name+"-"+look+".svg", text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pictureOf shows the chart in the look of the page.
func pictureOf(name string) string {
	return fmt.Sprintf(`<picture>
  <source media="(prefers-color-scheme: dark)" srcset="%[1]s-dark.svg">
  <img alt="Servers side by side; shorter is better" src="%[1]s-light.svg">
</picture>
`, name)
}

// chart draws the figures of the chosen shapes, a bar for each server, the smallest first:
// less is better in all of them.
func (r *report) chart(c colours, chosen shapes) ([]byte, error) {
	d := chart{colours: c, Width: chartWidth, Title: "Servers side by side; shorter is better"}
	for _, one := range r.Results {
		if slices.Contains(chosen, one.Shape) {
			d.add(one)
		}
	}
	if len(d.Groups) == 0 {
		return nil, fmt.Errorf("-svg: none of the shapes %s was measured", chosen.String())
	}
	d.Height -= groupGap - barGap
	var text bytes.Buffer
	err := chartTemplate.Execute(&text, d)
	return text.Bytes(), err
}

func (d *chart) add(r result) {
	rows := slices.DeleteFunc(slices.Clone(r.Rows), func(w row) bool { return w.Failure != "" })
	slices.SortStableFunc(rows, func(a, b row) int {
		switch {
		case a.Value.Median < b.Value.Median:
			return -1
		case a.Value.Median > b.Value.Median:
			return 1
		}
		return 0
	})
	longest := 0.0
	for _, w := range rows {
		longest = max(longest, w.Value.Median)
	}
	if longest <= 0 {
		return
	}
	g := group{Y: d.Height + 14, Title: upperFirst(r.Title)}
	d.Height += headHeight
	for _, w := range rows {
		g.Bars = append(g.Bars, d.bar(r, w, w.Value.Median/longest))
		d.Height += barHeight + barGap
	}
	d.Height += groupGap
	d.Groups = append(d.Groups, g)
}

func (d *chart) bar(r result, w row, length float64) bar {
	b := bar{
		Y: d.Height, X: labelWidth, Width: int(max(0, length) * (chartWidth - labelWidth - valueWidth)), Height: barHeight,
		Server: w.Server, Text: chartNumber(w.Value.Median) + " " + r.Unit, Fill: d.Peer,
	}
	if ratio, ok := w.Value.Ratios["gnet"]; ok && w.Server != "gnet" {
		b.Text += fmt.Sprintf(" · %.2f × gnet", ratio.Median)
	}
	switch w.Server {
	case "sluice":
		b.Fill, b.Bold = d.Ours, true
	case "isocket":
		b.Fill, b.Server = d.Ours, "sluice, ISocket"
	case "c":
		b.Fill, b.Server = d.Limit, "C epoll"
	}
	return b
}

func chartNumber(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00") }
