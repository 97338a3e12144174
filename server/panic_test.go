package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// faults.md: a panic in every callback: that connection only.
func TestPanicInEveryCallback(t *testing.T) {
	for _, pr := range provocations {
		t.Run(pr.callback, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				panics := func(*conn.Stream) { panic("on purpose") }
				rec := newRecorder(pr.base.add(pr.callback, panics).aside())
				f := start(t, network, rec, tracked, tight, side, loops(t, 1))
				var j journal
				f.beside(t, func() {
					j = pr.run(t, f)
					if j.count[pr.callback] == 0 {
						t.Fatalf("%s never came: %v", pr.callback, j.steps)
					}
					want := conn.ReasonPanic
					if pr.after {
						want = pr.reason
					}
					if j.reason != want {
						t.Errorf("ended with %v, want %v; %v", j.reason, want, j.steps)
					}
				})
				f.stop()
				switch reason, err := j.stream.Cause(); {
				case reason != j.reason:
					t.Errorf("the cause is %v, %v, after a closure for %v", reason, err, j.reason)
				case !pr.after && (err == nil || !strings.Contains(err.Error(), "on purpose")):
					t.Errorf("the cause is %v, %v", reason, err)
				}
				counted := 0
				for _, l := range f.srv.Stats().Listeners {
					counted += int(l.Panics)
				}
				if n := f.logs.count("a callback panicked; its connection is closed"); n == 0 || n != counted {
					t.Errorf("%d panics counted, %d logged", counted, n)
				}
			})
		})
	}
}

// beside runs test beside a bystander, which must be served before and after.
func (f *fixture) beside(t *testing.T, test func()) {
	t.Helper()
	b := f.bystander()
	b.echo("before")
	f.rec.next(t, 0)
	test()
	b.echo("after")
	b.Close()
}

// faults.md: the same for the one callback without a connection.
func TestPanicInSocketCreated(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		var armed atomic.Bool
		rec := newRecorder(echoing())
		rec.do.created = func(int) {
			if armed.CompareAndSwap(true, false) {
				panic("on purpose")
			}
		}
		f := start(t, network, rec)
		p := f.dial()
		p.echo("before")
		armed.Store(true)
		if q, err := tryDial(t, network, f.addr); err == nil {
			if n, err := q.Read(make([]byte, 1)); err == nil {
				t.Errorf("%d bytes from a connection that panicked", n)
			}
			q.Close()
		}
		rec.await(t, "the end of the second connection", func() bool {
			return len(rec.accepted) == 2 && rec.accepted[1].count[cbReleased] == 1
		})
		if n := rec.count(rec.accepted[1], cbEstablished); n != 0 {
			t.Error("it was established all the same")
		}
		p.echo("after")
	})
}

// faults.md: the same for a posted function.
func TestPanicInPost(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec)
		bystander := f.dial()
		bystander.echo("before")
		p := f.dial()
		j := rec.next(t, 1)
		p.echo("before")
		if err := j.stream.Post(func(*conn.Stream) { panic("on purpose") }); err != nil {
			t.Fatal(err)
		}
		if got := rec.released(t, j); got.reason != conn.ReasonPanic {
			t.Errorf("ended with %v", got.reason)
		}
		bystander.echo("after")
	})
}

// faults.md: a panic in a function posted to the loops ends nothing.
func TestPanicInMuxPost(t *testing.T) {
	rec := newRecorder(echoing())
	var mux *conn.Mux
	f := start(t, "tcp", rec, loops(t, 1), func(c *server.Config) { mux = c.Mux })
	p := f.dial()
	p.echo("before")
	if err := mux.Post(func() { panic("on purpose") }); err != nil {
		t.Fatal(err)
	}
	p.echo("after")
	if n := f.srv.Stats().Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
	if n := f.logs.count("a posted function panicked"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
}

// faults.md: a panic in every callback of the server as a whole: the server goes on.
func TestPanicInServerCallbacks(t *testing.T) {
	rec := newRecorder(echoing())
	rec.do.server = func(name string) { panic(name) }
	f := start(t, "tcp", rec, func(c *server.Config) { c.MaxConnections = 2 })
	p, q := f.dial(), f.dial()
	p.echo("one")
	q.echo("two")
	rec.heard(t, `OnMaximumConnections ""`)
	p.Close()
	r := f.dial()
	r.echo("three")
	if n := f.srv.AbortAllConnections(); n != 2 {
		t.Errorf("%d aborted", n)
	}
	rec.heard(t, "OnAllConnectionsAborted 2")
	f.stop()
	rec.heard(t, "OnShutdownComplete")
	if n := f.logs.count("a server callback panicked"); n < 6 {
		t.Errorf("%d panics were logged\n%s", n, f.logs.text())
	}
}

// faults.md: a panic in every callback at once: each comes, and the connection ends.
func TestPanicInAllCallbacks(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		h := sending()
		for _, pr := range provocations {
			if pr.callback != cbEstablished {
				h = h.add(pr.callback, func(*conn.Stream) { panic("on purpose") })
			}
		}
		rec := newRecorder(h.aside())
		f := start(t, network, rec, tracked, tight, side)
		f.beside(t, func() {
			for i := range 5 {
				p, err := tryDial(t, network, f.addr, smallReceive)
				rec.released(t, rec.next(t, 1+i))
				if err == nil { // else it was reset at once
					p.Close()
				}
			}
		})
	})
}

// faults.md: a panic ends its connection only, even while the loops end.
func TestPanicsWhileTheLoopsEnd(t *testing.T) {
	if out, err := runChild(t, "panics at the end"); err != nil {
		t.Errorf("the process ended with %v:\n%.3000s", err, out)
	}
}

// panicsAtTheEnd ends the loops under connections whose last callbacks panic. The process
// is to survive that.
func panicsAtTheEnd() error {
	for range 20 {
		h := echoing()
		for _, callback := range []string{cbClosure, cbClosed, cbReleased} {
			h = h.add(callback, func(*conn.Stream) { panic("on purpose") })
		}
		if err := panicOnce(newRecorder(h)); err != nil {
			return err
		}
	}
	return nil
}

func panicOnce(rec *recorder) error {
	mux, err := conn.NewMux(conn.MuxConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	srv, err := server.New(server.Config{
		Callback: rec, Mux: mux, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "main", Network: "tcp", Address: "127.0.0.1:0"}},
	})
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		return err
	}
	for range 3 {
		c, err := net.Dial("tcp", srv.Addrs()["main"][0].String())
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(failSafe)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("here")); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			return err
		}
	}
	return errors.Join(mux.Terminate(), srv.Shutdown(context.Background()))
}
