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
	lag := map[result.Metric]*result.Histogram{result.Lag: late}
	open := Load{Rate: 1, MaxLag: 10 * time.Millisecond}
	busy := result.Counts{ClientCPU: 4 * time.Second}
	tests := []struct {
		name  string
		load  Load
		total result.Total
		want  result.SaturationReason // "": none
	}{
		{"nothing", open, result.Total{Time: 2 * time.Second}, ""},
		{"no time at all", open, result.Total{}, ""},
		{"late", open, result.Total{Time: 2 * time.Second, Histograms: lag}, result.ScheduleLag},
		{"late, within what is allowed", Load{Rate: 1, MaxLag: time.Second}, result.Total{Histograms: lag}, ""},
		{"late without a schedule", Load{MaxLag: time.Millisecond}, result.Total{Histograms: lag}, ""},
		{"busy", Load{}, result.Total{Counts: busy, Time: 2 * time.Second}, result.CPU},
		{"busy for half of the time", Load{}, result.Total{Counts: busy, Time: 4 * time.Second}, ""},
		{"busy for too short to tell", Load{}, result.Total{Counts: busy, Time: time.Second / 2}, ""},
		{"no descriptors", Load{}, result.Total{Errors: map[result.ErrorKind]uint64{result.NoDescriptors: 1}}, result.Descriptors},
		{"no ports", Load{}, result.Total{Errors: map[result.ErrorKind]uint64{result.NoPorts: 1}}, result.Ports},
		{"other errors", Load{}, result.Total{Errors: map[result.ErrorKind]uint64{result.PeerReset: 9}}, ""},
	}
	for _, tt := range tests {
		got := diagnose(tt.load, tt.total, result.Client{Processors: 2})
		switch {
		case tt.want == "" && len(got) > 0,
			tt.want != "" && (len(got) != 1 || got[0].Reason != tt.want || got[0].Detail == ""):
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		}
	}
}
