package server_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: draining: one that has been quiet for a second is shut down; its peer sees a clean
// end. A handshake that stalls is as quiet as any.
func TestDrainShutsQuietConnectionsDown(t *testing.T) {
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, timeouts(conn.Timeouts{Linger: failSafe}), func(c *server.Config) {
		c.Listeners = append(c.Listeners,
			server.Listener{Name: "file", Network: "unix", Address: socketPath(t)},
			server.Listener{Name: "session", Network: "tcp", Address: "127.0.0.1:0", Sessions: &xorSessions{}})
	})
	var all []*job
	for _, l := range []string{"main", "file", "session"} {
		bound := f.srv.Addrs()[l][0]
		p := dial(t, bound.Network(), bound.String())
		if l == "session" {
			p.writeString("SLU")
		} else {
			p.echo("before")
		}
		all = append(all, spawn("a quiet client", func() error {
			n, err := io.Copy(io.Discard, p)
			if n > 0 {
				err = errors.Join(err, errors.New("there was more to read"))
			}
			p.Close()
			return err
		}))
	}
	rec.await(t, "three connections", func() bool { return rec.fds == 3 })
	f.stop()
	for _, j := range all {
		j.wait(t)
	}
	if d := f.srv.Stats().Drain; d.Phase != server.DrainOver || d.Quiet != 3 || d.Evicted != 0 || d.Aborted != 0 {
		t.Errorf("the drain is at %+v", d)
	}
	for name, l := range f.srv.Stats().Listeners {
		if name == "outgoing" {
			continue
		}
		if l.Closed[conn.ReasonDrain] != 1 {
			t.Errorf("%s: closed for %v", name, l.Closed)
		}
	}
}

// DESIGN: no new connections while draining; the existing ones are served on; from 75 % of
// the time the rest are shut down evenly over the next 15 %.
func TestDrainServesOnAndEvicts(t *testing.T) {
	const clients, total = 6, 2400 * time.Millisecond
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, func(c *server.Config) {
		c.Listeners = append(c.Listeners, server.Listener{Name: "file", Network: "unix", Address: socketPath(t)})
	})
	file := f.srv.Addrs()["file"][0].String()
	var all []*job
	lasted := make([]time.Duration, clients)
	served := make(chan struct{}, clients)
	begin := make(chan time.Time)
	for i := range clients {
		p := dial(t, []string{"tcp", "unix"}[i%2], []string{f.addr, file}[i%2])
		p.echo("before")
		all = append(all, spawn("a busy client", func() error {
			begun := <-begin
			pingUntilEnd(p, func(n int) {
				if n == 20 {
					served <- struct{}{}
				}
			})
			lasted[i] = time.Since(begun)
			return p.Close()
		}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), total)
	defer cancel()
	begun := time.Now()
	shut := spawn("Shutdown", func() error { return f.srv.Shutdown(ctx) })
	f.stopped = true
	rec.heard(t, "OnStopAcceptingConnections")
	for network, addr := range map[string]string{"tcp": f.addr, "unix": file} {
		if p, err := tryDial(t, network, addr); err == nil {
			p.Close()
			t.Error("a draining server accepts")
		}
	}
	if f.srv.Ready() || f.srv.Stats().State != "draining" {
		t.Error("a draining server is ready")
	}
	for range clients {
		begin <- begun
	}
	for range clients {
		receive(t, served, "service while draining")
	}
	for _, j := range all {
		j.wait(t)
	}
	shut.wait(t)
	for i, d := range lasted {
		if d < total*3/4 {
			t.Errorf("client %d was ended after %v of %v", i, d, total)
		}
		if j := rec.released(t, rec.next(t, i)); j.reason != conn.ReasonDrain {
			t.Errorf("connection %d ended with %v", i, j.reason)
		}
	}
}

// pingUntilEnd makes a round trip every 10 ms until the connection ends, and tells of each.
func pingUntilEnd(p *peer, done func(n int)) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		<-pace.C
		if _, err := p.Write([]byte("ping")); err != nil {
			return
		}
		if _, err := io.ReadFull(p, make([]byte, 4)); err != nil {
			return
		}
		done(n)
	}
}

// DESIGN: at the end what is left is aborted and counted.
func TestDrainAbortsWhatIsLeft(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, tight)
		for range 3 {
			f.dial().echo("before")
		}
		blocked := f.dial(smallReceive)
		j := rec.next(t, 3)
		blocked.echo("before")
		if err := j.stream.Send(make([]byte, 600<<10)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		f.wantStop = abortedWith(4, 0)
		f.shutdown(ctx)
		for i := range 4 {
			got := rec.released(t, rec.next(t, i))
			if _, err := got.stream.Cause(); got.reason != conn.ReasonDrainAbort || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("connection %d ended with %v, %v", i, got.reason, err)
			}
		}
		if rec.count(j, cbWriteError) == 0 {
			t.Error("nobody was told of the output that was lost")
		}
		rec.heard(t, "OnAllConnectionsAborted 4")
	})
}

// DESIGN: a leaked reference never blocks Shutdown; it's counted.
func TestLeakedReferenceDoesNotBlockShutdown(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		rec.do.established = func(c *conn.Stream) { c.AddRef(); c.Read() }
		rec.do.clientClose = func(c *conn.Stream) { _ = c.Shutdown() }
		f := start(t, network, rec)
		for range 2 {
			p := f.dial()
			p.echo("before")
			p.Close()
		}
		f.wantStop = abortedWith(0, 2)
		f.stop()
		if st := f.srv.Stats(); st.Held != 2 || st.Open != 0 {
			t.Errorf("%d held, %d open", st.Held, st.Open)
		}
		for i := range 2 {
			j := rec.next(t, i)
			if n := rec.count(j, cbReleased); n != 0 {
				t.Error("released while it was referenced")
			}
			j.stream.Release()
			rec.released(t, j)
		}
	})
}

// DESIGN: a callback that doesn't return doesn't block Shutdown for ever either.
func TestBlockedCallbackDoesNotBlockShutdown(t *testing.T) {
	release := make(chan struct{})
	rec := newRecorder(hooks{
		established: func(c *conn.Stream) { c.Read() },
		read: func(*conn.Stream, *buffers.Buffer) {
			<-release
		},
	})
	f := start(t, "tcp", rec, loops(t, 2))
	f.dial() // on the acceptor's loop
	p := f.dial()
	p.writeString("x")
	rec.seen(t, rec.next(t, 1), cbRead, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	f.wantStop = func(err error) error {
		if err == nil {
			return errors.New("it says that all is well")
		}
		return nil
	}
	begun := time.Now()
	f.shutdown(ctx)
	if d := time.Since(begun); d > failSafe/2 {
		t.Errorf("it took %v", d)
	}
	close(release)
	rec.released(t, rec.next(t, 1))
	// Shutdown has left that loop behind; its counters are true once it has ended.
	if err := f.mux.Terminate(); err != nil {
		t.Error(err)
	}
}

// seed-contract.md: OnAllConnectionsAborted(n) after AbortAllConnections.
func TestAbortAllConnections(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec)
		if n := f.srv.AbortAllConnections(); n != 0 {
			t.Errorf("%d of no connections aborted", n)
		}
		rec.heard(t, "OnAllConnectionsAborted 0")
		var all []*peer
		for range 5 {
			p := f.dial()
			p.echo("before")
			all = append(all, p)
		}
		if n := f.srv.AbortAllConnections(); n != 5 {
			t.Errorf("%d of 5 connections aborted", n)
		}
		rec.heard(t, "OnAllConnectionsAborted 5")
		for i, p := range all {
			if j := rec.released(t, rec.next(t, i)); j.reason != conn.ReasonLocalAbort {
				t.Errorf("ended with %v", j.reason)
			}
			if _, err := p.Read(make([]byte, 1)); err == nil {
				t.Error("the client has read something")
			}
		}
		f.dial().echo("and the next is served")
	})
}

// DESIGN: Connections() is a snapshot per reactor, no lock held in the body; each carries a
// temporary reference, also if the loop is left early.
func TestConnections(t *testing.T) {
	const clients = 7
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, loops(t, 2), side)
		var all []*peer
		for range clients {
			p := f.dial()
			p.echo("up")
			all = append(all, p)
		}
		b := f.bystander()
		b.echo("up")
		origins := map[string]int{}
		ids := map[uint64]bool{}
		for c := range f.srv.Connections() {
			origins[c.Origin()]++
			ids[c.ID()] = true
			for o := range f.srv.Connections() { // no lock is held
				_ = o.State()
			}
			if err := c.Post(func(*conn.Stream) {}); err != nil {
				t.Error(err)
			}
		}
		if origins["main"] != clients || origins["side"] != 1 || len(ids) != clients+1 {
			t.Errorf("%v, %d IDs", origins, len(ids))
		}
		for stop := range clients {
			n := 0
			for range f.srv.Connections() {
				if n++; n > stop {
					break
				}
			}
		}
		// Whoever is ended in the body is ended.
		for c := range f.srv.Connections() {
			c.Abort(nil)
		}
		for i := range clients + 1 {
			rec.released(t, rec.next(t, i))
		}
		for range f.srv.Connections() {
			t.Error("a connection that has ended is listed")
		}
		for _, p := range all {
			p.Close()
		}
	})
}

// A request that's being worked on when Shutdown begins is answered, though no byte moves for
// more than a second: the connection is held, and nothing is asked of the peer.
func TestDrainWaitsForAnAnswer(t *testing.T) {
	asked := make(chan *conn.Stream, 1)
	rec := newRecorder(hooks{
		established: func(c *conn.Stream) { c.Read() },
		read:        func(c *conn.Stream, _ *buffers.Buffer) { asked <- c.AddRef() },
	})
	f := start(t, "tcp", rec)
	p := f.dial()
	p.writeString("question")
	c := receive(t, asked, "the question")
	idle := f.dial() // is shut down before that, as quiet
	shut := spawn("Shutdown", func() error { return f.srv.Shutdown(t.Context()) })
	f.stopped = true
	if got := idle.readAll(); len(got) != 0 {
		t.Errorf("the idle client read %q", got)
	}
	idle.Close()
	if err := c.Send([]byte("answer")); err != nil {
		t.Error(err)
	}
	c.Release() // nobody has it any more, and it ends
	if got := string(p.readAll()); got != "answer" {
		t.Errorf("the client read %q", got)
	}
	p.Close()
	shut.wait(t)
	if n := f.srv.Stats().Drain.Quiet; n != 1 {
		t.Errorf("%d were shut down as quiet, want the idle one", n)
	}
}
