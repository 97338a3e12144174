package loadtest_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// Issue: an open loop against a server that freezes for 500 ms shows the freeze in the
// corrected percentiles. At 1,000 messages a second some 250 were planned in the first
// half of the freeze, and had to wait for the other half at least; only the one that was
// under way was sent before it.
func TestFreezeShows(t *testing.T) {
	t.Parallel()
	const freeze = 500 * time.Millisecond
	var once sync.Once
	target := serve(t, listen(t), func(c net.Conn) {
		b := make([]byte, faultSize)
		for number := 0; ; number++ {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if number == 100 {
				once.Do(func() { <-time.After(freeze) })
			}
			if write(c, b[:n]) != nil {
				return
			}
		}
	})
	r, total := run(t, loadtest.Load{Targets: []loadtest.Target{target}, Connections: 1, Rate: 1000, Messages: 1000})
	mustBeRight(t, r, 1000)
	slow := func(m result.Metric) (n uint64) {
		total.Histograms[m].Buckets(func(d time.Duration, count uint64) bool {
			if d >= freeze/2 {
				n += count
			}
			return true
		})
		return n
	}
	corrected, uncorrected := slow(result.RoundTrip), slow(result.RoundTripUncorrected)
	if corrected < 200 || uncorrected < 1 || uncorrected > corrected/4 {
		t.Errorf("%d messages took half of the freeze, corrected; uncorrected %d", corrected, uncorrected)
	}
	if p90 := total.Histograms[result.RoundTrip].Percentile(90); p90 < freeze/4 {
		t.Errorf("the corrected 90th percentile is %v", p90)
	}
}

// An open loop doesn't let a slow server off: what was planned and couldn't be sent is
// counted.
func TestPlannedIsCounted(t *testing.T) {
	t.Parallel()
	target := serve(t, listen(t), func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	_, total := run(t, loadtest.Load{
		Targets: []loadtest.Target{target}, Connections: 2, Rate: 1000,
		Duration: 200 * time.Millisecond, Timeout: 2 * time.Second,
	})
	if float64(total.Planned) < 900*total.Time.Seconds() || total.Planned-total.Sent < 150 || total.Received > 0 {
		t.Errorf("%d planned in %v, %d sent: want 1000 in a second, and one for each connection", total.Planned, total.Time, total.Sent)
	}
}
