package sim_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sim"
)

var (
	seeds = flag.Uint64("seeds", 200, "how many seeds to try")
	first = flag.Uint64("seed", 1, "the first seed")
)

// reached counts what the seeds have come to: callbacks, and reasons of ends.
var reached = map[string]int{}

// try runs the program of a seed, and if it fails once more, for the trace.
func try(t *testing.T, seed uint64) {
	t.Helper()
	sim.OnWedged = func(report *strings.Builder) { fmt.Fprintf(report, "seed %d\n", seed) }
	failure, _ := sim.Run(t, sim.Seed(seed), false, run)
	if failure == "" {
		return
	}
	again, trace := sim.Run(t, sim.Seed(seed), true, run)
	for _, line := range trace {
		fmt.Fprintln(os.Stderr, line)
	}
	if again != failure {
		t.Errorf("seed %d: not the same the second time: %s", seed, again)
	}
	t.Fatalf("seed %d: %s", seed, failure)
}

func TestSeeds(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		try(t, seed)
	}
	if *seeds < 1000 {
		return
	}
	// That nothing failed says little if little happened.
	want := []string{
		"OnConnectionEstablished", "OnReadCompleted", "OnReadOOBCompleted", "OnConnectionClientClose",
		"OnReadCompletionErrorMayNot…", "OnReadCompletionError", "OnWriteCompletionErrorMayNot…",
		"OnWriteCompletionError", "OnWriteCompleted", "OnWriteBlocked", "OnWriteReady", "OnConnectionReset",
		"OnConnectionClosure", "OnConnectionClosed", "OnSocketReleased", "posted", "panic", "a lock was taken",
	}
	for r := conn.ReasonLocalShutdown; int(r) < engine.Reasons; r++ {
		if r != conn.ReasonSession && r != conn.ReasonTruncated && r != conn.ReasonRejected {
			want = append(want, r.String())
		}
	}
	for _, what := range want {
		if reached[what] == 0 {
			t.Errorf("no seed has come to %s", what)
		}
	}
	t.Log(reached)
}
