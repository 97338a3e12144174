package main

import (
	"os"
	"testing"
)

// A full disk costs the file that is on it, and neither the others nor the summary, and has
// the documented exit code.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	url, csv := serve(t, echo), temporary(t, "run.csv")
	r := invoke(t, "run", url, "-q", "-n", "100", "--json", "/dev/full", "--csv", csv)
	r.must(t, exitUsage, "100 replies", "loadtest: /dev/full: ", "no space left")
	if b, err := os.ReadFile(csv); err != nil || len(b) == 0 {
		t.Errorf("the other file has %d bytes, %v", len(b), err)
	}
}
