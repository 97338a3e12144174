package loadtest_test

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// A client that sends later than it planned says so of itself.
func TestScheduleLag(t *testing.T) {
	t.Parallel()
	target := serve(t, listen(t), echo)
	for lag, want := range map[time.Duration]bool{time.Nanosecond: false, time.Hour: true} {
		r, _ := run(t, loadtest.Load{Targets: []loadtest.Target{target}, Rate: 1000, Messages: 200, MaxLag: lag})
		mustBeRight(t, r, 200)
		if r.Valid() != want {
			t.Errorf("with %v allowed it's valid: %v", lag, r.Valid())
		}
		if !want && r.Clients[0].Saturated[0].Reason != result.ScheduleLag {
			t.Errorf("%+v", r.Clients[0].Saturated)
		}
	}
}
