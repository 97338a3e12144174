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
	// busyTime is how long it takes to tell.
	busyTime = time.Second
)

func (r *run) heartbeat() {
	var pace sleeper
	for {
		due := r.now() + heartbeat
		if !pace.sleep(r.soft, heartbeat) {
			return
		}
		r.recorder.shard(0).record(meterLag, r.now()-due)
	}
}

// diagnose says what the client itself was short of.
func diagnose(l Load, t result.Total, c result.Client) []result.Saturation {
	var all []result.Saturation
	add := func(reason result.SaturationReason, format string, args ...any) {
		all = append(all, result.Saturation{Reason: reason, Detail: fmt.Sprintf(format, args...)})
	}
	if late := t.Histograms[result.Lag].Percentile(99); l.Rate > 0 && late > l.MaxLag {
		add(result.ScheduleLag, "1 %% of the messages left %v late or more, beyond the %v that are allowed: lower the rate, or use more processes (--procs) or hosts",
			late.Round(time.Microsecond), l.MaxLag)
	}
	if used := t.ClientCPU.Seconds() / t.Time.Seconds() / float64(c.Processors); t.Time >= busyTime && used > busyCPU {
		add(result.CPU, "the client used %.0f %% of its %d processors: use more processes (--procs), more processors or hosts",
			100*used, c.Processors)
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
