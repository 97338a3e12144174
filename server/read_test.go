package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: reads of every kind are served in the order in which they were asked for.
func TestPendingReadsAreServedInOrder(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		var sizes []int
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) {
				c.AddRef()
				if err := errors.Join(c.ReadFull(3), c.ReadFull(0), c.ReadFull(5), c.Read(), c.ReadFull(0), c.ReadFull(2)); err != nil {
					t.Error(err)
				}
			},
			read: func(_ *conn.Stream, b *buffers.Buffer) { sizes = append(sizes, b.Len()) },
		})
		rec.keep = true
		f := start(t, network, rec)
		p := f.dial()
		j := rec.next(t, 0)
		p.writeString("abcdefgh")
		rec.seen(t, j, cbRead, 3)
		p.writeString("chunk")
		rec.seen(t, j, cbRead, 5)
		p.writeString("yz")
		rec.seen(t, j, cbRead, 6)
		j.stream.Release()
		p.Close()
		got := rec.released(t, j)
		if s := fmt.Sprint(sizes); s != "[3 0 5 5 0 2]" || string(got.data) != "abcdefghchunkyz" {
			t.Errorf("reads of %s gave %q", s, got.data)
		}
	})
}

// DESIGN: ReadFull(0) completes with an empty buffer; above Flow.MaxRead it's ErrTooLarge.
func TestReadFullSizes(t *testing.T) {
	const bound = 10_000
	cases := []struct {
		n    int
		want error
	}{
		{-1, conn.ErrTooLarge}, {-1 << 40, conn.ErrTooLarge}, {0, nil}, {1, nil}, {bound, nil},
		{bound + 1, conn.ErrTooLarge}, {1 << 20, conn.ErrTooLarge}, {1 << 40, conn.ErrTooLarge},
	}
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, flow(conn.Flow{MaxRead: bound}))
		p := f.dial()
		j := rec.next(t, 0)
		x := newText(50)
		p.write(x.bytes(bound + 1))
		accepted := 0
		for _, tc := range cases {
			err := j.stream.ReadFull(tc.n)
			if !errors.Is(err, tc.want) {
				t.Errorf("ReadFull(%d): %v, want %v", tc.n, err, tc.want)
			}
			if err == nil {
				accepted++
			}
		}
		rec.seen(t, j, cbRead, accepted)
		j.stream.SetFlow(conn.Flow{MaxRead: 5})
		if err := j.stream.ReadFull(6); !errors.Is(err, conn.ErrTooLarge) {
			t.Errorf("ReadFull(6) after SetFlow: %v", err)
		}
		j.stream.Release()
	})
}

// DESIGN: memory grows with what has arrived, never with what was asked for.
func TestReadFullTakesMemoryAsItComes(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { _ = c.ReadFull(64 << 20) }})
		f := start(t, network, rec, flow(conn.Flow{MaxRead: -1}))
		p := f.dial()
		j := rec.next(t, 0)
		p.writeString("a little")
		f.pass(t, j.stream)
		if n := f.alloc.Stats().InUse; n > 64<<10 {
			t.Errorf("%d bytes in use for 8 that came", n)
		}
	})
}

// pass waits until the stream's loop has done what it had to do.
func (f *fixture) pass(t *testing.T, c *conn.Stream) {
	t.Helper()
	for range 3 {
		passed := make(chan struct{})
		if err := c.Post(func(*conn.Stream) { close(passed) }); err != nil {
			t.Fatal(err)
		}
		receive(t, passed, "a post")
	}
}

// DESIGN: a ReadFull across many segments is whole, up to 1 MiB.
func TestLargeReadFull(t *testing.T) {
	const size = 1 << 20
	each(t, func(t *testing.T, network string) {
		x := newText(51)
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { _ = c.ReadFull(size) },
			read: func(_ *conn.Stream, b *buffers.Buffer) {
				if err := x.verify(0, b.Bytes()); err != nil || b.Len() != size {
					t.Errorf("%d bytes: %v", b.Len(), err)
				}
			},
		})
		f := start(t, network, rec)
		p := f.dial()
		if err := x.writeTo(p, size); err != nil {
			t.Fatal(err)
		}
		p.readAll()
		p.Close()
		if j := rec.released(t, rec.next(t, 0)); j.count[cbRead] != 1 {
			t.Errorf("%d completions", j.count[cbRead])
		}
	})
}

// DESIGN: a ReadFull cut short gives OnReadCompletionError(io.ErrUnexpectedEOF) with the
// bytes there were, then OnConnectionClientClose, once, however many reads are pending. It
// may be survived.
func TestReadFullCutShort(t *testing.T) {
	for _, survive := range []bool{false, true} {
		t.Run(fmt.Sprintf("survive=%v", survive), func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				ask := func(_ *conn.Stream, b *buffers.Buffer, err error) bool {
					if string(b.Bytes()) != "few" || !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("asked about %q, %v", b.Bytes(), err)
					}
					return survive
				}
				rec := newRecorder(hooks{
					established: func(c *conn.Stream) {
						c.AddRef()
						_ = errors.Join(c.ReadFull(10), c.ReadFull(10), c.Read())
					},
					readMayLive: ask,
					readError:   func(c *conn.Stream, b *buffers.Buffer, err error) { ask(c, b, err) },
				})
				f := start(t, network, rec)
				p := f.dial()
				j := rec.next(t, 0)
				p.writeString("few")
				p.closeWrite()
				rec.seen(t, j, cbClientClose, 1)
				errs := 1
				if survive {
					errs = 0
					if err := j.stream.Send([]byte("answer")); err != nil {
						t.Error(err)
					}
				} else {
					rec.ended(t, j)
				}
				j.stream.Release()
				if got := string(p.readAll()); survive != (got == "answer") {
					t.Errorf("the client read %q", got)
				}
				got := rec.released(t, j)
				if got.count[cbReadMayLive] != 1 || got.count[cbReadError] != errs || got.reason != conn.ReasonPeerClosed {
					t.Errorf("ended with %v, %v", got.reason, got.count)
				}
			})
		})
	}
}

// DESIGN: RDHUP with no read to serve: the end is reported at once; unread data postpones
// it, and isn't lost.
func TestEndWithoutAReadIsReported(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		rec.keep = true
		f := start(t, network, rec)
		t.Run("nothing unread", func(t *testing.T) {
			p := f.dial()
			j := rec.next(t, 0)
			p.closeWrite()
			rec.seen(t, j, cbClientClose, 1)
			j.stream.Release()
			rec.released(t, j)
		})
		t.Run("unread data", func(t *testing.T) {
			p := f.dial()
			j := rec.next(t, 1)
			p.writeString("unread")
			p.closeWrite()
			f.pass(t, j.stream)
			if rec.count(j, cbClientClose) > 0 {
				t.Error("the end was reported before the data")
			}
			if err := j.stream.Read(); err != nil {
				t.Fatal(err)
			}
			rec.seen(t, j, cbClientClose, 1)
			j.stream.Release()
			if got := rec.released(t, j); string(got.data) != "unread" {
				t.Errorf("read %q", got.data)
			}
		})
	})
}

// DESIGN: buffers are lent: AddRef keeps one beyond the callback, and beyond the connection.
func TestKeptBuffersStayValid(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		kept := make(chan *buffers.Buffer, 100)
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.Read() },
			read: func(c *conn.Stream, b *buffers.Buffer) {
				kept <- b.AddRef()
				c.Read()
			},
		})
		f := start(t, network, rec)
		var want []byte
		p := f.dial()
		j := rec.next(t, 0)
		for i := range 20 {
			s := bytes.Repeat([]byte{byte(i)}, 10+i)
			want = append(want, s...)
			p.write(s)
			f.pass(t, j.stream)
		}
		p.Close()
		rec.released(t, j)
		var got []byte
		for len(kept) > 0 {
			b := <-kept
			got = append(got, b.Bytes()...)
			b.Release()
		}
		if !bytes.Equal(got, want) {
			t.Error("what was kept has changed")
		}
	})
}

// DESIGN: no user reference and nothing pending: it closes gracefully, whichever callback
// came last; a reference keeps it.
func TestUnreferencedConnectionsClose(t *testing.T) {
	cases := []struct {
		name string
		do   hooks
	}{
		{"in OnConnectionEstablished", hooks{}},
		{"in OnReadCompleted", hooks{established: func(c *conn.Stream) { c.Read() }}},
		{"after a write", hooks{established: func(c *conn.Stream) { c.Send([]byte("bye")) }}}, //nolint:errcheck // the client sees it
		{"after a post", hooks{established: func(c *conn.Stream) { _ = c.Post(func(*conn.Stream) {}) }}},
		{"after a post that posts", hooks{established: func(c *conn.Stream) {
			_ = c.Post(func(c *conn.Stream) { _ = c.Post(func(*conn.Stream) {}) })
		}}},
		{"after OnReadOOBCompleted", hooks{established: func(c *conn.Stream) { c.Read() }}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				rec := newRecorder(tc.do)
				f := start(t, network, rec)
				p := f.dial()
				_, _ = p.Write([]byte("x"))
				_, _ = io.Copy(io.Discard, p)
				p.Close()
				if j := rec.released(t, rec.next(t, 0)); j.reason != conn.ReasonUnreferenced && j.reason != conn.ReasonReset {
					t.Errorf("ended with %v", j.reason)
				}
			})
		})
	}
	t.Run("last Release on a goroutine", func(t *testing.T) {
		each(t, func(t *testing.T, network string) {
			rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef().AddRef() }})
			f := start(t, network, rec)
			p := f.dial()
			j := rec.next(t, 0)
			j.stream.Release()
			f.pass(t, j.stream)
			if s := j.stream.State(); s != conn.Open {
				t.Errorf("state %v with a reference left", s)
			}
			j.stream.Release()
			if got := p.readAll(); len(got) != 0 {
				t.Errorf("the client read %q", got)
			}
			p.Close()
			if got := rec.released(t, j); got.reason != conn.ReasonUnreferenced {
				t.Errorf("ended with %v", got.reason)
			}
		})
	})
}

// DESIGN: AddRef from zero outside a callback, and one Release too many, are misuse, and
// panic in debug mode.
func TestMisuseOfReferencesPanics(t *testing.T) {
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec)
	p := f.dial()
	p.echo("up")
	c := rec.next(t, 0).stream
	mustPanic(t, "AddRef without a reference", func() { c.AddRef() })
	mustPanic(t, "Release without a reference", c.Release)
	p.echo("still up")
}

// DESIGN: Flow.MaxRead and friends: a negative number is no bound.
func TestFlowWithoutBounds(t *testing.T) {
	const size = 3 << 20
	rec := newRecorder(hooks{
		established: func(c *conn.Stream) { _ = c.ReadFull(size) },
		read:        func(c *conn.Stream, b *buffers.Buffer) { c.Write(b) },
	})
	f := start(t, "tcp", rec, func(c *server.Config) { c.Flow = conn.Flow{High: -1, Low: -1, MaxPending: -1, MaxRead: -1} })
	p := f.dial()
	x := newText(52)
	if err := x.writeTo(p, size); err != nil {
		t.Fatal(err)
	}
	if n, err := x.readFrom(p, -1); err != nil || n != size {
		t.Errorf("%d of %d bytes came back: %v", n, size, err)
	}
}
