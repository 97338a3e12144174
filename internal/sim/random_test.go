package sim_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sim"
)

var (
	seeds = flag.Uint64("seeds", 300, "how many seeds TestSeeds tries")
	first = flag.Uint64("seed", 1, "the first of them")
)

// reached counts what the seeds have come to: callbacks, and reasons of ends.
var reached = map[string]int{}

// world runs the program of a seed.
func world(t *testing.T, seed uint64, tracing bool) sim.Result {
	t.Helper()
	sim.OnWedged = func(report *strings.Builder) {
		fmt.Fprintf(report, "seed %d: go test ./internal/sim -run TestSeeds -seed %d -seeds 1\n", seed, seed)
	}
	return sim.Run(t, sim.Seed(seed), tracing, run)
}

// explain prints the trace of a seed that has failed, and fails.
func explain(t *testing.T, seed uint64, r sim.Result) {
	t.Helper()
	again := world(t, seed, true)
	for _, line := range again.Trace {
		fmt.Fprintln(os.Stderr, line)
	}
	if again.Failure != r.Failure {
		t.Errorf("seed %d: not the same the second time: %s", seed, again.Failure)
	}
	t.Fatalf("seed %d: %s", seed, r.Failure)
}

// further is how many seeds are tried after one that failed, for one that's shorter.
const further = 1000

// DESIGN, Tests: "never loses or reorders an accepted byte, never leaks", in whatever order
// things happen: life_test.go and program_test.go say what must hold.
func TestSeeds(t *testing.T) {
	var shortest sim.Result
	var which, last uint64
	last = *first + *seeds
	for seed := *first; seed < last; seed++ {
		r := world(t, seed, false)
		if r.Failure == "" {
			continue
		}
		if shortest.Failure == "" {
			t.Logf("seed %d is the first that fails, after %d steps: %s", seed, r.Steps, r.Failure)
			last = min(last, seed+further)
		}
		if shortest.Failure == "" || r.Steps < shortest.Steps {
			which, shortest = seed, r
		}
	}
	if shortest.Failure != "" {
		explain(t, which, shortest)
	}
	if *seeds >= 20_000 { // the rarest comes once in 1,500
		checkReached(t)
	}
}

// checkReached: that nothing failed says little if little happened.
func checkReached(t *testing.T) {
	want := []string{
		"OnConnectionEstablished", "OnReadCompleted", "OnReadOOBCompleted", "OnConnectionClientClose",
		"OnReadCompletionErrorMayNot…", "OnReadCompletionError", "OnWriteCompletionErrorMayNot…",
		"OnWriteCompletionError", "OnWriteCompleted", "OnWriteBlocked", "OnWriteReady", "OnConnectionReset",
		"OnConnectionClosure", "OnConnectionClosed", "OnSocketReleased", "OnOutgoingConnectionFailed", "timer", "posted", "panic", "a lock was taken",
		"OnMaximumConnections ", "OnMaximumConnections l", "refused: rate", "refused: per_address",
	}
	for r := conn.ReasonLocalShutdown; int(r) < engine.Reasons; r++ {
		if r != conn.ReasonSession && r != conn.ReasonTruncated && r != conn.ReasonHandshake && r != conn.ReasonHandshakeTimeout && r != conn.ReasonRejected {
			want = append(want, r.String())
		}
	}
	for _, why := range []string{"peer_closed", "reset", "tls_truncated", "tls_handshake", "handshake_timeout"} {
		want = append(want, "TLS: "+why)
	}
	for _, why := range []string{"normal", "by_peer", "lost", "connect_failed", "connect_rejected", "address_invalid", "accept_failed"} {
		want = append(want, "shutdown "+why)
	}
	for _, what := range want {
		if reached[what] == 0 {
			t.Errorf("no seed has come to %s", what)
		}
	}
	t.Log(reached)
}

// The seeds that ever failed. What they stand for changes with every choice that's added;
// they are run all the same.
func TestSeedsThatFailed(t *testing.T) {
	f, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number, _, _ := strings.Cut(lines.Text(), " ")
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			continue // a comment
		}
		if r := world(t, seed, false); r.Failure != "" {
			explain(t, seed, r)
		}
	}
}

// A seed gives the same course each time: without that, none could be looked at.
func TestSeedsReplay(t *testing.T) {
	for seed := range uint64(100) {
		a, b := world(t, seed, true), world(t, seed, true)
		if len(a.Trace) != len(b.Trace) {
			t.Errorf("seed %d: %d lines, then %d", seed, len(a.Trace), len(b.Trace))
		}
		for i := range min(len(a.Trace), len(b.Trace)) {
			if a.Trace[i] != b.Trace[i] {
				t.Fatalf("seed %d:\n%s\n%s", seed, a.Trace[i], b.Trace[i])
			}
		}
	}
}

// input is a sim.Chooser that a fuzzer's input makes the choices of, and once that's used
// up, a seed.
type input struct {
	p    []byte
	then sim.Chooser
}

func (c *input) IntN(n int) int {
	size := 1
	if n > 256 {
		size = 2
	}
	if len(c.p) < size {
		return c.then.IntN(n)
	}
	x := 0
	for _, b := range c.p[:size] {
		x = x<<8 | int(b)
	}
	c.p = c.p[size:]
	return x % n
}

// FuzzProgram has a fuzzer make the choices.
func FuzzProgram(f *testing.F) {
	for seed := range uint64(20) {
		p := make([]byte, 400)
		choose := sim.Seed(seed)
		for i := range p {
			p[i] = byte(choose.IntN(256))
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		sim.OnWedged = nil
		if r := sim.Run(t, &input{p, sim.Seed(1)}, false, run); r.Failure != "" {
			again := sim.Run(t, &input{p, sim.Seed(1)}, true, run)
			t.Fatalf("%s\n%s", r.Failure, strings.Join(again.Trace, "\n"))
		}
	})
}
