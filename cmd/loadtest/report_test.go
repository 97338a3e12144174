package main

import (
	"os"
	"strings"
	"testing"
)

// The report of a run is the one that's made of its result later.
func TestReport(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	file, page, later := temporary(t, "result.json"), temporary(t, "run.html"), temporary(t, "later.html")
	invoke(t, "run", url, "-n", "100", "--json", file, "--html", page).must(t, exitClean)
	invoke(t, "report", file, "-o", later).must(t, exitClean)
	first, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(later)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(first), "<h1>"+url) || string(first) != string(second) {
		t.Errorf("%d bytes, and later %d", len(first), len(second))
	}
	invoke(t, "report", file, "-o", "-").must(t, exitClean, "<!doctype html>")
	invoke(t, "merge", file, file, "--html", later).must(t, exitClean)
	invoke(t, "report", file).must(t, exitUsage, "--output")
	invoke(t, "report", page, "-o", later).must(t, exitFailure, "not a result of loadtest")
	invoke(t, "report", file, "-o", temporary(t, "none")+"/x.html").must(t, exitUsage, "no such file")
}
