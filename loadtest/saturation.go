package loadtest

import (
	"fmt"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// The signs of a client that measures itself.
const (
	// heartbeat is how often a goroutine that has nothing else to do wakes up, to see by
	// how much it's late.
	heartbeat = 10 * time.Millisecond
	// busyCPU is the part of the client's processors beyond which there's nothing left.
	busyCPU = 0.95
	// leastShare is the part that a client must get of the processor time that it asks for.
	// One that shares a machine with the server gets a half.
	leastShare = 1.0 / 3
	// leastAsked is how many processors a client must ask for. One that asks for little gets
	// it late rather than never, which the heartbeat sees.
	leastAsked = 0.5
	// tellingTime is how long it takes to tell.
	tellingTime = time.Second
)

func (r *run) heartbeat() {
	select {
	case <-r.gate: // what is late before is in no figure
	case <-r.soft.Done():
	}
	var pace sleeper
	for {
		due := r.now() + heartbeat
		if !pace.sleep(r.soft, heartbeat) {
			return
		}
		r.recorder.shard(0).record(meterLag, r.now()-due)
	}
}

// diagnose says what the client itself was short of, if its threads have waited for so long
// for a processor.
func diagnose(l Load, t result.Total, waited time.Duration, c result.Client) []result.Saturation {
	var all []result.Saturation
	add := func(reason result.SaturationReason, format string, args ...any) {
		all = append(all, result.Saturation{Reason: reason, Detail: fmt.Sprintf(format, args...)})
	}
	if late := t.Histograms[result.Lag].Percentile(99); late > l.MaxLag && lagTells(l, t, late) {
		add(result.ScheduleLag, "the client was %v late or more for 1 %% of what it had to do, beyond the %v that are allowed: make less load, or use more processes (--procs) or hosts",
			late.Round(time.Microsecond), l.MaxLag)
	}
	whole := t.Time * time.Duration(c.Processors)
	if used := t.ClientCPU.Seconds() / whole.Seconds(); t.Time >= tellingTime && used > busyCPU {
		add(result.CPU, "the client used %.0f %% of its %d processors: use more processes (--procs), more processors or hosts",
			100*used, c.Processors)
	}
	// More threads may wait than there are processors for.
	asked := min(t.ClientCPU+waited, whole)
	if got := t.ClientCPU.Seconds() / asked.Seconds(); t.Time >= tellingTime && asked.Seconds() >= leastAsked*t.Time.Seconds() && got < leastShare {
		add(result.Starved, "the client got %.0f %% of the processor time that it asked for, as other processes had the rest: end these, use fewer (--procs) or another host",
			100*got)
	}
	if n := t.Errors[result.NoDescriptors]; n > 0 {
		add(result.Descriptors, "%d connections failed for want of descriptors, of which there are %d: use several processes (--procs), or ulimit -n",
			n, c.DescriptorLimit)
	}
	if n := t.Errors[result.NoPorts]; n > 0 {
		add(result.Ports, "%d connections failed for want of a local port: use several addresses (--source 127.0.0.0/8)", n)
	}
	return all
}

// lagTells reports whether a lag that is beyond what's allowed spoils the figures. In an open
// loop another load was made than the one that was asked for. A closed loop has no load to
// keep, but what the client was late by is in the times that it measured, if these are as
// long: replies that all came sooner didn't wait for it, and of longer ones it's little.
func lagTells(l Load, t result.Total, late time.Duration) bool {
	if l.Rate > 0 {
		return true
	}
	took := t.Histograms[result.RoundTrip].Percentile(99)
	return t.Time >= tellingTime && took/2 < late && late/2 < took
}
