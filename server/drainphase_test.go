package server_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// mustBeIn compares a drain with what it should be: Begun aside, which is when it began.
func mustBeIn(t *testing.T, got, want server.DrainStats, since time.Time) {
	t.Helper()
	if got.Phase == server.DrainNone != got.Begun.IsZero() {
		t.Errorf("the drain is in phase %v since %v", got.Phase, got.Begun)
	}
	if !got.Begun.IsZero() && (got.Begun.Before(since) || got.Begun.After(time.Now())) {
		t.Errorf("it says that the drain began at %v", got.Begun)
	}
	got.Begun = time.Time{}
	if got != want {
		t.Errorf("the drain is at %+v, want %+v", got, want)
	}
}

// contract.md, drain: with all the time there is, it's grace from the first moment until the
// last connection has ended.
func TestDrainGraceShows(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		begun := time.Now()
		var atFirst, atLast atomic.Pointer[server.DrainStats]
		var srv atomic.Pointer[server.Server]
		rec := newRecorder(echoing())
		rec.do.server = func(event string) {
			switch event {
			case "OnShutdownInitiated":
				st := srv.Load().Stats().Drain
				atFirst.Store(&st)
			case "OnShutdownComplete":
				st := srv.Load().Stats().Drain
				atLast.Store(&st)
			}
		}
		f := start(t, network, rec, func(c *server.Config) { c.DrainTimeout = -1 })
		srv.Store(f.srv)
		p := f.dial()
		p.echo("before")
		mustBeIn(t, f.srv.Stats().Drain, server.DrainStats{}, begun)
		served := make(chan struct{}, 1)
		busy := spawn("a client that's never quiet", func() error {
			pingUntilEnd(p, func(int) {
				select {
				case served <- struct{}{}:
				default:
				}
			})
			return nil
		})
		shut := spawn("Shutdown", func() error { return f.srv.Shutdown(context.Background()) })
		f.stopped = true
		rec.heard(t, "OnStopAcceptingConnections") // as good as OnShutdownInitiated, and after it
		receive(t, served, "service while draining")
		mustBeIn(t, f.srv.Stats().Drain, server.DrainStats{Phase: server.DrainGrace, Remaining: 1}, begun)
		p.Close()
		busy.wait(t)
		shut.wait(t)
		mustBeIn(t, *atFirst.Load(), server.DrainStats{Phase: server.DrainGrace, Remaining: 1}, begun)
		mustBeIn(t, *atLast.Load(), server.DrainStats{Phase: server.DrainOver}, begun)
	})
}

// deadlineAt is a context that says when it will end, and doesn't: so a drain comes to its
// last part, and no further.
type deadlineAt struct {
	context.Context
	at time.Time
}

func (d deadlineAt) Deadline() (time.Time, bool) { return d.at, true }

// contract.md, drain: evicting shows, with what remains: those who were told to end and
// haven't.
func TestDrainEvictingShows(t *testing.T) {
	const clients = 3
	each(t, func(t *testing.T, network string) {
		begun := time.Now()
		rec := newRecorder(echoing())
		f := start(t, network, rec, timeouts(conn.Timeouts{Linger: failSafe}))
		var all []*peer
		for range clients {
			p := f.dial()
			p.echo("before")
			all = append(all, p)
		}
		ctx := deadlineAt{context.Background(), time.Now().Add(50 * time.Millisecond)} // quiet is a second
		shut := spawn("Shutdown", func() error { return f.srv.Shutdown(ctx) })
		f.stopped = true
		for _, p := range all {
			if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("evicted with %v", err)
			}
		}
		st := f.srv.Stats().Drain
		st.Evicted = 0 // is counted once all have been told
		mustBeIn(t, st, server.DrainStats{Phase: server.DrainEvicting, Remaining: clients}, begun)
		for _, p := range all {
			p.Close()
		}
		shut.wait(t)
		mustBeIn(t, f.srv.Stats().Drain, server.DrainStats{Phase: server.DrainOver, Evicted: clients}, begun)
	})
}

// contract.md, drain: aborting shows while the last callbacks run, and how many were aborted
// afterwards.
func TestDrainAbortingShows(t *testing.T) {
	const clients = 3
	each(t, func(t *testing.T, network string) {
		begun := time.Now()
		var srv atomic.Pointer[server.Server]
		var phase atomic.Uint32
		rec := newRecorder(echoing())
		rec.do.closure = func(*conn.Stream, conn.Reason) { // of the first: the others are still on this loop
			phase.CompareAndSwap(0, uint32(srv.Load().Stats().Drain.Phase))
		}
		f := start(t, network, rec, loops(t, 1))
		srv.Store(f.srv)
		for range clients {
			f.dial().echo("before")
		}
		now, cancel := context.WithCancel(t.Context())
		cancel()
		f.wantStop = abortedWith(clients, 0)
		f.shutdown(now)
		if got := server.DrainPhase(phase.Load()); got != server.DrainAborting {
			t.Errorf("the first was aborted in phase %v", got)
		}
		mustBeIn(t, f.srv.Stats().Drain, server.DrainStats{Phase: server.DrainOver, Aborted: clients}, begun)
	})
}

// The phases have the names that metrics have them by.
func TestDrainPhaseNames(t *testing.T) {
	got := ""
	for p := server.DrainNone; p <= server.DrainOver+1; p++ {
		got += p.String() + " "
	}
	if got != "none grace evicting aborting over unknown " {
		t.Error(got)
	}
}
