package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	m, err := serveMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	m.interval(interval(0, 100))
	m.interval(interval(1, 100))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get("http://" + m.address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"loadtest_replies_received_total 200",
		"loadtest_received_bytes_total 12800",
		"loadtest_connections_open 10",
		`loadtest_errors_total{kind="reset_by_server"} 2`,
		`loadtest_duration_seconds_bucket{metric="round_trip",le="0.001"} 0`,
		`loadtest_duration_seconds_bucket{metric="round_trip",le="0.0025"} 200`,
		`loadtest_duration_seconds_bucket{metric="round_trip",le="+Inf"} 200`,
		`loadtest_duration_seconds_count{metric="round_trip"} 200`,
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("%s isn't in\n%s", line, text)
		}
	}
}
