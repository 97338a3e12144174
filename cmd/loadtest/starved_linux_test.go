package main

import (
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// A client whose processor another has is told so in a closed loop, too, which has no plan to
// be late for. One loop that goes before the client takes as much as many that don't, and
// less from the tests that run meanwhile.
func TestStarved(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	taskset, nice, shell := testenv.Tool(t, "taskset"), testenv.Tool(t, "nice"), testenv.Tool(t, "sh")
	var mine unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mine); err != nil {
		t.Fatal(err)
	}
	processor := 0
	for !mine.IsSet(processor) {
		processor++
	}
	on := []string{"-c", strconv.Itoa(processor)}
	other := exec.Command(taskset, append(on, shell, "-c", "while :; do :; done")...)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	cmd := exec.Command(taskset, append(on, nice, "-n", "8", path, "run", serve(t, echo), "-q", "-d", "1s")...)
	var r ran
	out, _ := cmd.CombinedOutput()
	r.code, r.stdout = cmd.ProcessState.ExitCode(), string(out)
	r.must(t, exitSaturated, "INVALID  the client ", "processor time that it asked for")
}
