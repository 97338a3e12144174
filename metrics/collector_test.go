package metrics_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/metrics"
	"github.com/sluice-net/sluice/server"
)

// TestCountsAreTheClients holds that, once all is quiet, the figures are exactly those
// that the clients and the callbacks have counted, and that the gauges are back at zero.
func TestCountsAreTheClients(t *testing.T) {
	const clients, pings, bulks = 6, 200, 20
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			mux, cb := newMux(t, 2), newEcho()
			cb.paniced = "panic!"
			s := newServer(t, network, cb, on(mux))
			start(t, s)
			h := handlerFor(t, s)

			conns := make([]net.Conn, clients)
			for i := range conns {
				conns[i] = dial(t, s)
			}
			// One byte at a time is one read and one write each.
			together(t, conns, func(c net.Conn) (int, error) {
				for range pings {
					if err := exchange(c, 1); err != nil {
						return 0, err
					}
				}
				return pings, nil
			})
			settle(t, mux)
			scrape(t, h).must(t, figures{
				of("received_bytes_total", "default"):       clients * pings,
				of("sent_bytes_total", "default"):           clients * pings,
				of("reads_total", "default"):                clients * pings,
				of("writes_total", "default"):               clients * pings,
				of("connections_accepted_total", "default"): clients,
				established("default"):                      clients,
				`sluice_reactor_connections{reactor="0"}`:   clients / 2,
				`sluice_reactor_connections{reactor="1"}`:   clients / 2,
				of("connections_limit", "default"):          math.Inf(1),

				`sluice_connections_limit{listener="",server="default"}`: math.Inf(1),
			})

			total := clients*pings + together(t, conns, func(c net.Conn) (sum int, err error) {
				for range bulks {
					n := 1 + rand.IntN(200_000)
					if err := exchangeBoth(c, n); err != nil {
						return 0, err
					}
					sum += n
				}
				return sum, nil
			})

			// Each ends in one of the ways that a connection can.
			conns[0].Close()
			conns[1].Close()
			total += reset(t, conns[2]) // whose last byte was sent, and is lost
			if _, err := io.WriteString(conns[3], cb.paniced); err != nil {
				t.Fatal(err)
			}
			received := total + len(cb.paniced)
			reasons := cb.end(t, 4)
			s.AbortAllConnections()
			for r, n := range cb.end(t, clients-4) {
				reasons[r] += n
			}
			settle(t, mux)
			want := figures{
				of("received_bytes_total", "default"):       float64(received),
				of("sent_bytes_total", "default"):           float64(total),
				of("reads_total", "default"):                float64(cb.reads.Load()),
				of("connections_accepted_total", "default"): clients,
				of("write_buffered_bytes", "default"):       0,
				of("connections_write_blocked", "default"):  0,

				of("connection_duration_seconds_count", "default"):                                      clients,
				`sluice_connection_duration_seconds_bucket{listener="main",server="default",le="+Inf"}`: clients,
				`sluice_accept_errors_total{error="EMFILE",listener="main",server="default"}`:           0,
				`sluice_timers_active`:                      0,
				of("callback_panics_total", "default"):      1,
				established("default"):                      0,
				`sluice_connections_held{server="default"}`: 0,
				`sluice_reactor_connections{reactor="0"}`:   0,
				`sluice_reactor_connections{reactor="1"}`:   0,
				`sluice_reactor_pending_tasks{reactor="0"}`: 0,
				`sluice_reactor_pending_tasks{reactor="1"}`: 0,
				`sluice_reactor_panics_total`:               1,
				`sluice_buffers_bytes{state="in_use"}`:      0,
				`sluice_buffers_outstanding_blocks`:         0,
				`sluice_buffers_misuses_total`:              0,
				closed(conn.ReasonPeerClosed):               2,
				closed(conn.ReasonReset):                    1,
				closed(conn.ReasonPanic):                    1,
				closed(conn.ReasonLocalAbort):               clients - 4,
			}
			for r := range s.Stats().Listeners["main"].Rejected {
				want[rejected(r)] = 0
			}
			for r := conn.ReasonNone + 1; int(r) < engine.Reasons; r++ {
				if series := closed(r); float64(reasons[r]) != want[series] {
					t.Errorf("the callbacks counted %d connections closed for %v, want %v", reasons[r], r, want[series])
				} else {
					want[series] = float64(reasons[r])
				}
			}
			got := scrape(t, h)
			got.must(t, want)
			if writes := got[of("writes_total", "default")]; writes < clients*(pings+bulks) {
				t.Errorf("%v writes", writes)
			}
		})
	}
}

func open(listener, srv, state string) string {
	return fmt.Sprintf("sluice_connections_open{listener=%q,server=%q,state=%q}", listener, srv, state)
}

func established(srv string) string { return open("main", srv, "established") }

func closed(r conn.Reason) string {
	return of("connections_closed_total", "default", fmt.Sprintf("reason=%q", r))
}

func rejected(r server.Rejection) string {
	return of("connections_rejected_total", "default", fmt.Sprintf("reason=%q", r))
}

// TestRejectionsAreTheClients holds that each connection which was refused is counted for
// its reason, and no other.
func TestRejectionsAreTheClients(t *testing.T) {
	const served, refused = 2, 5
	mux := newMux(t, 1)
	s := newServer(t, "tcp", newEcho(), on(mux), func(c *server.Config) { c.Listeners[0].MaxPerAddress = served })
	start(t, s)
	for range served {
		mustExchange(t, dial(t, s), 1)
	}
	for range refused {
		bound := s.Addrs()["main"][0]
		c, err := net.Dial(bound.Network(), bound.String())
		if err == nil { // the reset may be as early as in the dial
			err = exchange(c, 1)
			c.Close()
		}
		if err == nil {
			t.Error("one too many is served")
		}
	}
	settle(t, mux)
	want := figures{of("connections_accepted_total", "default"): served}
	for r := range s.Stats().Listeners["main"].Rejected {
		want[rejected(r)] = 0
	}
	want[rejected(server.RejectedPerAddress)] = refused
	scrape(t, handlerFor(t, s)).must(t, want)
}

// together runs all clients at a time and sums up.
func together(t *testing.T, conns []net.Conn, client func(net.Conn) (int, error)) (sum int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			n, err := client(c)
			mu.Lock()
			defer mu.Unlock()
			sum += n
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return sum
}

// exchangeBoth is exchange for more than fits between the two ends.
func exchangeBoth(c net.Conn, n int) error {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, n))
		sent <- err
	}()
	if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
		return err
	}
	return <-sent
}

// reset closes a connection with input unread, which the peer sees as a reset, and
// returns how many bytes have gone each way.
func reset(t *testing.T, c net.Conn) int {
	t.Helper()
	const n = 2
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, n-1)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	return n
}

// TestSeriesExistFromTheStart holds that a server which has done nothing yet has all its
// series, so that the first event of a kind is an increase.
func TestSeriesExistFromTheStart(t *testing.T) {
	mux := newMux(t, 1)
	s := newServer(t, "tcp", newEcho(), on(mux), func(c *server.Config) {
		c.MaxConnections, c.Listeners[0].MaxConnections = 5, 3
		c.Listeners = append(c.Listeners, server.Listener{Name: "file", Network: "unix", Address: socketPath(t)})
	})
	h := handlerFor(t, s)
	before := scrape(t, h)
	before.must(t, figures{
		"sluice_ready": 0, "sluice_draining": 0, "sluice_reactor_panics_total": 0, "sluice_timers_active": 0,
		"sluice_reactor_turn_duration_seconds_count": 0, `sluice_reactor_turn_duration_seconds_bucket{le="0.1"}`: 0,
	})
	start(t, s)
	got := scrape(t, h)
	want := figures{"sluice_ready": 1, "sluice_draining": 0, `sluice_connections_limit{listener="",server="default"}`: 5}
	want[of("connections_limit", "default")] = 3
	want[`sluice_connections_limit{listener="file",server="default"}`] = math.Inf(1)
	for _, phase := range []string{"grace", "evicting", "aborting", "over"} {
		want[fmt.Sprintf("sluice_drain_phase{phase=%q,server=%q}", phase, "default")] = 0
	}
	want[`sluice_drain_phase{phase="none",server="default"}`] = 1
	for _, listener := range []string{"main", "file"} {
		for _, name := range []string{
			"connections_accepted_total",
			"received_bytes_total", "sent_bytes_total", "reads_total", "writes_total", "callback_panics_total",
			"write_buffered_bytes", "connections_write_blocked",
			"connection_duration_seconds_count", "connection_duration_seconds_sum",
			"callback_duration_seconds_count", "callback_duration_seconds_sum",
		} {
			want[fmt.Sprintf("sluice_%s{listener=%q,server=%q}", name, listener, "default")] = 0
		}
		for _, state := range []string{"handshaking", "established", "draining"} {
			want[open(listener, "default", state)] = 0
		}
		for _, errno := range []string{
			"EBADF", "ECONNABORTED", "EINVAL", "EMFILE", "ENETDOWN", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM", "EPROTO", "other",
		} {
			want[fmt.Sprintf("sluice_accept_errors_total{error=%q,listener=%q,server=%q}", errno, listener, "default")] = 0
		}
		for r := conn.ReasonNone + 1; int(r) < engine.Reasons; r++ {
			want[fmt.Sprintf("sluice_connections_closed_total{listener=%q,reason=%q,server=%q}", listener, r, "default")] = 0
		}
		for _, why := range []string{"max_connections", "per_address", "rate", "descriptors", "draining"} {
			want[fmt.Sprintf("sluice_connections_rejected_total{listener=%q,reason=%q,server=%q}", listener, why, "default")] = 0
		}
		bound := s.Addrs()[listener][0]
		want[fmt.Sprintf("sluice_listener_info{address=%q,listener=%q,server=%q,transport=%q}", bound, listener, "default", bound.Network())] = 1
	}
	got.must(t, want)
	if busy, ok := got[`sluice_reactor_busy_seconds_total{reactor="0"}`]; !ok || busy >= patience.Seconds() {
		t.Errorf("busy for %v s (%t)", busy, ok) // it has begun to accept
	}

	c := dial(t, s)
	mustExchange(t, c, 10)
	settle(t, mux)
	after := scrape(t, h)
	for series := range after {
		if _, ok := got[series]; !ok {
			t.Errorf("%s is new", series)
		}
	}
	stop(s)
	scrape(t, h).must(t, figures{
		"sluice_ready": 0, "sluice_draining": 0,
		established("default"):                0,
		of("received_bytes_total", "default"): 10,
		closed(conn.ReasonDrainAbort):         1,

		`sluice_drain_phase{phase="none",server="default"}`: 0,
		`sluice_drain_phase{phase="over",server="default"}`: 1,
	})
}

// TestSlowPeersShow holds that what isn't taken shows, by how much, and where connections
// are in their lives.
func TestSlowPeersShow(t *testing.T) {
	const size = 300_000
	mux, cb := newMux(t, 2), newEcho()
	s := newServer(t, "unix", cb, on(mux), func(c *server.Config) {
		c.Flow = conn.Flow{High: 1000, Low: 1}
		c.Listeners[0].Options.SendBuffer = 4096
	})
	start(t, s)
	h := handlerFor(t, s)
	slow, quick := dial(t, s), dial(t, s)
	mustExchange(t, quick, 10)
	var streams []*conn.Stream
	for c := range s.Connections() {
		streams = append(streams, c.AddRef())
	}
	for _, c := range streams {
		if err := c.Send(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.ReadFull(quick, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	settle(t, mux)
	must := func(blocked, draining float64, buffered int) {
		t.Helper()
		scrape(t, h).must(t, figures{
			of("connections_write_blocked", "default"): blocked,
			of("write_buffered_bytes", "default"):      float64(buffered),
			open("main", "default", "handshaking"):     0,
			open("main", "default", "draining"):        draining,
			established("default"):                     2 - draining,
		})
	}
	pending := 0
	for _, c := range streams {
		pending += c.Pending()
	}
	if pending == 0 {
		t.Fatal("the kernel has taken everything")
	}
	must(1, 0, pending)
	for _, c := range streams {
		if c.Pending() > 0 {
			if err := c.Shutdown(); err != nil {
				t.Error(err)
			}
		}
	}
	must(1, 1, pending)
	if _, err := io.ReadFull(slow, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	slow.Close()
	receive(t, cb.closed)
	settle(t, mux)
	scrape(t, h).must(t, figures{
		of("connections_write_blocked", "default"): 0,
		of("write_buffered_bytes", "default"):      0,
		open("main", "default", "draining"):        0,
		established("default"):                     1,
	})
	for _, c := range streams {
		c.Release()
	}
}

// TestHeldConnections holds that a reference which outlives its connection shows.
func TestHeldConnections(t *testing.T) {
	mux := newMux(t, 1)
	cb := &keeper{echo: newEcho(), kept: make(chan *conn.Stream, 1)}
	s := newServer(t, "tcp", cb, on(mux))
	start(t, s)
	h := handlerFor(t, s)
	dial(t, s)
	kept := receive(t, cb.kept)
	kept.Abort(nil)
	receive(t, cb.closed)
	settle(t, mux)
	scrape(t, h).must(t, figures{`sluice_connections_held{server="default"}`: 1, established("default"): 0})
	kept.Release()
	receive(t, cb.released)
	scrape(t, h).must(t, figures{`sluice_connections_held{server="default"}`: 0})
}

// keeper keeps a reference.
type keeper struct {
	*echo
	kept chan *conn.Stream
}

func (k *keeper) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	c.AddRef()
	c.Read()
	k.kept <- c
}

// TestSharedLoopsCountOnce holds that two servers on one Mux and one Allocator bring
// these once, and each its own counters.
func TestSharedLoopsCountOnce(t *testing.T) {
	mux, alloc := newMux(t, 2), buffers.New(buffers.Config{})
	sharing := func(c *server.Config) { c.Mux, c.Allocator = mux, alloc }
	a := newServer(t, "tcp", newEcho(), named("a"), sharing)
	b := newServer(t, "unix", newEcho(), named("b"), sharing)
	start(t, a)
	start(t, b)
	toA, toB := dial(t, a), dial(t, b)
	mustExchange(t, toA, 3)
	mustExchange(t, toB, 5)
	if err := mux.Post(func() { panic("posted") }); err != nil {
		t.Fatal(err)
	}
	held := alloc.Get(1000)
	defer held.Release()
	defer mux.AfterFunc(time.Hour, func() {}).Stop()
	for range 100 {
		settle(t, mux)
	}
	got := scrape(t, handlerFor(t, a, b))
	turns := 0.0
	for _, r := range a.Stats().Reactors {
		turns += float64(r.Turns.Count())
	}
	if turns == 0 {
		t.Error("no turn was timed")
	}
	got.must(t, figures{
		"sluice_timers_active":                       1,
		"sluice_reactor_turn_duration_seconds_count": turns,
		of("received_bytes_total", "a"):              3,
		of("received_bytes_total", "b"):              5,
		established("a"):                             1,
		established("b"):                             1,
		"sluice_reactor_panics_total":                1,
		"sluice_buffers_outstanding_blocks":          1,
		`sluice_buffers_bytes{state="in_use"}`:       float64(held.Cap()),
	})
	if sum := got[`sluice_reactor_connections{reactor="0"}`] + got[`sluice_reactor_connections{reactor="1"}`]; sum != 2 {
		t.Errorf("%v connections on the loops", sum)
	}
	if _, ok := got[`sluice_reactor_connections{reactor="2"}`]; ok {
		t.Error("there's a third loop")
	}
}

// TestLoopsAreNumberedThrough holds that the loops of several Muxes are told apart, that
// their numbers stay, and that those of a server which was removed are used again.
func TestLoopsAreNumberedThrough(t *testing.T) {
	servers := map[string]*server.Server{}
	for _, name := range []string{"a", "b", "c"} {
		servers[name] = newServer(t, "tcp", newEcho(), named(name), on(newMux(t, 2)))
		start(t, servers[name])
	}
	connect := func(name string, n int) {
		for range n {
			mustExchange(t, dial(t, servers[name]), 1)
		}
	}
	connect("a", 2)
	connect("b", 4)
	connect("c", 6)
	c := collectorFor(t, servers["a"], servers["b"])
	h := metrics.Handler(metrics.Options{Collector: c, OmitRuntime: true, Logger: failing(t)})
	loops := func(want ...float64) {
		t.Helper()
		got := scrape(t, h)
		for i, n := range want {
			series := fmt.Sprintf("sluice_reactor_connections{reactor=\"%d\"}", i)
			if value, ok := got[series]; ok != (n > 0) || value != n {
				t.Errorf("%s is %v (%t), want %v", series, value, ok, n)
			}
		}
	}
	loops(1, 1, 2, 2, 0)
	c.Remove(servers["a"])
	loops(0, 0, 2, 2, 0)
	if err := c.Add(servers["c"]); err != nil {
		t.Fatal(err)
	}
	loops(3, 3, 2, 2, 0)
	if err := c.Add(servers["a"]); err != nil {
		t.Fatal(err)
	}
	loops(3, 3, 2, 2, 1, 1, 0)
}

// TestNames holds which servers go together.
func TestNames(t *testing.T) {
	unnamed, other := newServer(t, "tcp", newEcho()), newServer(t, "tcp", newEcho())
	x := newServer(t, "tcp", newEcho(), named("x"))
	tests := []struct {
		name    string
		servers []*server.Server
		want    string // of the error
	}{
		{name: "none"},
		{name: "one without a name", servers: []*server.Server{unnamed, x}},
		{name: "two without a name", servers: []*server.Server{unnamed, other}, want: `"default"`},
		{name: "one twice", servers: []*server.Server{x, x}, want: `"x"`},
		{name: "nil", servers: []*server.Server{nil}, want: "server.New"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := metrics.NewCollector(tt.servers...)
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestNamesThatAreNotText holds that a name which can't be a label, such as that of a
// socket in a strange folder, doesn't cost the scrape.
func TestNamesThatAreNotText(t *testing.T) {
	strange := "\xff\n\"\\"
	s := newServer(t, "unix", newEcho(), named(strange), func(c *server.Config) {
		c.Listeners[0].Name = strange
		c.Listeners[0].Address += "\xff"
	})
	start(t, s)
	got := scrape(t, handlerFor(t, s))
	found := 0
	for series := range got {
		if strings.HasPrefix(series, "sluice_listener_info{") && strings.Contains(series, `\\xff`) {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%v", got)
	}
}

// TestReusePortSharesAnAddress holds that sockets at one address are one series.
func TestReusePortSharesAnAddress(t *testing.T) {
	s := newServer(t, "tcp", newEcho(), on(newMux(t, 2)), func(c *server.Config) { c.Listeners[0].ReusePort = true })
	start(t, s)
	bound := s.Addrs()["main"]
	if len(bound) != 2 {
		t.Fatalf("%d sockets", len(bound))
	}
	scrape(t, handlerFor(t, s)).must(t, figures{
		fmt.Sprintf("sluice_listener_info{address=%q,listener=\"main\",server=\"default\",transport=\"tcp\"}", bound[0]): 1,
	})
}
