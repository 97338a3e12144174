package loadtest_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// patience is how long a test waits for what must happen. It's only waited out when it
// doesn't.
const patience = 30 * time.Second

// serve has each connection of a listener handled until the test ends.
func serve(t *testing.T, l net.Listener, handle func(net.Conn)) loadtest.Target {
	t.Helper()
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				handle(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return loadtest.Target{Network: l.Addr().Network(), Address: l.Addr().String()}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// run makes a load and returns what it came to.
func run(t *testing.T, l loadtest.Load) (*result.Result, result.Total) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := loadtest.Run(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	return r, r.Total()
}

// mustBeRight holds that a run has had all its replies and nothing else.
func mustBeRight(t *testing.T, r *result.Result, messages uint64) {
	t.Helper()
	total := r.Total()
	if total.Sent != messages || total.Received != messages || total.Failed() != 0 || total.Open != 0 || total.Connected != total.Closed {
		t.Errorf("%+v, want %d messages\nerrors: %v %v", total.Counts, messages, total.Errors, r.Examples)
	}
	for _, m := range []result.Metric{result.FirstByte, result.RoundTrip, result.RoundTripUncorrected} {
		if n := total.Histograms[m].Count(); n != messages {
			t.Errorf("%s has %d times, want %d", m, n, messages)
		}
	}
}
