package server_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: pause at the maximum; seed-contract.md: OnMaximumConnections: the limit is reached,
// nothing more is accepted until a connection closes.
func TestMaxConnections(t *testing.T) {
	const limit, clients = 3, 7
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, func(c *server.Config) { c.MaxConnections = limit })
		var all []*peer
		for range clients {
			all = append(all, f.dial()) // the kernel accepts them all
		}
		rec.heard(t, `OnMaximumConnections ""`)
		for i := 0; i+limit <= clients; i++ {
			for _, p := range all[i : i+limit] {
				p.echo("my turn")
			}
			if i+limit < clients {
				rec.mu.Lock()
				n := len(rec.accepted)
				rec.mu.Unlock()
				if n > i+limit {
					t.Errorf("%d connections established, %d ended", n, i)
				}
			}
			if st := f.srv.Stats(); st.Open > limit {
				t.Errorf("%d connections open", st.Open)
			}
			all[i].Close()
		}
	})
}

// DESIGN: the limit holds over all listeners and loops, whatever the churn, and whoever
// waits gets his turn.
func TestMaxConnectionsUnderChurn(t *testing.T) {
	const limit, clients, cycles = 4, 12, 25
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("ReusePort=%v", reuse), func(t *testing.T) {
			var most atomic.Int64
			var srv atomic.Pointer[server.Server]
			rec := newRecorder(echoing())
			rec.do.established = func(c *conn.Stream) {
				n := int64(srv.Load().Stats().Open)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				c.Read()
			}
			f := start(t, "tcp", rec, side, loops(t, 2), func(c *server.Config) {
				c.MaxConnections = limit
				c.Listeners[0].ReusePort = reuse
			})
			srv.Store(f.srv)
			addrs := []string{f.addr, f.srv.Addrs()["side"][0].String()}
			var all []*job
			for i := range clients {
				all = append(all, spawn("a client", func() error {
					for k := range cycles {
						p, err := tryDial(t, "tcp", addrs[(i+k)%2])
						if err != nil {
							return err
						}
						_, werr := p.Write([]byte("ping"))
						_, rerr := io.ReadFull(p, make([]byte, 4))
						p.Close()
						if err := errors.Join(werr, rerr); err != nil {
							return fmt.Errorf("cycle %d: %w", k, err)
						}
					}
					return nil
				}))
			}
			for _, j := range all {
				j.wait(t)
			}
			if n := most.Load(); n > limit {
				t.Errorf("%d connections at once", n)
			}
		})
	}
}

// DESIGN: at the limit nothing spins: acceptors that wait for one place don't wake each
// other for ever.
func TestWaitingAcceptorsDoNotSpin(t *testing.T) {
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, side, loops(t, 2), func(c *server.Config) {
		c.MaxConnections = 1
		for i := range 4 {
			c.Listeners = append(c.Listeners, server.Listener{Name: fmt.Sprint(i), Network: "tcp", Address: "127.0.0.1:0"})
		}
	})
	p := f.dial()
	p.echo("up")
	for i := range 4 {
		dial(t, "tcp", f.srv.Addrs()[fmt.Sprint(i)][0].String())
	}
	for range 3 {
		p.echo("settle")
	}
	const trips = 200
	before := f.dispatches()
	for range trips {
		p.echo("ping")
	}
	if n := f.dispatches() - before; n > 4*trips {
		t.Errorf("%d dispatches for %d round trips", n, trips)
	}
	f.wantStop = func(error) error { return nil }
}

// DESIGN: whoever isn't established gives his place back.
func TestFailedHandshakesGiveTheirPlacesBack(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, sessions(&xorSessions{}), tracked, func(c *server.Config) { c.MaxConnections = 2 })
		for range 10 {
			p := f.dial()
			p.writeString("GARBAGE")
			_, _ = io.Copy(io.Discard, p)
			p.Close()
		}
		p, q := f.dialSession('a'), f.dialSession('b')
		for _, c := range []*xorPeer{p, q} {
			got := make([]byte, 4)
			_, werr := c.Write([]byte("ping"))
			_, rerr := io.ReadFull(c.reader(), got)
			if err := errors.Join(werr, rerr); err != nil || string(got) != "ping" {
				t.Errorf("%q, %v", got, err)
			}
		}
		if st := f.srv.Stats(); st.Open != 2 {
			t.Errorf("%d open", st.Open)
		}
	})
}

// DESIGN: round-robin placement spreads; LeastConnections evens out.
func TestPlacement(t *testing.T) {
	load := func(f *fixture) (all []int64) {
		for _, r := range f.srv.Stats().Reactors {
			all = append(all, r.Connections)
		}
		return all
	}
	t.Run("round-robin", func(t *testing.T) {
		rec := newRecorder(echoing())
		f := start(t, "tcp", rec, loops(t, 3))
		for range 9 {
			f.dial().echo("up")
		}
		if got := fmt.Sprint(load(f)); got != "[3 3 3]" {
			t.Errorf("connections per loop: %s", got)
		}
		f.wantStop = func(error) error { return nil }
	})
	t.Run("least connections", func(t *testing.T) {
		rec := newRecorder(echoing())
		f := start(t, "tcp", rec, loops(t, 3, func(m *conn.MuxConfig) { m.Placement = conn.LeastConnections }))
		var all []*peer
		for range 9 {
			p := f.dial()
			p.echo("up")
			all = append(all, p)
		}
		if got := fmt.Sprint(load(f)); got != "[3 3 3]" {
			t.Errorf("connections per loop: %s", got)
		}
		// Two of the first loop's end; the next two take their places.
		for _, i := range []int{0, 3} {
			all[i].Close()
			rec.released(t, rec.next(t, i))
		}
		if got := fmt.Sprint(load(f)); got != "[1 3 3]" {
			t.Errorf("connections per loop: %s", got)
		}
		for range 2 {
			f.dial().echo("up")
		}
		if got := fmt.Sprint(load(f)); got != "[3 3 3]" {
			t.Errorf("connections per loop: %s", got)
		}
	})
}

// DESIGN: one SO_REUSEPORT socket per reactor: one address, every connection served.
func TestReusePort(t *testing.T) {
	const clients = 40
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, loops(t, 2), func(c *server.Config) { c.Listeners[0].ReusePort = true })
	addrs := f.srv.Addrs()["main"]
	if len(addrs) != 2 || addrs[0] != addrs[1] {
		t.Errorf("bound to %v", addrs)
	}
	for i := range clients {
		p := f.dial()
		p.echo(fmt.Sprint("client ", i))
		defer p.Close()
	}
	sum := int64(0)
	for _, r := range f.srv.Stats().Reactors {
		sum += r.Connections
	}
	if sum != clients {
		t.Errorf("%d connections on the loops, want %d", sum, clients)
	}
}

// DESIGN: the Mux's configuration is checked.
func TestMuxConfiguration(t *testing.T) {
	for field, c := range map[string]conn.MuxConfig{"loops": {Loops: -1}, "TurnBudget": {TurnBudget: -1}} {
		if _, err := conn.NewMux(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	watchForLeaks(t)
	m, err := conn.NewMux(conn.MuxConfig{Loops: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Terminate(); err != nil { // never started
		t.Error(err)
	}
	if err := m.Run(); !errors.Is(err, conn.ErrMode) {
		t.Errorf("Run after Terminate: %v", err)
	}
}

// DESIGN: a small TurnBudget changes nothing but the turns.
func TestSmallTurnBudget(t *testing.T) {
	const size = 3 << 20
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, tracked, loops(t, 1, func(m *conn.MuxConfig) { m.TurnBudget = 1 }))
		x := newText(95)
		p := f.dial()
		writing := spawn("writing", func() error { return writeAndEnd(x, p, size) })
		if err := readWhole(x, p, size); err != nil {
			t.Errorf("%v\n%s", err, rec.dump())
		}
		writing.wait(t)
	})
}

// faults.md: descriptors, goroutines, buffers and references return to the baseline: after
// many connections too.
func TestManyConnectionsLeaveNothing(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec)
		const clients = 300
		var all []*peer
		for range clients {
			all = append(all, f.dial())
		}
		for _, p := range all {
			p.writeString("ping")
		}
		for _, p := range all {
			p.expect("ping")
		}
		if st := f.srv.Stats(); st.Open != clients {
			t.Errorf("%d open", st.Open)
		}
		for _, p := range all {
			p.Close()
		}
		for i := range clients {
			rec.released(t, rec.next(t, i))
		}
		begun := time.Now()
		for f.alloc.Stats().InUse > 0 && time.Since(begun) < failSafe {
			f.dial().Close()
		}
		if n := f.alloc.Stats().InUse; n > 0 {
			t.Errorf("%d bytes in use without a connection", n)
		}
	})
}
