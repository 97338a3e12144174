package main

import (
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// A client whose processor others have is told so in a closed loop, too, which has no plan to
// be late for.
func TestStarved(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	taskset, shell := testenv.Tool(t, "taskset"), testenv.Tool(t, "sh")
	var mine unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mine); err != nil {
		t.Fatal(err)
	}
	processor := 0
	for !mine.IsSet(processor) {
		processor++
	}
	for range 7 {
		other := exec.Command(taskset, "-c", strconv.Itoa(processor), shell, "-c", "while :; do :; done")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = other.Process.Kill()
			_ = other.Wait()
		})
	}
	cmd := exec.Command(taskset, "-c", strconv.Itoa(processor), path, "run", serve(t, echo), "-q", "-d", "2s")
	var r ran
	out, _ := cmd.CombinedOutput()
	r.code, r.stdout = cmd.ProcessState.ExitCode(), string(out)
	r.must(t, exitSaturated, "INVALID  the client ", "processor time that it asked for")
}
