package report_test

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/report"
	"github.com/sluice-net/sluice/loadtest/result"
)

// What a report must say of a run, by words that stand in it.
func TestWrite(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		result *result.Result
		has    []string
		lacks  []string
	}{
		{
			"closed loop", closed(30),
			[]string{
				"tcp://127.0.0.1:7007", "Closed loop", "Valid run without an error, every reply verified byte by byte",
				`id="throughput"`, `id="latency"`, `id="distribution"`, `id="connect"`, `id="connections"`, `id="lag"`, `id="cpu"`,
				"99.999", "loadtest run --connections 100 tcp://127.0.0.1:7007", "client-1", "warm-up",
			},
			[]string{"uncorrected", `id="hostile"`, `id="errors"`, `id="handshake_full"`, "Objectives", "ribbon\"", "NaN", "Inf", "ZgotmplZ"},
		},
		{
			"eventful open loop", eventful(),
			[]string{
				"Open loop, 20,000 messages a second with Poisson arrivals", "4 replies were wrong: 4 corrupted",
				"1 of 2 objectives missed", "✕ missed", "✓ kept", "p99 uncorrected",
				`id="handshake_full"`, `id="handshake_resumed"`, `id="first_byte"`, `id="hostile"`, "slowloris", `id="errors"`,
				"connection reset by peer", "&lt;script&gt;alert",
			},
			[]string{"Valid run", "<script>alert", "NaN", "Inf", "ZgotmplZ"},
		},
		{
			"saturated", saturated(),
			[]string{"<title>INVALID: ", `class="invalid"`, `class="ribbon"`, "client-1: 1 % of the messages left 31 ms late", "✕ Yes"},
			[]string{"Valid run", "✓ No"},
		},
		{
			"nothing", &result.Result{Version: result.Version},
			[]string{"There was no reply at all", `id="throughput"`},
			[]string{`id="distribution"`, `id="latency"`, `id="lag"`, "Valid run", "NaN", "Inf", "ZgotmplZ"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			page := written(t, tt.result)
			for _, want := range tt.has {
				if !strings.Contains(page, want) {
					t.Errorf("%q isn't there", want)
				}
			}
			for _, want := range tt.lacks {
				if strings.Contains(page, want) {
					t.Errorf("%q is there", want)
				}
			}
		})
	}
}

// The file works without a network: it refers to nothing outside, and forbids itself to.
func TestSelfContained(t *testing.T) {
	t.Parallel()
	page := written(t, eventful())
	if outside := regexp.MustCompile(`(?i)(src|href|action|srcset)\s*=|url\(|@import|https?:`).FindString(page); outside != "" {
		t.Errorf("it has %q in it", outside)
	}
	if !strings.Contains(page, `content="default-src &#39;none&#39;;`) {
		t.Error("it has no policy")
	}
}

// A soak is drawn in a few hundred columns, and its one slow second stays.
func TestLongRun(t *testing.T) {
	t.Parallel()
	page := written(t, made(1000, 500))
	if len(page) > 256<<10 {
		t.Errorf("%d bytes for 1,000 intervals", len(page))
	}
	if line := lineOf(t, page, "latency", "top"); strings.Count(line, "L") > 250 || highest(t, line) > 40 {
		t.Errorf("the longest times are drawn as %s", line)
	}
}

// Two hosts that began a second apart: what one warms up in, the other measures.
func TestMerged(t *testing.T) {
	t.Parallel()
	later := closed(10)
	later.Started = later.Started.Add(2 * time.Second)
	m, err := result.Merge(closed(10), later)
	if err != nil {
		t.Fatal(err)
	}
	page := written(t, m)
	if n := strings.Count(lineOf(t, page, "throughput", "main"), "L"); n != 14 {
		t.Errorf("the throughput has %d columns after the first, for 15 s", n)
	}
	if !strings.Contains(page, "at most 200") {
		t.Error("the connections of both aren't added up")
	}
}

// The connections that are made before the load are those that it has, and the time that they
// take is none of the load's.
func TestShortConnecting(t *testing.T) {
	t.Parallel()
	r := closed(5)
	r.Intervals = r.Intervals[3:]
	connecting := result.Interval{Phase: result.Connecting, Length: 100 * time.Millisecond, Counts: result.Counts{Connected: 100, Open: 100}}
	for n := range r.Intervals {
		i := &r.Intervals[n]
		i.Start = connecting.Length + time.Duration(n)*time.Second
		i.Received, i.Open = 20000, 100
	}
	r.Intervals = append([]result.Interval{connecting}, r.Intervals...)
	page := written(t, r)
	if !strings.Contains(page, "at most 100") || strings.Contains(page, "at most 200") {
		t.Error("the connections are counted twice")
	}
	if line := lineOf(t, page, "throughput", "main"); highest(t, line) != lowest(t, line) {
		t.Errorf("the throughput isn't level: %s", line)
	}
}

// The few replies that come after the end are drawn with the last second; many of them, after
// a freeze, by themselves.
func TestDrain(t *testing.T) {
	t.Parallel()
	for length, want := range map[time.Duration]int{time.Millisecond: 12, 5 * time.Second: 13} {
		r := closed(10)
		drain := r.Intervals[len(r.Intervals)-1]
		drain.Phase, drain.Start, drain.Length, drain.Open = result.Drain, 13*time.Second, length, 0
		r.Intervals = append(r.Intervals, drain)
		page := written(t, r)
		if n := strings.Count(lineOf(t, page, "latency", "low"), "L"); n != want {
			t.Errorf("a drain of %v: %d columns after the first", length, n)
		}
		if n := strings.Count(lineOf(t, page, "throughput", "main"), "L"); n != 12 {
			t.Errorf("a drain of %v: %d columns after the first have a rate", length, n)
		}
	}
}

// Without a warm-up, without a drain, with one interval.
func TestOneInterval(t *testing.T) {
	t.Parallel()
	r := closed(1)
	r.Intervals = r.Intervals[3:]
	page := written(t, r)
	for _, line := range []string{"low alone", "mid alone", "high alone", "top alone"} {
		if line := lineOf(t, page, "latency", line); !strings.HasSuffix(line, "h0") {
			t.Errorf("a single value is drawn as %q", line)
		}
	}
	if strings.Contains(page, `d=""`) {
		t.Error("a line with nothing in it is drawn")
	}
}

func TestWriteFails(t *testing.T) {
	t.Parallel()
	if err := report.Write(broken{}, closed(1)); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// lineOf is the path of a line in the chart with the id.
func lineOf(t *testing.T, page, id, class string) string {
	t.Helper()
	_, chart, _ := strings.Cut(page, `<figure class="chart" id="`+id+`">`)
	chart, _, _ = strings.Cut(chart, "</figure>")
	_, field, _ := strings.Cut(chart, `preserveAspectRatio`)
	_, line, ok := strings.Cut(field, `<path class="line `+class+`" d="`)
	if !ok {
		t.Fatalf("%s has no line %s", id, class)
	}
	line, _, _ = strings.Cut(line, `"`)
	return line
}

var places = regexp.MustCompile(`[ML][0-9.]+ ([0-9.]+)`)

// highest is how near to the top a line comes, in pixels, and lowest how far from it.
func highest(t *testing.T, line string) float64 { return slices.Min(heights(t, line)) }

func lowest(t *testing.T, line string) float64 { return slices.Max(heights(t, line)) }

func heights(t *testing.T, line string) []float64 {
	t.Helper()
	var all []float64
	for _, p := range places.FindAllStringSubmatch(line, -1) {
		y, err := strconv.ParseFloat(p[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, y)
	}
	return all
}
