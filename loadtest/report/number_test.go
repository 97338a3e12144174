package report

import (
	"strings"
	"testing"
	"time"
)

// How numbers are written.
func TestNumbers(t *testing.T) {
	t.Parallel()
	tests := []struct{ got, want string }{
		{duration(0), "0 ns"},
		{duration(45), "45 ns"},
		{duration(999_700), "1.00 ms"},
		{duration(45_230), "45.2 µs"},
		{duration(999_499), "999 µs"},
		{duration(12_345_678_900), "12.3 s"},
		{duration(time.Hour), "3,600 s"},
		{tickDuration(200_000), "200 µs"},
		{tickDuration(1e9), "1 s"},
		{count(0), "0"},
		{count(999), "999"},
		{count(uint64(1_234_567)), "1,234,567"},
		{rate(20_883.4), "20,883"},
		{rate(99.96), "100"},
		{rate(0.5), "0.500"},
		{rate(0), "0"},
		{scaled(20_000), "20 k"},
		{scaled(2_500_000), "2.5 M"},
		{scaled(0.5), "0.5"},
		{bytesRate(1_336_000), "1.34 MB/s"},
		{bytesRate(999), "999 B/s"},
		{percent(0), "0 %"},
		{percent(0.00012), "0.012 %"},
		{percent(0.5), "50.0 %"},
		{span(0), "0 s"},
		{span(1500 * time.Millisecond), "1.5 s"},
		{span(59 * time.Second), "59 s"},
		{span(90 * time.Second), "1 min 30 s"},
		{span(2*time.Hour + 5*time.Second), "2 h 5 s"},
		{commandLine([]string{"loadtest", "--slo", "p99<5ms", "it's", ""}), `loadtest --slo 'p99<5ms' 'it'\''s' ''`},
	}
	for _, tt := range tests {
		if got := strings.ReplaceAll(tt.got, space, " "); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Every axis has between two and ten ticks, within it, and all values have their places.
func TestScales(t *testing.T) {
	t.Parallel()
	check := func(name string, s scale, low, high float64) {
		t.Helper()
		if len(s.ticks) < 2 || len(s.ticks) > 10 {
			t.Errorf("%s: ticks at %v", name, s.ticks)
		}
		for _, v := range s.ticks {
			if v < s.low*0.9999 || v > s.high*1.0001 {
				t.Errorf("%s: a tick at %v, outside of %v to %v", name, v, s.low, s.high)
			}
		}
		if a, b := s.at(low), s.at(high); a < 0 || b > 1 || a >= b {
			t.Errorf("%s: from %v to %v", name, a, b)
		}
	}
	for _, high := range []float64{0.3, 1, 7, 8.01, 99, 100, 20883, 1e9} {
		check("numbers", fromZero(high, false), 0, high)
	}
	for _, high := range []float64{1, 2, 3, 10, 99} {
		s := fromZero(high, true)
		check("whole numbers", s, 0, high)
		if s.ticks[1] < 1 {
			t.Errorf("half a connection: %v", s.ticks)
		}
	}
	for _, low := range []float64{1, 17, 80, 1234, 9e6} {
		for _, times := range []float64{1.5, 2, 10, 47, 1e3, 1e6} {
			check("times", logarithmic(low, low*times), low, low*times)
		}
	}
	for _, end := range []time.Duration{100 * time.Millisecond, time.Second, 33 * time.Second, time.Minute, time.Hour, 50 * time.Hour} {
		check("elapsed", elapsed(end), 0, float64(end))
	}
}
