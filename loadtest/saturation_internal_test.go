package loadtest

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// Each limit of a client is told by its name, and none is invented.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	late := result.NewHistogram()
	for range 100 {
		late.Record(20 * time.Millisecond)
	}
	slow := result.NewHistogram()
	slow.Record(time.Second)
	quick := result.NewHistogram()
	quick.Record(time.Millisecond)
	lag := map[result.Metric]*result.Histogram{result.Lag: late}
	slowLag := map[result.Metric]*result.Histogram{result.Lag: late, result.RoundTrip: slow}
	sameLag := map[result.Metric]*result.Histogram{result.Lag: late, result.RoundTrip: late}
	quickLag := map[result.Metric]*result.Histogram{result.Lag: late, result.RoundTrip: quick}
	open, closed := Load{Rate: 1, MaxLag: 10 * time.Millisecond}, Load{MaxLag: 10 * time.Millisecond}
	busy := result.Counts{ClientCPU: 4 * time.Second}
	tests := []struct {
		name   string
		load   Load
		total  result.Total
		waited time.Duration
		want   result.SaturationReason // "": none
	}{
		{"nothing", open, result.Total{Time: 2 * time.Second}, 0, ""},
		{"no time at all", open, result.Total{}, 0, ""},
		{"late", open, result.Total{Time: 2 * time.Second, Histograms: lag}, 0, result.ScheduleLag},
		{"late, within what is allowed", Load{Rate: 1, MaxLag: time.Second}, result.Total{Time: 2 * time.Second, Histograms: lag}, 0, ""},
		{"late, and so are all replies", closed, result.Total{Time: 2 * time.Second, Histograms: sameLag}, 0, result.ScheduleLag},
		{"late, far below what the server takes", closed, result.Total{Time: 2 * time.Second, Histograms: slowLag}, 0, ""},
		{"late, and no reply is", closed, result.Total{Time: 2 * time.Second, Histograms: quickLag}, 0, ""},
		{"late for too short to tell", closed, result.Total{Time: time.Second / 2, Histograms: sameLag}, 0, ""},
		{"busy", closed, result.Total{Counts: busy, Time: 2 * time.Second}, 0, result.CPU},
		{"busy for half of the time", closed, result.Total{Counts: busy, Time: 4 * time.Second}, 0, ""},
		{"busy for too short to tell", closed, result.Total{Counts: busy, Time: time.Second / 2}, 0, ""},
		{"beside a server that's as busy", closed, result.Total{Counts: busy, Time: 4 * time.Second}, 5 * time.Second, ""},
		{"beside many others", closed, result.Total{Counts: busy, Time: 10 * time.Second}, 9 * time.Second, result.Starved},
		{"beside many others in an open loop", open, result.Total{Counts: busy, Time: 10 * time.Second}, 9 * time.Second, result.Starved},
		{"more threads than processors", closed, result.Total{Counts: busy, Time: 4 * time.Second}, time.Minute, ""},
		{"beside many others, with little to do", closed, result.Total{Counts: busy, Time: time.Hour}, 30 * time.Second, ""},
		{"no descriptors", closed, result.Total{Errors: map[result.ErrorKind]uint64{result.NoDescriptors: 1}}, 0, result.Descriptors},
		{"no ports", closed, result.Total{Errors: map[result.ErrorKind]uint64{result.NoPorts: 1}}, 0, result.Ports},
		{"other errors", closed, result.Total{Errors: map[result.ErrorKind]uint64{result.PeerReset: 9}}, 0, ""},
	}
	for _, tt := range tests {
		got := diagnose(tt.load, tt.total, tt.waited, result.Client{Processors: 2})
		switch {
		case tt.want == "" && len(got) > 0,
			tt.want != "" && (len(got) != 1 || got[0].Reason != tt.want || got[0].Detail == ""):
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		}
	}
}
