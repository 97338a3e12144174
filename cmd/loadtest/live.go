package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// live shows a run as it goes: on a terminal as a few lines that are drawn anew, and
// elsewhere as a line for each interval.
type live struct {
	out      io.Writer
	screen   *os.File // nil: lines
	load     loadtest.Load
	elapsed  time.Duration
	received uint64
	failed   uint64
	errors   map[result.ErrorKind]uint64
	rates    []float64
	drawn    int // lines on the screen
}

// rateWidth is how many intervals the sparkline shows at most.
const rateWidth = 50

func newLive(p process, l loadtest.Load) *live {
	v := &live{out: p.stderr, load: l, errors: map[result.ErrorKind]uint64{}}
	// Windows' older consoles show the drawing's commands instead of obeying them.
	if p.screen != nil && term.IsTerminal(int(p.screen.Fd())) && runtime.GOOS != "windows" && os.Getenv("TERM") != "dumb" {
		v.screen = p.screen
	}
	return v
}

// interval shows one more.
func (v *live) interval(i result.Interval) {
	if i.Phase == result.Drain {
		return
	}
	v.elapsed = i.Start + i.Length
	v.received += i.Received
	if i.Phase != result.Connecting {
		v.rates = append(v.rates, per(i.Received, i.Length))
	}
	for kind, n := range i.Errors {
		v.errors[kind] += n
		v.failed += n
	}
	if v.screen == nil {
		v.line(i)
		return
	}
	v.draw(i)
}

func per(n uint64, d time.Duration) float64 {
	return float64(n) / max(d.Seconds(), 1e-9)
}

func (v *live) line(i result.Interval) {
	h := i.Histograms[result.RoundTrip]
	_, _ = fmt.Fprintf(v.out, "%6.1fs %-8s %6s open %12s %12s  p50 %-7s p99 %-7s max %-7s %s errors\n",
		v.elapsed.Seconds(), i.Phase, count(i.Open), rate(per(i.Received, i.Length)), throughput(per(i.BytesReceived, i.Length)),
		duration(h.Percentile(50)), duration(h.Percentile(99)), duration(h.Max()), count(v.failed))
}

func (v *live) draw(i result.Interval) {
	width, _, err := term.GetSize(int(v.screen.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	h := i.Histograms[result.RoundTrip]
	lines := []string{
		fmt.Sprintf("%s  %s", v.progress(), i.Phase),
		fmt.Sprintf("connections  %s open of %s, %s new", count(i.Open), count(uint64(v.load.Connections)), rate(per(i.Connected, i.Length))),
		fmt.Sprintf("replies      %s, %s in all", rate(per(i.Received, i.Length)), count(v.received)),
		fmt.Sprintf("throughput   %s out, %s in", throughput(per(i.BytesSent, i.Length)), throughput(per(i.BytesReceived, i.Length))),
		fmt.Sprintf("round trip   p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", duration(h.Percentile(50)), duration(h.Percentile(90)),
			duration(h.Percentile(99)), duration(h.Percentile(99.9)), duration(h.Max())),
		"errors       " + v.errorText(),
		sparkline(v.rates[max(0, len(v.rates)-min(rateWidth, width-1)):]),
	}
	var b strings.Builder
	v.up(&b)
	for _, line := range lines {
		text := []rune(line)
		b.WriteString("\x1b[K" + string(text[:min(len(text), width-1)]) + "\n")
	}
	v.drawn = len(lines)
	_, _ = io.WriteString(v.out, b.String())
}

func (v *live) up(b *strings.Builder) {
	if v.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA", v.drawn)
	}
}

func (v *live) progress() string {
	if v.load.Duration > 0 {
		return fmt.Sprintf("%.0f of %.0f s", v.elapsed.Seconds(), (v.load.WarmUp + v.load.Duration).Seconds())
	}
	return fmt.Sprintf("%.0f s", v.elapsed.Seconds())
}

func (v *live) errorText() string {
	if v.failed == 0 {
		return "none"
	}
	var words []string
	for kind, n := range v.errors {
		words = append(words, fmt.Sprintf("%s %s", count(n), kind))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// close takes the drawing away: the summary says it better.
func (v *live) close() {
	if v.drawn == 0 {
		return
	}
	var b strings.Builder
	v.up(&b)
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(v.out, b.String())
	v.drawn = 0
}
