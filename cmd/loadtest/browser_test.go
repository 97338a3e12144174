//go:build browser

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// The report of a real run, in a real browser: its script runs under its own policy, and
// every chart has points. `make browser` runs it.
func TestReportInBrowser(t *testing.T) {
	t.Parallel()
	chromium := findChromium(t)
	var connections atomic.Int64
	url := serve(t, func(c net.Conn) {
		if connections.Add(1) > 2 { // the first ones last, so that there are connections all the time
			_, _ = io.CopyN(c, c, 64*200)
			return
		}
		echo(c)
	})
	page := temporary(t, "report.html")
	ran := invoke(t, "run", url, "--quiet", "--rate", "2000", "--arrival", "poisson", "--connections", "8", "--connect-rate", "20",
		"--warm-up", "500ms", "--duration", "3s", "--interval", "100ms", "--hostile", "slowloris=3,halfclose=2",
		"--slo", "roundtrip p50<1s", "--html", page)
	// Objectives and the machine's other work decide how it ends; not that it ran.
	if ran.code == exitUsage {
		t.Fatalf("%s", ran.stderr)
	}
	dom := render(t, chromium, page)
	if !strings.Contains(dom, `data-hover="on"`) {
		t.Error("the script hasn't run")
	}
	for chart, least := range map[string]int{
		"throughput": 20, "latency": 20, "distribution": 50, "connect": 1, "first_byte": 5,
		"errors": 1, "connections": 20, "hostile": 20, "lag": 10, "cpu": 20,
	} {
		if n := points(dom, chart); n < least {
			t.Errorf("%s: %d points, want %d at least", chart, n, least)
		}
	}
}

// findChromium is the browser's program: $CHROMIUM, or one of its usual names.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there's no Chromium: apt-get install chromium, or set CHROMIUM to the program")
	return ""
}

// render is the page as it is when its scripts have run.
func render(t *testing.T, chromium, page string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := []string{"--headless", "--disable-gpu", "--enable-logging=stderr", "--user-data-dir=" + t.TempDir()}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // its sandbox doesn't work for root
	}
	command := exec.CommandContext(ctx, chromium, append(args, "--dump-dom", "file://"+page)...)
	var dom, log bytes.Buffer
	command.Stdout, command.Stderr = &dom, &log
	if err := command.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", chromium, err, &log)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("the browser says: %s", line)
		}
	}
	return dom.String()
}

// points counts those of the chart's line or bars that has the most.
func points(dom, chart string) int {
	_, figure, _ := strings.Cut(dom, `id="`+chart+`"`)
	figure, _, _ = strings.Cut(figure, "</figure>")
	_, drawing, _ := strings.Cut(figure, "<desc")
	most := 0
	for _, path := range regexp.MustCompile(`<path class="(?:line|area) [^>]* d="([^"]*)"`).FindAllStringSubmatch(drawing, -1) {
		most = max(most, strings.Count(path[1], "L"), strings.Count(path[1], "M"))
	}
	return most
}
