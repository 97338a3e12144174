package server_test

import (
	"io"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// after waits until d has passed on the server's clock: until another connection, on the
// listener "side", has been idle for that long.
func (f *fixture) after(d time.Duration) {
	f.t.Helper()
	f.rec.mu.Lock()
	n := len(f.rec.accepted)
	f.rec.mu.Unlock()
	b := f.bystander()
	j := f.rec.next(f.t, n)
	j.stream.SetTimeouts(conn.Timeouts{Idle: d})
	_, _ = io.Copy(io.Discard, b)
	b.Close()
	f.rec.released(f.t, j)
}

// DESIGN: an idle time-out closes; traffic in either direction puts it off.
func TestIdleTimeout(t *testing.T) {
	const idle = 150 * time.Millisecond
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, timeouts(conn.Timeouts{Idle: idle}))
		p := f.dial()
		j := rec.next(t, 0)
		longest := time.Duration(0)
		for begun, last := time.Now(), time.Now(); time.Since(begun) < 2*idle; last = time.Now() {
			if _, err := p.Write([]byte("ping")); err != nil {
				break
			}
			if _, err := io.ReadFull(p, make([]byte, 4)); err != nil {
				break
			}
			longest = max(longest, time.Since(last))
		}
		if rec.count(j, cbClosed) > 0 && longest < idle/2 {
			t.Error("closed in spite of its traffic")
		}
		begun := time.Now()
		_, _ = io.Copy(io.Discard, p)
		if d := time.Since(begun); d < idle/2 {
			t.Errorf("closed after %v of idleness", d)
		}
		p.Close()
		if got := rec.released(t, j); got.reason != conn.ReasonIdle {
			t.Errorf("ended with %v", got.reason)
		}
	})
}

// DESIGN: SetTimeouts changes a connection's own; negative is off.
func TestSetTimeouts(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, side, timeouts(conn.Timeouts{Idle: 150 * time.Millisecond}))
		p, q := f.dial(), f.dial()
		jp, jq := rec.next(t, 0), rec.next(t, 1)
		jp.stream.SetTimeouts(conn.Timeouts{Idle: -1})
		jq.stream.SetTimeouts(conn.Timeouts{Idle: 20 * time.Millisecond})
		if got := q.readAll(); len(got) != 0 {
			t.Errorf("the client read %q", got)
		}
		q.Close()
		if got := rec.released(t, jq); got.reason != conn.ReasonIdle {
			t.Errorf("ended with %v", got.reason)
		}
		f.after(400 * time.Millisecond)
		p.echo("still there")
	})
}

// DESIGN: a write time-out counts the time since the queue last shrank by 16 KiB, so a drip
// can't reset it.
func TestWriteTimeoutIsNotPutOffByADrip(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { _ = c.Send(make([]byte, 600<<10)) }})
		f := start(t, network, rec, tight, timeouts(conn.Timeouts{Write: 200 * time.Millisecond}))
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		drip := time.NewTicker(20 * time.Millisecond)
		defer drip.Stop()
		for rec.count(j, cbClosed) == 0 {
			<-drip.C
			if _, err := p.Read(make([]byte, 256)); err != nil {
				break
			}
		}
		p.Close()
		if got := rec.released(t, j); got.reason != conn.ReasonWriteTimeout || got.count[cbWriteError] == 0 {
			t.Errorf("ended with %v, %v", got.reason, got.count)
		}
	})
}

// DESIGN: … and a slow but honest reader lives.
func TestSlowReaderLives(t *testing.T) {
	const size = 900 << 10
	each(t, func(t *testing.T, network string) {
		x := newText(60)
		rec := newRecorder(hooks{established: func(c *conn.Stream) { _ = c.Send(x.bytes(size)) }})
		f := start(t, network, rec, tight, timeouts(conn.Timeouts{Write: 500 * time.Millisecond}))
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		got := 0
		for got < size {
			<-pace.C
			n, err := io.ReadFull(p, make([]byte, min(64<<10, size-got)))
			if err != nil {
				t.Fatalf("after %d bytes: %v\n%s", got, err, rec.dump())
			}
			got += n
		}
		p.readAll()
		p.Close()
		if got := rec.released(t, j); got.reason != conn.ReasonUnreferenced {
			t.Errorf("ended with %v", got.reason)
		}
	})
}

// DESIGN: time-outs are served by one timer, which doesn't go off for what is over: a
// connection that's draining isn't woken by the idle time-out it no longer has.
func TestDrainingWithAnIdleTimeoutDoesNotSpin(t *testing.T) {
	const idle, long = 10 * time.Millisecond, 400 * time.Millisecond
	all := []func(s *scene){
		func(s *scene) { // lingering
			s.c.SetTimeouts(conn.Timeouts{Idle: idle})
			s.must(s.c.Shutdown())
		},
		func(s *scene) { // flushing
			s.block()
			s.c.SetTimeouts(conn.Timeouts{Idle: idle})
			s.must(s.c.Shutdown())
		},
		func(s *scene) { // the idle time-out comes while lingering
			s.must(s.c.Shutdown())
			s.settle()
			s.c.SetTimeouts(conn.Timeouts{Idle: idle})
		},
	}
	each(t, func(t *testing.T, network string) {
		h := hooks{established: func(c *conn.Stream) { c.AddRef() }}
		rec := newRecorder(h.aside())
		f := start(t, network, rec, tight, side, loops(t, 1), timeouts(conn.Timeouts{Idle: -1, Write: long, Linger: long}))
		var scenes []*scene
		for i := range all {
			s := &scene{t: t, f: f, p: f.dial(smallReceive)}
			s.j = rec.next(t, i)
			s.c = s.j.stream
			scenes = append(scenes, s)
		}
		for i, enter := range all {
			enter(scenes[i])
		}
		before := f.dispatches()
		for _, s := range scenes {
			rec.ended(t, s.j)
		}
		if n := f.dispatches() - before; n > 60 {
			t.Errorf("%d dispatches while nothing happened", n)
		}
		for _, s := range scenes {
			s.c.Release()
			rec.released(t, s.j)
		}
	})
}

// DESIGN: the write time-out is for output that's queued: once all is sent, an out-of-band
// byte last of all, it's over, and what's written later has its own.
func TestWriteTimeoutEndsWithTheOutOfBandByte(t *testing.T) {
	const size = 600 << 10
	h := hooks{
		established: func(c *conn.Stream) { c.AddRef(); c.Read() },
		read:        func(c *conn.Stream, _ *buffers.Buffer) { c.Read() },
	}
	rec := newRecorder(h.aside())
	f := start(t, "tcp", rec, tight, side, loops(t, 1), timeouts(conn.Timeouts{Write: 150 * time.Millisecond}))
	s := &scene{t: t, f: f, p: f.dial(smallReceive)}
	s.j = rec.next(t, 0)
	s.c = s.j.stream
	x := newText(61)
	s.must(s.c.Send(x.bytes(size)))
	rec.seen(t, s.j, cbBlocked, 1)
	s.must(s.c.SendOOB('!'))
	if _, err := x.readFrom(s.p, size); err != nil {
		t.Fatal(err)
	}
	s.settle()
	before := f.dispatches()
	f.after(400 * time.Millisecond)
	if n := f.dispatches() - before; n > 40 {
		t.Errorf("%d dispatches while nothing happened", n)
	}
	s.must(s.c.Send(x.bytes(size)))
	if n, err := x.readFrom(s.p, size); err != nil {
		t.Errorf("after %d bytes: %v\n%s", n, err, rec.dump())
	}
	s.c.Release()
}
