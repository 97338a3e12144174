package report

import (
	"fmt"
	"math"
	"strings"
)

// A chart is a picture of lines or bars over an axis, as page.html draws it.
type chart struct {
	ID, Title string
	Note      string // a line below the title
	Desc      string // what is seen, for those who don't
	Height    int    // pixels
	YName     string // what the vertical axis counts
	XName     string
	X, Y      []tick
	Bands     []band
	Series    []series
	Hover     hover
}

// A tick has its place in percent on a horizontal axis, from the left, and in pixels on a
// vertical one, from the top.
type tick struct {
	At    float64
	Label string
	Minor bool // left out where it's narrow
}

// A band is a part of the time that doesn't count like the rest; in percent.
type band struct {
	From, Width float64
	Label       string
}

// A series is a line, or bars, and its entry in the legend.
type series struct {
	Name  string
	Class string // of the style
	Path  string // the line
	Alone string // values with no neighbour to draw a line to
	Area  string // what is filled
	Value string // of the whole run
	Dots  int    // how many values it has
}

// hover has what is shown for the instant under the pointer.
type hover struct {
	X []float64  `json:"x"` // percent
	T []string   `json:"t"` // what instant it is
	V [][]string `json:"v"` // by instant, then by series
}

// place is where a value is in a chart's SVG, which is 1000 wide.
func (c *chart) place(x, y float64) (float64, float64) {
	return 1000 * x, (1 - y) * float64(c.Height)
}

// setY makes the vertical ticks.
func (c *chart) setY(s scale, label func(float64) string) {
	for _, v := range s.ticks {
		_, at := c.place(0, s.at(v))
		c.Y = append(c.Y, tick{At: round(at), Label: label(v)})
	}
}

// setX makes the horizontal ones.
func (c *chart) setX(s scale, label func(float64) string) {
	for _, v := range s.ticks {
		c.X = append(c.X, tick{At: round(100 * s.at(v)), Label: label(v)})
	}
}

// A point of a line is at places from 0 to 1. Without a value, y is NaN.
type point struct{ x, y float64 }

// line draws points as a series. It breaks where there's no value, and a value between two
// breaks is a dot, as of a run with one interval.
func (c *chart) line(name, class, value string, points []point) {
	c.Series = append(c.Series, series{Name: name, Class: class, Value: value})
	s := &c.Series[len(c.Series)-1]
	var path, alone strings.Builder
	drawing := false
	for i, p := range points {
		if math.IsNaN(p.y) {
			drawing = false
			continue
		}
		x, y := c.place(p.x, p.y)
		switch {
		case drawing:
			fmt.Fprintf(&path, "L%.1f %.1f", x, y)
		case i+1 == len(points) || math.IsNaN(points[i+1].y):
			fmt.Fprintf(&alone, "M%.1f %.1fh0", x, y)
		default:
			fmt.Fprintf(&path, "M%.1f %.1f", x, y)
		}
		drawing = true
		s.Dots++
	}
	s.Path, s.Alone = path.String(), alone.String()
}

// fill fills what is below the last series.
func (c *chart) fill(points []point) {
	var area strings.Builder
	for len(points) > 0 {
		n := 0
		for n < len(points) && !math.IsNaN(points[n].y) {
			n++
		}
		for i, p := range points[:n] {
			x, y := c.place(p.x, p.y)
			if i == 0 {
				fmt.Fprintf(&area, "M%.1f %d", x, c.Height)
			}
			fmt.Fprintf(&area, "L%.1f %.1f", x, y)
			if i == n-1 {
				fmt.Fprintf(&area, "V%dZ", c.Height)
			}
		}
		points = points[min(n+1, len(points)):]
	}
	c.Series[len(c.Series)-1].Area = area.String()
}

// A bar stands between places from 0 to 1.
type bar struct{ from, to, low, high float64 }

// bars draws bars as a series.
func (c *chart) bars(name, class, value string, all []bar) {
	s := series{Name: name, Class: class, Value: value}
	var path strings.Builder
	for _, b := range all {
		if b.high <= b.low {
			continue
		}
		left, top := c.place(b.from, b.high)
		right, bottom := c.place(b.to, b.low)
		top = min(top, bottom-1) // what is there can be seen
		fmt.Fprintf(&path, "M%.1f %.1fV%.1fH%.1fV%.1fZ", left, bottom, top, right, bottom)
		s.Dots++
	}
	s.Area = path.String()
	c.Series = append(c.Series, s)
}

// instant is what the pointer shows at a place from 0 to 1.
func (c *chart) instant(x float64, what string, values ...string) {
	c.Hover.X = append(c.Hover.X, round(100*x))
	c.Hover.T = append(c.Hover.T, what)
	c.Hover.V = append(c.Hover.V, values)
}

// round keeps places short in the file.
func round(v float64) float64 { return math.Round(v*100) / 100 }
