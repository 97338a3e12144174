package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process of --procs that dies ends the run at once, as the rest isn't the load that was
// asked for, and it's said how it died.
func TestProcsDeath(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "run", serve(t, echo), "--procs", "2", "-d", "1h", "-r", "200", "--interval", "100ms")
	stderr := &trigger{text: "measure", pull: func() {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		for _, list := range lists {
			b, _ := os.ReadFile(list)
			for _, word := range strings.Fields(string(b)) {
				pid, _ := strconv.Atoi(word)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				return
			}
		}
		t.Error("there's no process to kill")
	}}
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	late.Stop()
	r := ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.all.String()}
	r.must(t, exitFailure, "loadtest: a process of --procs has ended early: signal: killed")
}
