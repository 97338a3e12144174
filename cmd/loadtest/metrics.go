package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-net/sluice/loadtest/result"
)

// metrics shows a run to Prometheus. The figures are those of the intervals that have ended.
type metrics struct {
	server  *http.Server
	address string
	served  chan struct{}

	mu  sync.Mutex
	sum result.Interval
}

// roundTripBuckets are in seconds.
var roundTripBuckets = []float64{
	.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("loadtest_"+name, help, labels, nil)
}

var (
	sentDesc          = describe("messages_sent_total", "Messages sent.")
	receivedDesc      = describe("replies_received_total", "Replies that were complete and right.")
	bytesSentDesc     = describe("sent_bytes_total", "Bytes sent.")
	bytesReceivedDesc = describe("received_bytes_total", "Bytes of replies.")
	connectedDesc     = describe("connections_made_total", "Connections made, with their handshake.")
	openDesc          = describe("connections_open", "Connections open at the end of the last interval.")
	errorsDesc        = describe("errors_total", "Errors, by kind.", "kind")
	cpuDesc           = describe("client_cpu_seconds_total", "Processor time of the client.")
	timesDesc         = describe("duration_seconds", "Times, by what took them; those of messages from when they were planned.", "metric")
)

const metricsTimeout = 5 * time.Second

func serveMetrics(address string) (*metrics, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &exit{exitUsage, fmt.Errorf("--metrics: %w: choose another address", err)}
	}
	m := &metrics{address: l.Addr().String(), served: make(chan struct{})}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	routes := http.NewServeMux()
	routes.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	m.server = &http.Server{Handler: routes, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout}
	go func() {
		defer close(m.served)
		_ = m.server.Serve(l)
	}()
	return m, nil
}

func (m *metrics) interval(i result.Interval) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum.Absorb(i)
	m.sum.Open = i.Open
}

// close lets an answer under way finish.
func (m *metrics) close() {
	ctx, cancel := context.WithTimeout(context.Background(), metricsTimeout)
	defer cancel()
	if err := m.server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		_ = m.server.Close()
	}
	<-m.served
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		sentDesc, receivedDesc, bytesSentDesc, bytesReceivedDesc, connectedDesc, openDesc, errorsDesc, cpuDesc, timesDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	counter(sentDesc, float64(m.sum.Sent))
	counter(receivedDesc, float64(m.sum.Received))
	counter(bytesSentDesc, float64(m.sum.BytesSent))
	counter(bytesReceivedDesc, float64(m.sum.BytesReceived))
	counter(connectedDesc, float64(m.sum.Connected))
	counter(cpuDesc, m.sum.ClientCPU.Seconds())
	out <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(m.sum.Open))
	for kind, n := range m.sum.Errors {
		counter(errorsDesc, float64(n), string(kind))
	}
	for metric, h := range m.sum.Histograms {
		out <- constHistogram(metric, h)
	}
}

// constHistogram counts a histogram's times into Prometheus' buckets.
func constHistogram(metric result.Metric, h *result.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(roundTripBuckets))
	at, below := 0, uint64(0)
	var sum float64
	h.Buckets(func(d time.Duration, n uint64) bool {
		for ; at < len(roundTripBuckets) && d.Seconds() > roundTripBuckets[at]; at++ {
			buckets[roundTripBuckets[at]] = below
		}
		below += n
		sum += d.Seconds() * float64(n)
		return true
	})
	for ; at < len(roundTripBuckets); at++ {
		buckets[roundTripBuckets[at]] = below
	}
	return prometheus.MustNewConstHistogram(timesDesc, h.Count(), sum, buckets, string(metric))
}
