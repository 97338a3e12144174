package loadtest_test

import (
	"slices"
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
		// A busy machine may be another reason.
		late := slices.ContainsFunc(r.Clients[0].Saturated, func(s result.Saturation) bool { return s.Reason == result.ScheduleLag })
		if late == want || late && r.Valid() {
			t.Errorf("with %v allowed it's %+v", lag, r.Clients[0].Saturated)
		}
	}
}
