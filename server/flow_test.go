package server_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// DESIGN: OnWriteBlocked above High, OnWriteReady at Low, in turns. (The recorder sees to the
// turns.)
func TestWatermarks(t *testing.T) {
	const high, low, rounds = 40_000, 10_000, 5
	each(t, func(t *testing.T, network string) {
		ready := make(chan int, rounds)
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.AddRef() },
			blocked: func(c *conn.Stream) {
				if n := c.Pending(); n <= high {
					t.Errorf("blocked with %d bytes pending", n)
				}
			},
			ready: func(c *conn.Stream) { ready <- c.Pending() },
		})
		f := start(t, network, rec, tight, flow(conn.Flow{High: high, Low: low}))
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		x := newText(100)
		off := 0
		for i := range rounds {
			size := 600_000
			if err := j.stream.Send(x.bytes(off + size)[off:]); err != nil {
				t.Fatal(err)
			}
			rec.seen(t, j, cbBlocked, i+1)
			if len(ready) > 0 {
				t.Error("ready before anything was read")
			}
			for end := off + size; off < end; {
				b := make([]byte, min(64<<10, end-off))
				n, err := p.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				if err := x.verify(off, b[:n]); err != nil {
					t.Fatal(err)
				}
				off += n
			}
			if n := receive(t, ready, "OnWriteReady"); n > low {
				t.Errorf("ready with %d bytes pending", n)
			}
		}
		j.stream.Release()
	})
}

// DESIGN: what follows ErrOutputFull is the caller's policy: waiting for OnWriteReady is one
// that works, wherever the write was made, and though the kernel took everything meanwhile.
func TestWriteReadyFollowsARefusedWrite(t *testing.T) {
	const size = 8 << 20
	each(t, func(t *testing.T, network string) {
		x := newText(101)
		off := 0
		more := func(c *conn.Stream) {
			for off < size {
				b := x.at(off, min(size-off, 10_000))
				err := c.Send(b)
				if errors.Is(err, conn.ErrOutputFull) {
					return // until OnWriteReady
				}
				if err != nil {
					t.Error(err)
					return
				}
				off += len(b)
			}
			_ = c.Shutdown()
		}
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef(); more(c) }, ready: more})
		rec.do.closed = func(c *conn.Stream) { c.Release() }
		f := start(t, network, rec, flow(conn.Flow{High: 30_000, Low: 10_000, MaxPending: 50_000}))
		p := f.dial()
		if n, err := x.readFrom(p, -1); err != nil || n != size {
			t.Errorf("%d of %d bytes came: %v\n%s", n, size, err, rec.dump())
		}
		p.Close()
	})
}

// DESIGN: a write that can never fit is refused, and nothing is promised for it; SetFlow
// makes room.
func TestSetFlow(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, flow(conn.Flow{MaxPending: 1000}))
		p := f.dial()
		j := rec.next(t, 0)
		piece := make([]byte, 5000)
		if err := j.stream.Send(piece); !errors.Is(err, conn.ErrOutputFull) {
			t.Errorf("Send above MaxPending: %v", err)
		}
		j.stream.SetFlow(conn.Flow{MaxPending: 5000})
		if err := j.stream.Send(piece); err != nil {
			t.Errorf("Send at MaxPending: %v", err)
		}
		j.stream.SetFlow(conn.Flow{}) // back to the listener's
		if err := j.stream.Send(piece); !errors.Is(err, conn.ErrOutputFull) {
			t.Errorf("Send above MaxPending: %v", err)
		}
		j.stream.Release()
		if got := p.readAll(); len(got) != 5000 {
			t.Errorf("the client read %d bytes", len(got))
		}
	})
}

// DESIGN: raising Low while reads wait lets them go on.
func TestSetFlowUngates(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		h := hooks{established: func(c *conn.Stream) { c.AddRef(); c.SetReadGate(c) }}
		rec := newRecorder(h.aside())
		rec.keep = true
		f := start(t, network, rec, tight, side, loops(t, 1))
		s := &scene{t: t, f: f, p: f.dial(smallReceive)}
		s.j = rec.next(t, 0)
		s.c = s.j.stream
		s.block()
		s.must(s.c.Read())
		s.p.writeString("question")
		s.settle()
		if n := rec.count(s.j, cbRead); n != 0 {
			t.Error("a read was served while output was high")
		}
		s.c.SetFlow(conn.Flow{High: 1 << 20, Low: 1 << 20})
		rec.seen(t, s.j, cbRead, 1)
		s.c.Abort(nil)
		s.c.Release()
	})
}

// DESIGN: Post is serialised with the callbacks, keeps the connection open until then, and
// posts run in order.
func TestPostIsSerialised(t *testing.T) {
	const posters, posts = 4, 200
	each(t, func(t *testing.T, network string) {
		inside := 0 // guarded by the connection's serialisation
		next := make([]int, posters)
		total := 0
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) {
				inside++
				for range posters {
					c.AddRef()
				}
				c.Read()
				inside--
			},
			read: func(c *conn.Stream, b *buffers.Buffer) {
				inside++
				c.Write(b)
				c.Read()
				inside--
			},
		})
		f := start(t, network, rec, loops(t, 2))
		p := f.dial()
		j := rec.next(t, 0)
		var wg sync.WaitGroup
		for k := range posters {
			wg.Go(func() {
				defer j.stream.Release()
				for n := range posts {
					if err := j.stream.Post(func(*conn.Stream) {
						if inside != 0 || next[k] != n {
							t.Errorf("post %d of %d ran out of turn", n, k)
						}
						next[k]++
						total++
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 100 {
			p.echo("ping")
		}
		wg.Wait()
		p.Close()
		rec.released(t, j)
		f.stop()
		if total != posters*posts {
			t.Errorf("%d of %d posts ran", total, posters*posts)
		}
		if err := j.stream.Post(nil); !errors.Is(err, conn.ErrMode) {
			t.Errorf("Post of nothing: %v", err)
		}
	})
}

// DESIGN: a post keeps an unreferenced connection open until it has run.
func TestPostKeepsTheConnectionOpen(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) {
			left := 1000
			var again func(*conn.Stream)
			again = func(c *conn.Stream) {
				if left--; left > 0 {
					if err := c.Post(again); err != nil {
						t.Error(err)
					}
					return
				}
				if err := c.Send([]byte("after a thousand posts")); err != nil {
					t.Error(err)
				}
			}
			again(c)
		}})
		f := start(t, network, rec)
		if got := string(f.dial().readAll()); got != "after a thousand posts" {
			t.Errorf("the client read %q", got)
		}
	})
}
