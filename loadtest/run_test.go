package loadtest_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// Whatever the shape of the load, an honest server's replies are all right.
func TestHonestServer(t *testing.T) {
	t.Parallel()
	sizes := func(text string) loadtest.Sizes {
		s, err := loadtest.ParseSizes(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tests := map[string]loadtest.Load{
		"plain":               {},
		"one byte":            {Sizes: sizes("1")},
		"many in flight":      {InFlight: 32, Connections: 3},
		"mixed sizes":         {Sizes: sizes("1-100:5,4000-5000:1"), InFlight: 2},
		"beyond the buffers":  {Sizes: sizes("8388608"), Connections: 1, Messages: 3},
		"churn":               {Churn: 7},
		"lifetime":            {Lifetime: 5 * time.Millisecond},
		"think":               {Think: time.Millisecond, Messages: 100},
		"open loop":           {Rate: 5000},
		"Poisson":             {Rate: 5000, Poisson: true, InFlight: 4},
		"ramp":                {ConnectRate: 1000, Connections: 20},
		"unverified":          {Codec: loadtest.Echo{Payload: loadtest.Constant}, Unverified: true},
		"text":                {Codec: loadtest.Echo{Payload: loadtest.Text}, Sizes: sizes("10-100")},
		"lines":               {Codec: loadtest.Line{Payload: loadtest.Text}, Sizes: sizes("1-600"), InFlight: 3},
		"length-prefixed":     {Codec: loadtest.LengthPrefixed{}, InFlight: 2},
		"little-endian":       {Codec: loadtest.LengthPrefixed{Bytes: 2, LittleEndian: true}},
		"with short interval": {Interval: time.Millisecond},
	}
	for name, l := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l.Targets = []loadtest.Target{serve(t, listen(t), echo), serve(t, listen(t), echo)}
			if l.Messages == 0 {
				l.Messages = 500
			}
			r, _ := run(t, l)
			mustBeRight(t, r, l.Messages)
		})
	}
}

// The number of messages is that of those that are measured, and a warm-up that would take
// more of them takes none.
func TestMessagesAfterWarmUp(t *testing.T) {
	t.Parallel()
	const messages, connections, size = 20, 10, 64
	var came atomic.Int64
	enough := make(chan struct{})
	target := serve(t, listen(t), func(c net.Conn) {
		b := make([]byte, size)
		for {
			n, err := c.Read(b)
			// Of each connection one may not have been counted by the client yet.
			const want = (messages + connections) * size
			if sum := came.Add(int64(n)); sum >= want && sum-int64(n) < want {
				close(enough)
			}
			if err != nil || write(c, b[:n]) != nil {
				return
			}
		}
	})
	r, total := run(t, loadtest.Load{
		Targets: []loadtest.Target{target}, Connections: connections,
		WarmUp: 300 * time.Millisecond, Messages: messages, Interval: 10 * time.Millisecond,
		OnInterval: func(i result.Interval) {
			if i.Phase == result.Warmup { // which isn't over before
				select {
				case <-enough:
				case <-time.After(patience):
				}
			}
		},
	})
	var warm uint64
	phases := map[result.Phase]int{}
	for _, i := range r.Intervals {
		phases[i.Phase]++
		if i.Phase == result.Warmup {
			warm += i.Sent
		}
	}
	if warm < messages || phases[result.Measure] == 0 {
		t.Errorf("%d messages in the warm-up, %v", warm, phases)
	}
	// And those that are sent or under way while the warm-up ends.
	if total.Sent < messages || total.Received < total.Sent || total.Received > total.Sent+connections || total.Failed() > 0 {
		t.Errorf("%+v, want %d messages\n%v", total.Counts, messages, total.Errors)
	}
}

// However few messages there are, they're measured: all may have been sent before anybody
// looks.
func TestFewMessagesAreMeasured(t *testing.T) {
	t.Parallel()
	target := serve(t, listen(t), echo)
	for range 50 {
		r, total := run(t, loadtest.Load{Targets: []loadtest.Target{target}, Connections: 1, Messages: 1})
		mustBeRight(t, r, 1)
		if total.Time == 0 {
			t.Fatalf("no time was measured: %+v", r.Intervals)
		}
	}
}

func TestUnixDomain(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", filepath.Join(testenv.SocketDir(t), "e.sock"))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := run(t, loadtest.Load{Targets: []loadtest.Target{serve(t, l, echo)}, Messages: 500})
	mustBeRight(t, r, 500)
}

// The end of the context ends the run, and what was measured is there.
func TestStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	intervals := 0
	r, err := loadtest.Run(ctx, loadtest.Load{
		Targets:  []loadtest.Target{serve(t, listen(t), echo)},
		Duration: patience,
		Interval: 10 * time.Millisecond,
		OnInterval: func(i result.Interval) {
			if intervals++; i.Received > 0 {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Stopped || intervals != len(r.Intervals) {
		t.Errorf("stopped: %v, %d of %d intervals", r.Stopped, intervals, len(r.Intervals))
	}
	mustBeRight(t, r, r.Total().Sent)
}

// A run that is stopped before it begins has no result.
func TestStopBefore(t *testing.T) {
	t.Parallel()
	accepted := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	r, err := loadtest.Run(ctx, loadtest.Load{
		Targets: []loadtest.Target{serve(t, listen(t), func(net.Conn) { accepted <- struct{}{} })},
		StartAt: time.Now().Add(time.Hour),
	})
	if r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", r, err)
	}
}

// Nothing is sent before all connections are there, which is in the total, but for its time.
func TestAllConnectBeforeTheLoad(t *testing.T) {
	t.Parallel()
	r, total := run(t, loadtest.Load{
		Targets: []loadtest.Target{serve(t, listen(t), echo)}, Connections: 200, Rate: 10_000, Messages: 1000,
		StartAt: time.Now(), Interval: 20 * time.Millisecond,
	})
	mustBeRight(t, r, 1000)
	connected := uint64(0)
	for _, i := range r.Intervals {
		if i.Phase == result.Connecting {
			connected += i.Connected
			if i.Sent > 0 {
				t.Errorf("%d messages were sent while connecting", i.Sent)
			}
		} else if i.Phase == result.Measure && connected != 200 {
			t.Fatalf("%d connections before the load", connected)
		}
	}
	if total.Histograms[result.Connect].Count() != 200 || total.Time > r.Ended.Sub(r.Started) {
		t.Errorf("%d connections in the total, %v of %v", total.Histograms[result.Connect].Count(), total.Time, r.Ended.Sub(r.Started))
	}
}

// The load waits for the gate, at which all are connected, unless they connect at a rate.
func TestGate(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]uint64{0: 10, 1000: 0} {
		var mu sync.Mutex
		var early uint64
		open := false
		target := serve(t, listen(t), func(c net.Conn) {
			b := make([]byte, faultSize)
			n, _ := c.Read(b)
			mu.Lock()
			if n > 0 && !open {
				early++
			}
			mu.Unlock()
			_ = write(c, b[:n])
			echo(c)
		})
		var connected, there uint64
		r, _ := run(t, loadtest.Load{
			Targets: []loadtest.Target{target}, Connections: 10, ConnectRate: rate, Messages: 100,
			OnInterval: func(i result.Interval) { connected += i.Connected },
			Gate: func(context.Context) time.Time {
				there = connected
				mu.Lock()
				defer mu.Unlock()
				open = true
				return time.Now().Add(100 * time.Millisecond)
			},
		})
		mustBeRight(t, r, 100)
		if early > 0 || there != want {
			t.Errorf("%d messages before the gate opened, and %d connections", early, there)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, rate := range []float64{0, 1000} {
		r, err := loadtest.Run(ctx, loadtest.Load{
			Targets: []loadtest.Target{serve(t, listen(t), echo)}, ConnectRate: rate,
			Gate: func(ctx context.Context) time.Time {
				cancel()
				<-ctx.Done()
				return time.Time{}
			},
		})
		if rate == 0 && (err != nil || !r.Stopped || r.Total().Sent > 0) || rate > 0 && !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// A connection lives to its age, though no message is planned until then, and its end is no
// failure after which the next one would have to wait.
func TestLifetimeWithoutMessages(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	since := 0 // the reply to the first, which is planned for the beginning
	r, err := loadtest.Run(ctx, loadtest.Load{
		Targets: []loadtest.Target{serve(t, listen(t), echo)}, Connections: 1,
		Rate: 0.001, Lifetime: time.Hour / 4, Duration: patience, Interval: 20 * time.Millisecond,
		OnInterval: func(i result.Interval) {
			if since += int(i.Received); since > 0 {
				since++
			}
			if since > 10 {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	total := r.Total()
	mustBeRight(t, r, 1)
	if total.Connected != 1 {
		t.Errorf("%d connections in a fraction of one's lifetime", total.Connected)
	}
}
