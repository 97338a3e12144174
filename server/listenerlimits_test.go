package server_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// contract.md, Connection limits: at a listener's limit only that listener pauses; it says
// so once, by its name, and whoever waits gets his turn when one closes.
func TestListenerMaxConnections(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, side, func(c *server.Config) { c.Listeners[0].MaxConnections = 2 })
		a, b := f.dial(), f.dial()
		a.echo("a")
		b.echo("b")
		waiting := f.dial() // by the kernel's grace
		rec.heard(t, `OnMaximumConnections "main"`)
		for range 3 {
			f.bystander().echo("the other listener goes on")
		}
		st := f.srv.Stats()
		if l := st.Listeners["main"]; l.Open != 2 || l.Limit != 2 || l.Accepted != 2 {
			t.Errorf("%d open, %d accepted at a limit of %d", l.Open, l.Accepted, l.Limit)
		}
		if st.Listeners["side"].Open != 3 || st.Listeners["side"].Limit != 0 || st.Open != 5 {
			t.Errorf("%d open, %d of them the other listener's", st.Open, st.Listeners["side"].Open)
		}
		a.Close()
		waiting.echo("my turn")
		if n := maximumReports(rec, "main"); n > 2 { // a second time for the one that waited
			t.Errorf("%d reports that the limit was reached", n)
		}
		if n := maximumReports(rec, ""); n != 0 {
			t.Errorf("%d reports of a limit that there isn't", n)
		}
	})
}

// maximumReports is how often a limit was reported as reached.
func maximumReports(rec *recorder, listener string) (n int) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, e := range rec.events {
		if e == fmt.Sprintf("OnMaximumConnections %q", listener) {
			n++
		}
	}
	return n
}

// contract.md, Connection limits: the server's limit and the listener's hold together, and
// each that's reached is reported, once.
func TestBothLimitsAreReported(t *testing.T) {
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, side, func(c *server.Config) {
		c.MaxConnections, c.Listeners[0].MaxConnections = 1, 1
	})
	p := f.dial()
	p.echo("the only one")
	waiting, other := f.dial(), f.bystander()
	rec.heard(t, `OnMaximumConnections "main"`)
	rec.heard(t, `OnMaximumConnections ""`)
	for range 3 {
		p.echo("settle")
	}
	if m, all := maximumReports(rec, "main"), maximumReports(rec, ""); m != 1 || all != 1 {
		t.Errorf("the listener's limit was reported %d times, the server's %d times", m, all)
	}
	p.Close()
	// One of the two has the place now; the other follows.
	served := make(chan *peer, 2)
	for _, q := range []*peer{waiting, other} {
		spawn("a client that waits", func() error {
			q.echo("my turn")
			served <- q
			return nil
		})
	}
	receive(t, served, "the next").Close()
	receive(t, served, "the last").Close()
}

// contract.md, Connection limits: no limit is ever exceeded and no place is ever lost,
// whatever the churn, with one acceptor to a listener or several.
func TestLimitsTogetherUnderChurn(t *testing.T) {
	const clients, cycles = 12, 25
	limits := map[string]int{"": 4, "main": 2, "side": 3, "open": 0}
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("ReusePort=%v", reuse), func(t *testing.T) {
			var srv atomic.Pointer[server.Server]
			rec := newRecorder(echoing())
			rec.do.established = func(c *conn.Stream) {
				st := srv.Load().Stats()
				if st.Open > limits[""] {
					t.Errorf("%d connections at once", st.Open)
				}
				if l := st.Listeners[c.Origin()]; l.Limit > 0 && l.Open > l.Limit {
					t.Errorf("%d connections at once at %s", l.Open, c.Origin())
				}
				c.Read()
			}
			f := start(t, "tcp", rec, side, loops(t, 2), func(c *server.Config) {
				c.MaxConnections = limits[""]
				c.Listeners = append(c.Listeners, server.Listener{Name: "open", Network: "tcp", Address: "127.0.0.1:0"})
				for i := range c.Listeners {
					c.Listeners[i].MaxConnections = limits[c.Listeners[i].Name]
					c.Listeners[i].ReusePort = reuse && c.Listeners[i].Network != "unix"
				}
			})
			srv.Store(f.srv)
			names := []string{"main", "side", "open"}
			var all []*job
			for i := range clients {
				all = append(all, spawn("a client", func() error {
					for k := range cycles {
						if err := visit(t, f, names[(i+k)%len(names)]); err != nil {
							return fmt.Errorf("cycle %d: %w", k, err)
						}
					}
					return nil
				}))
			}
			for _, j := range all {
				j.wait(t)
			}
			// All the places are there: so many can be open at a time at each.
			for _, name := range names {
				var open []*peer
				for range max(limits[name], 1) {
					bound := f.srv.Addrs()[name][0]
					p := dial(t, bound.Network(), bound.String())
					p.echo("room")
					open = append(open, p)
				}
				for _, p := range open {
					p.Close()
				}
			}
		})
	}
}

// visit connects, has an echo and leaves.
func visit(t *testing.T, f *fixture, listener string) error {
	bound := f.srv.Addrs()[listener][0]
	p, err := tryDial(t, bound.Network(), bound.String())
	if err != nil {
		return err
	}
	_, werr := p.Write([]byte("ping"))
	_, rerr := io.ReadFull(p, make([]byte, 4))
	p.Close()
	return errors.Join(werr, rerr)
}

// Limits that make no sense are refused by New, and the error names the field and the fix.
func TestBadLimits(t *testing.T) {
	for _, tt := range []struct {
		listener server.Listener
		want     string
	}{
		{server.Listener{Network: "tcp", Address: ":0", MaxConnections: -1}, "MaxConnections is -1: want 0 (no limit) or more"},
		{server.Listener{Network: "tcp", Address: ":0", MaxPerAddress: -1}, "MaxPerAddress is -1: want 0 (no limit) or more"},
		{server.Listener{Network: "unix", Address: "@x", MaxPerAddress: 1}, "MaxPerAddress is for tcp listeners"},
		{server.Listener{Network: "tcp", Address: ":0", AcceptRate: -0.5}, "AcceptRate is -0.5: want 0 (no limit) or more"},
		{server.Listener{Network: "tcp", Address: ":0", AcceptRate: math.NaN()}, "AcceptRate is NaN"},
		{server.Listener{Network: "tcp", Address: ":0", AcceptRate: math.Inf(1)}, "AcceptRate is +Inf"},
		{server.Listener{Network: "tcp", Address: ":0", AcceptRate: 1, AcceptBurst: -1}, "AcceptBurst is -1"},
		{server.Listener{Network: "tcp", Address: ":0", AcceptBurst: 1}, "AcceptBurst is set without AcceptRate"},
	} {
		_, err := server.New(server.Config{Callback: newRecorder(hooks{}), Listeners: []server.Listener{tt.listener}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}
