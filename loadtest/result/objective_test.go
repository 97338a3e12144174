package result_test

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

func TestObjectives(t *testing.T) {
	t.Parallel()
	h := result.NewHistogram()
	for i := 1; i <= 1000; i++ {
		h.Record(time.Duration(i) * 10 * time.Microsecond)
	}
	total := result.Total{
		Counts:     result.Counts{Received: 1000},
		Time:       2 * time.Second,
		Histograms: map[result.Metric]*result.Histogram{result.RoundTrip: h},
		Errors:     map[result.ErrorKind]uint64{result.PeerReset: 1},
	}
	tests := []struct {
		text string
		kept []bool
	}{
		{"roundtrip p99<10ms, errors<1%", []bool{true, true}},
		{"roundtrip p99<9ms", []bool{false}},
		{"roundtrip p99.9 <= 20ms", []bool{true}},
		{"roundtrip mean<5.5ms,roundtrip max<9ms", []bool{true, false}},
		{"errors<0.01%", []bool{false}},
		{"errors<=0.5", []bool{true}},
		{"rate>499,rate>=500,rate>500,rate<500", []bool{true, true, false, false}},
		{"connect p50<1h", []bool{false}}, // there was none
	}
	for _, tt := range tests {
		all, err := result.ParseObjectives(tt.text)
		if err != nil || len(all) != len(tt.kept) {
			t.Errorf("%s: %d objectives, %v", tt.text, len(all), err)
			continue
		}
		for i, o := range all {
			if v := o.Judge(total); v.Kept != tt.kept[i] || v.Objective != o.String() || v.Measured == "" {
				t.Errorf("%s: %+v, want %v", o, v, tt.kept[i])
			}
		}
	}
	for _, text := range []string{"", "roundtrip", "roundtrip<1ms", "roundtrip p0<1ms", "roundtrip p101<1ms", "roundtrip p99<1",
		"roundtrip p99<-1ms", "roundtrip p99=1ms", "latency p99<1ms", "errors<x%", "errors p99<1", "rate>1%", "errors<1%,", "rate>>1"} {
		if _, err := result.ParseObjectives(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
