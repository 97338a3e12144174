package main

import (
	"bytes"
	"context"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// spawn runs the program as a process of its own, to its end. With a stop it's interrupted
// when that text is on its standard error.
func spawn(t *testing.T, stop string, args ...string) ran {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var stdout bytes.Buffer
	stderr := &trigger{text: stop, pull: func() { _ = cmd.Process.Signal(os.Interrupt) }}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	_ = cmd.Run()
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.all.String()}
}

// trigger is a writer that does something once a text has been written to it.
type trigger struct {
	text   string
	pull   func()
	pulled bool
	all    bytes.Buffer
}

func (tr *trigger) Write(p []byte) (int, error) {
	tr.all.Write(p)
	if !tr.pulled && tr.text != "" && strings.Contains(tr.all.String(), tr.text) {
		tr.pulled = true
		tr.pull()
	}
	return len(p), nil
}

// Several processes make the load of one, and nothing of what they measure is lost.
func TestProcs(t *testing.T) {
	t.Parallel()
	name := temporary(t, "a.json")
	spawn(t, "", "run", serve(t, echo), "--procs", "3", "-c", "10", "-n", "1000", "--json", name).must(t, exitClean, "1,000 replies", "3 processes")
	r := mustRead(t, name)
	if total := r.Total(); len(r.Clients) != 3 || r.Load.Connections != 10 || total.Received != 1000 || total.Connected != 10 {
		t.Errorf("%d clients, %+v, %+v", len(r.Clients), r.Load, total.Counts)
	}
}

// Few messages aren't more when there are many processes.
func TestProcsOfFewMessages(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	spawn(t, "", "run", url, "--procs", "2", "-n", "1").must(t, exitClean, "1 replies")
	spawn(t, "", "run", url, "--procs", "3", "-n", "2").must(t, exitClean, "2 replies", "2 processes")
	spawn(t, "", "run", url, "--procs", "2", "-n", "3").must(t, exitClean, "3 replies", "2 processes")
}

// An interrupt stops all of them, and what they have measured is reported.
func TestProcsInterrupt(t *testing.T) {
	t.Parallel()
	spawn(t, "measure", "run", serve(t, echo), "--procs", "2", "-d", "1h", "-r", "200", "--interval", "100ms", "--max-lag", "1h").
		must(t, exitClean, "stopped early", "errors   none", "2 processes")
}

// What all processes lack is said once.
func TestProcsFail(t *testing.T) {
	t.Parallel()
	r := spawn(t, "", "run", "unix:///nonexistent", "--procs", "2")
	r.must(t, exitFailure, "loadtest: unix:///nonexistent: ", "start the server")
	if strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("not one line: %s", r.stderr)
	}
}

// A load for which this process hasn't enough descriptors says what to do instead, and doing
// that helps.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	shell := testenv.Tool(t, "sh")
	limited := func(args string) ran {
		cmd := exec.Command(shell, "-c", `ulimit -n 150 && exec "$0" run "$1" -c 100 -n 500 -q `+args, path, serve(t, echo))
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	}
	limited("").must(t, exitFailure, "loadtest: too few descriptors: 100 connections need 164", "may have 150", "--procs 2", "ulimit -n 164")
	limited("--procs 2").must(t, exitClean, "500 replies", "100 connections")
}

// The parts of a load are the whole.
func TestParts(t *testing.T) {
	t.Parallel()
	connections, messages, hostile, rate := 0, uint64(0), 0, 0.0
	for _, part := range []string{"1/3", "2/3", "3/3"} {
		l := loadtest.Load{
			Targets:     make([]loadtest.Target, 2),
			Connections: 10, Messages: 100, Rate: 100,
			Hostile: map[loadtest.HostileKind]int{loadtest.Reset: 4},
		}
		c := runCommand{Part: part}
		if err := c.takePart(&l); err != nil {
			t.Fatal(err)
		}
		connections, messages, hostile, rate = connections+l.Connections, messages+l.Messages, hostile+l.Hostile[loadtest.Reset], rate+l.Rate
	}
	second := loadtest.Load{Targets: make([]loadtest.Target, 2), Connections: 10, Rate: 100}
	if err := (&runCommand{Part: "2/2"}).takePart(&second); err != nil || second.Rate != 50 || second.Offset != 10*time.Millisecond {
		t.Errorf("%v, %v/s, %v later", err, second.Rate, second.Offset)
	}
	if connections != 10 || messages != 100 || hostile != 4 || rate < 99.9 || rate > 100.1 {
		t.Errorf("%d connections, %d messages, %d hostile, %v/s", connections, messages, hostile, rate)
	}
	for _, n := range []uint64{0, 1, 7, math.MaxUint64} {
		var sum uint64
		for nth := range 3 {
			sum += share(n, nth+1, 3)
		}
		if sum != n {
			t.Errorf("the parts of %d are %d", n, sum)
		}
	}
	for _, part := range []string{"x", "0/1", "2/1"} {
		if err := (&runCommand{Part: part}).takePart(&loadtest.Load{Connections: 1}); err == nil {
			t.Errorf("%s was taken", part)
		}
	}
}

// Processes of which one takes longer to connect measure the same pieces of time.
func TestProcsBeginTogether(t *testing.T) {
	t.Parallel()
	encrypted := overTLS(testenv.Certificate(t, nil))
	quick, slow := serve(t, echo), serve(t, func(c net.Conn) {
		<-time.After(700 * time.Millisecond)
		encrypted(c)
	})
	name := temporary(t, "a.json")
	// Each begins with another target, and has one connection.
	spawn(t, "", "run", quick, strings.Replace(slow, "tcp", "tls", 1), "--tls-insecure", "--procs", "2", "-c", "2",
		"-d", "1s", "--interval", "500ms", "--json", name, "-q")
	open := map[result.Phase][]uint64{}
	for _, i := range mustRead(t, name).Intervals {
		open[i.Phase] = append(open[i.Phase], i.Open)
	}
	if !slices.Equal(open[result.Measure], []uint64{2, 2}) {
		t.Errorf("connections by interval: %v", open)
	}
}
