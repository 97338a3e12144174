package server_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// DESIGN: by default only output appended inside a connection's own OnReadCompleted suspends
// its reads: the plainest echo is bounded, and goes on when it can.
func TestEchoIsBoundedByDefault(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		x := newText(70)
		rec := newRecorder(echoing())
		f := start(t, network, rec, tight, side, loops(t, 1))
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		sent := 0
		for {
			n := p.push(func(off int) []byte { return x.at(sent+off, 64<<10) })
			f.settleSide()
			if sent += n; n == 0 {
				break
			}
		}
		// High, and the chunk that went above it.
		if n := j.stream.Pending(); n > 64<<10+64<<10 || n <= 16<<10 {
			t.Errorf("%d bytes pending after a push of %d", n, sent)
		}
		p.closeWrite()
		if n, err := x.readFrom(p, -1); err != nil || n != sent {
			t.Errorf("%d of %d bytes came back: %v", n, sent, err)
		}
	})
}

// DESIGN: SetReadGate(c): all of c's output; (nil): none; by default what others wrote
// doesn't count.
func TestReadGateModes(t *testing.T) {
	modes := []struct {
		name  string
		set   func(c *conn.Stream)
		waits bool
	}{
		{"default", func(*conn.Stream) {}, false},
		{"all of its own", func(c *conn.Stream) { c.SetReadGate(c) }, true},
		{"none", func(c *conn.Stream) { c.SetReadGate(nil) }, false},
		{"all of its own, then none", func(c *conn.Stream) { c.SetReadGate(c); c.SetReadGate(nil) }, false},
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				h := hooks{established: func(c *conn.Stream) { c.AddRef() }}
				rec := newRecorder(h.aside())
				rec.keep = true
				f := start(t, network, rec, tight, side, loops(t, 1))
				s := &scene{t: t, f: f, p: f.dial(smallReceive)}
				s.j = rec.next(t, 0)
				s.c = s.j.stream
				m.set(s.c)
				s.block()
				s.must(s.c.Read())
				s.p.writeString("question")
				s.settle()
				s.settle()
				if n := rec.count(s.j, cbRead); m.waits != (n == 0) {
					t.Errorf("%d reads were served while output was high", n)
				}
				if _, err := s.p.readN(600 << 10); err != nil {
					t.Fatal(err)
				}
				rec.seen(t, s.j, cbRead, 1)
				s.c.Release()
				s.p.Close()
				if got := rec.released(t, s.j); string(got.data) != "question" {
					t.Errorf("read %q", got.data)
				}
			})
		})
	}
}

// readN reads n bytes, whatever they are.
func (p *peer) readN(n int) (int, error) {
	got, buf := 0, make([]byte, 64<<10)
	for got < n {
		m, err := p.Read(buf[:min(len(buf), n-got)])
		if got += m; err != nil {
			return got, fmt.Errorf("after %d of %d bytes: %w", got, n, err)
		}
	}
	return got, nil
}

// proxying connects pairs of connections, in the order in which they come: what one
// receives the other sends, and each reads only while the other's output is low.
type proxying struct {
	mu   sync.Mutex
	last *conn.Stream
	to   map[uint64]*conn.Stream
}

func (x *proxying) hooks() hooks {
	return hooks{
		established: func(c *conn.Stream) {
			x.mu.Lock()
			defer x.mu.Unlock()
			c.AddRef()
			if x.last == nil {
				x.last = c
				return
			}
			a, b := x.last, c
			x.last = nil
			x.to[a.ID()], x.to[b.ID()] = b, a
			a.SetReadGate(b)
			b.SetReadGate(a)
			a.Read()
			b.Read()
		},
		read: func(c *conn.Stream, b *buffers.Buffer) {
			x.other(c).Write(b)
			c.Read()
		},
		clientClose: func(c *conn.Stream) { _ = x.other(c).ShutdownSend() },
		closure:     func(c *conn.Stream, _ conn.Reason) { c.Release() },
	}
}

func (x *proxying) other(c *conn.Stream) *conn.Stream {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.to[c.ID()]
}

// DESIGN: SetReadGate(o) makes c's reads wait on all of o's output: a proxy, also across
// reactors, without a lost wake-up.
func TestProxyThroughReadGates(t *testing.T) {
	const size = 4 << 20
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d loops", n), func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				px := &proxying{to: map[uint64]*conn.Stream{}}
				rec := newRecorder(px.hooks())
				f := start(t, network, rec, tight, loops(t, n), flow(conn.Flow{High: 8 << 10, Low: 2 << 10, MaxPending: 128 << 10}))
				a, b := f.dial(smallReceive), f.dial(smallReceive)
				rec.next(t, 1)
				there, back := newText(71), newText(72)
				jobs := []*job{
					spawn("a writes", func() error { return writeAndEnd(there, a, size) }),
					spawn("b writes", func() error { return writeAndEnd(back, b, size) }),
					spawn("a reads", func() error { return readWhole(back, a, size) }),
					spawn("b reads", func() error { return readWhole(there, b, size) }),
				}
				for _, j := range jobs {
					j.wait(t)
				}
				for i := range 2 {
					if j := rec.released(t, rec.next(t, i)); j.reason != conn.ReasonPeerClosed {
						t.Errorf("ended with %v", j.reason)
					}
				}
			})
		})
	}
}

func writeAndEnd(x text, p *peer, size int) error {
	if err := x.writeTo(p, size); err != nil {
		return err
	}
	return p.Conn.(half).CloseWrite()
}

func readWhole(x text, p *peer, size int) error {
	n, err := x.readFrom(p, -1)
	if err == nil && n != size {
		err = fmt.Errorf("%d of %d bytes", n, size)
	}
	return err
}

// DESIGN: a read gate keeps the gating stream open while its stream has a read pending, and
// no longer.
func TestReadGateHoldsTheGatingStream(t *testing.T) {
	orders := map[string]func(c, o *conn.Stream) error{
		"gate, then read": func(c, o *conn.Stream) error { c.SetReadGate(o); return c.Read() },
		"read, then gate": func(c, o *conn.Stream) error { err := c.Read(); c.SetReadGate(o); return err },
	}
	ends := map[string]func(s *scene){
		"its end":               func(s *scene) { s.p.Close(); s.c.Abort(nil) },
		"its read is answered":  func(s *scene) { s.p.writeString("x") },
		"its reads are over":    func(s *scene) { s.p.closeWrite() },
		"the gate is taken off": func(s *scene) { s.c.SetReadGate(nil) },
	}
	for order, set := range orders {
		for end, do := range ends {
			t.Run(order+", until "+end, func(t *testing.T) {
				each(t, func(t *testing.T, network string) {
					rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
					f := start(t, network, rec, loops(t, 2))
					s := &scene{t: t, f: f, p: f.dial()}
					s.j = rec.next(t, 0)
					s.c = s.j.stream
					defer s.c.Release()
					o := f.dial()
					jo := rec.next(t, 1)
					s.must(set(s.c, jo.stream))
					jo.stream.Release()
					f.passAll(t)
					f.passAll(t)
					if n := rec.count(jo, cbClosed); n > 0 {
						t.Fatal("the gating stream closed while the other had a read pending")
					}
					do(s)
					got := o.readAll()
					o.Close()
					if end := rec.released(t, jo); end.reason != conn.ReasonUnreferenced || len(got) != 0 {
						t.Errorf("the gating stream ended with %v", end.reason)
					}
				})
			})
		}
	}
}

// passAll goes through all loops: what was posted before has run.
func (f *fixture) passAll(t *testing.T) {
	t.Helper()
	for c := range f.srv.Connections() {
		passed := make(chan struct{})
		if c.Post(func(*conn.Stream) { close(passed) }) == nil {
			receive(t, passed, "a post")
		}
	}
}

// DESIGN: … until either closes: the end of the gating stream lets the other read.
func TestEndOfTheGatingStreamUngates(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, tight, loops(t, 2))
		s := &scene{t: t, f: f, p: f.dial()}
		s.j = rec.next(t, 0)
		s.c = s.j.stream
		o := &scene{t: t, f: f, p: f.dial(smallReceive)}
		o.j = rec.next(t, 1)
		o.c = o.j.stream
		o.block()
		s.c.SetReadGate(o.c)
		s.must(s.c.Read())
		s.p.writeString("question")
		f.passAll(t)
		if n := rec.count(s.j, cbRead); n > 0 {
			t.Error("a read was served while the other's output was high")
		}
		o.c.Abort(nil)
		rec.seen(t, s.j, cbRead, 1)
		o.c.Release()
		s.c.Release()
	})
}

// DESIGN: a gate may be set on a stream that has ended, or on one that ends meanwhile.
func TestGateOnADeadStream(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		rec.do.established = func(c *conn.Stream) { c.AddRef(); c.Read() }
		f := start(t, network, rec, loops(t, 2))
		p := f.dial()
		dead := rec.next(t, 0)
		dead.stream.Abort(nil)
		rec.ended(t, dead)
		p.Close()
		q := f.dial()
		j := rec.next(t, 1)
		j.stream.SetReadGate(dead.stream)
		q.echo("alive")
		j.stream.SetReadGate(nil)
		q.echo("still alive")
		dead.stream.Release()
		j.stream.Release()
	})
}
