package server_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// call is a method of Stream.
type call struct {
	name string
	do   func(f *fixture, c *conn.Stream) error
	dead error // what it returns after the end
	live []error
}

// misfits are errors that a call may return while the connection is on its way.
var misfits = []error{conn.ErrClosed, conn.ErrReadClosed, conn.ErrWriteClosed, conn.ErrOutputFull}

// calls are all methods that change or ask something.
var calls = []call{
	{"Read", func(_ *fixture, c *conn.Stream) error { return c.Read() }, conn.ErrClosed, misfits},
	{"ReadFull", func(_ *fixture, c *conn.Stream) error { return c.ReadFull(3) }, conn.ErrClosed, misfits},
	{"ReadFull(0)", func(_ *fixture, c *conn.Stream) error { return c.ReadFull(0) }, conn.ErrClosed, misfits},
	{"Send", func(_ *fixture, c *conn.Stream) error { return c.Send([]byte("text")) }, conn.ErrClosed, misfits},
	{"Send of nothing", func(_ *fixture, c *conn.Stream) error { return c.Send(nil) }, conn.ErrClosed, misfits},
	{"Write", func(f *fixture, c *conn.Stream) error {
		b := f.rec.alloc.Copy([]byte("text"))
		defer b.Release()
		return c.Write(b)
	}, conn.ErrClosed, misfits},
	{"Writev", func(f *fixture, c *conn.Stream) error {
		b := f.rec.alloc.Copy([]byte("text"))
		defer b.Release()
		return c.Writev(b, b, b)
	}, conn.ErrClosed, misfits},
	{"SendOOB", func(_ *fixture, c *conn.Stream) error { return c.SendOOB('!') }, conn.ErrClosed, misfits},
	{"Shutdown", func(_ *fixture, c *conn.Stream) error { return c.Shutdown() }, conn.ErrClosed, misfits},
	{"ShutdownSend", func(_ *fixture, c *conn.Stream) error { return c.ShutdownSend() }, conn.ErrClosed, misfits},
	{"Post", func(_ *fixture, c *conn.Stream) error { return c.Post(func(*conn.Stream) {}) }, conn.ErrClosed, misfits},
	{"SyscallConn", func(_ *fixture, c *conn.Stream) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(uintptr) {})
	}, conn.ErrClosed, misfits},
	{"AtMark", func(_ *fixture, c *conn.Stream) error { _, err := c.AtMark(); return err }, conn.ErrClosed, misfits},
	{"PeerCredentials", func(f *fixture, c *conn.Stream) error {
		_, err := c.PeerCredentials()
		if f.network == "tcp" && errors.Is(err, conn.ErrMode) {
			return conn.ErrClosed // for the table's sake
		}
		return err
	}, conn.ErrClosed, misfits},
	{"Abort", func(_ *fixture, c *conn.Stream) error { c.Abort(errors.New("enough")); return nil }, nil, nil},
	{"AddRef and Release", func(_ *fixture, c *conn.Stream) error { c.AddRef().Release(); return nil }, nil, nil},
	{"SetFlow", func(_ *fixture, c *conn.Stream) error { c.SetFlow(conn.Flow{High: 1, Low: -1}); return nil }, nil, nil},
	{"SetTimeouts", func(_ *fixture, c *conn.Stream) error { c.SetTimeouts(conn.Timeouts{Idle: time.Hour}); return nil }, nil, nil},
	{"SetReadGate(c)", func(_ *fixture, c *conn.Stream) error { c.SetReadGate(c); return nil }, nil, nil},
	{"SetReadGate(nil)", func(_ *fixture, c *conn.Stream) error { c.SetReadGate(nil); return nil }, nil, nil},
	{"Pending, State, Cause", func(_ *fixture, c *conn.Stream) error {
		_, _ = c.Cause()
		return errors.Join(nil, nonsense(c.Pending() < 0), nonsense(c.State().String() == ""))
	}, nil, nil},
	{"addresses", func(f *fixture, c *conn.Stream) error {
		return errors.Join(nonsense(c.ID() == 0), nonsense(c.Origin() != "main"), nonsense(!c.Inbound()),
			nonsense(c.LocalAddr().String() != f.addrNow()), nonsense(c.RemoteAddr().Network() != f.network),
			nonsense(!strings.Contains(c.String(), fmt.Sprint(c.ID()))))
	}, nil, nil},
	{"Server.Connections", func(f *fixture, c *conn.Stream) error {
		for o := range f.srv.Connections() {
			_ = o.Pending()
		}
		_ = f.srv.Stats()
		return nonsense(!f.srv.Ready())
	}, nil, nil},
}

func nonsense(b bool) error {
	if b {
		return errors.New("nonsense")
	}
	return nil
}

// addrNow is the listener's address, for goroutines that don't know the test's.
func (f *fixture) addrNow() string { return f.srv.Addrs()["main"][0].String() }

// check fails the test unless err is what the call may return.
func (cl call) check(f *fixture, where string, err error, dead bool) {
	if dead {
		if !errors.Is(err, cl.dead) {
			f.t.Errorf("%s in %s, after the end: %v, want %v", cl.name, where, err, cl.dead)
		}
		return
	}
	for _, may := range cl.live {
		if errors.Is(err, may) {
			return
		}
	}
	if err != nil {
		f.t.Errorf("%s in %s: %v", cl.name, where, err)
	}
}

// faults.md: Write/Shutdown/Release in any callback: defined errors.
func TestEveryCallInEveryCallback(t *testing.T) {
	for _, pr := range provocations {
		if pr.callback == cbReleased {
			continue // it has no stream
		}
		t.Run(pr.callback, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				var f *fixture
				todo := make(chan call, 1)
				rec := newRecorder(pr.base.add(pr.callback, func(c *conn.Stream) {
					select {
					case cl := <-todo:
						cl.check(f, pr.callback, cl.do(f, c), pr.after)
					default: // once is enough
					}
				}))
				f = start(t, network, rec, tracked, tight)
				for _, now := range calls {
					todo <- now
					j := pr.run(t, f)
					if j.count[pr.callback] == 0 {
						t.Fatalf("%s: %s never came: %v", now.name, pr.callback, j.steps)
					}
				}
			})
		})
	}
}

// faults.md: Write/Shutdown/Release after close: defined errors, on any goroutine.
func TestEveryCallAfterTheEnd(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		rec.do.established = func(c *conn.Stream) { c.AddRef(); c.Read() }
		f := start(t, network, rec)
		f.dial()
		j := rec.next(t, 0)
		j.stream.Abort(nil)
		rec.ended(t, j)
		for _, cl := range calls {
			cl.check(f, "a goroutine", cl.do(f, j.stream), true)
		}
		if s := j.stream.State(); s != conn.Closed {
			t.Errorf("state %v after the end", s)
		}
		if st := f.srv.Stats(); st.Held != 1 || st.Open != 0 {
			t.Errorf("%d held, %d open", st.Held, st.Open)
		}
		j.stream.Release()
		rec.released(t, j)
	})
}

// faults.md: every call from any goroutine, all at once, on live and dying connections.
func TestEveryCallFromManyGoroutines(t *testing.T) {
	const goroutines, connections, rounds = 4, 10, 12
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		rec.do.established = func(c *conn.Stream) {
			for range goroutines {
				c.AddRef()
			}
			c.Read()
		}
		f := start(t, network, rec, tracked)
		for i := range connections {
			p := f.dial()
			j := rec.next(t, i)
			client := spawn("a client", func() error {
				for range 100 {
					if _, err := p.Write(make([]byte, 1000)); err != nil {
						return nil //nolint:nilerr // the server has ended it
					}
				}
				return nil
			})
			var wg sync.WaitGroup
			for range goroutines {
				wg.Go(func() {
					defer j.stream.Release()
					for range rounds {
						for _, k := range rand.Perm(len(calls)) {
							cl := calls[k]
							if (cl.name == "Abort" || strings.HasPrefix(cl.name, "Shutdown")) && rand.IntN(rounds) > 0 {
								continue
							}
							err := cl.do(f, j.stream)
							if cl.dead != nil && errors.Is(err, cl.dead) {
								continue
							}
							cl.check(f, "a goroutine", err, false)
						}
					}
				})
			}
			wg.Wait()
			p.Close()
			client.wait(t)
			rec.released(t, j)
		}
	})
}

// DESIGN: blocking calls inside a callback return ErrOnLoop at once.
func TestBlockingCallsInsideCallbacks(t *testing.T) {
	var srv *server.Server
	errs := make(chan error, 4)
	ready := make(chan struct{})
	ask := func() {
		<-ready
		errs <- srv.Shutdown(t.Context())
		_, err := srv.Connect(t.Context(), server.Target{Network: "tcp", Address: "127.0.0.1:1"}, nil)
		errs <- err
	}
	rec := newRecorder(echoing())
	rec.do.established = func(c *conn.Stream) { ask(); c.Read() }
	rec.do.server = func(name string) {
		if name == "OnStartAcceptingConnections" {
			<-ready
			errs <- srv.Shutdown(t.Context())
		}
	}
	f := start(t, "tcp", rec, loops(t, 2))
	srv = f.srv
	close(ready)
	p := f.dial()
	for range 3 {
		if err := receive(t, errs, "an answer"); !errors.Is(err, conn.ErrOnLoop) {
			t.Errorf("a blocking call in a callback: %v", err)
		}
	}
	p.echo("alive")
	if !f.srv.Ready() {
		t.Error("the server isn't ready any more")
	}
}
