package server_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// faults.md: EPIPE. Writing to a peer that has gone ends the connection as a reset, whoever
// finds out.
func TestWriteToAPeerThatHasGone(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, tracked)
		p := f.dial()
		j := rec.next(t, 0)
		p.Close()
		for {
			err := j.stream.Send([]byte("anybody there?"))
			if errors.Is(err, conn.ErrClosed) {
				break
			}
			if err != nil && !errors.Is(err, conn.ErrOutputFull) {
				t.Fatal(err)
			}
		}
		rec.ended(t, j)
		j.stream.Release()
		if got := rec.released(t, j); got.reason != conn.ReasonReset || got.count[cbReset] != 1 {
			t.Errorf("ended with %v, %v", got.reason, got.count)
		}
	})
}

// faults.md: a zero-length write. It completes, once and in its place.
func TestZeroLengthWrites(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		for _, where := range []string{"callback", "goroutine"} {
			t.Run(where, func(t *testing.T) {
				var order []string
				var rec *recorder
				writeAll := func(c *conn.Stream) error {
					empty, full := rec.alloc.Get(0), rec.alloc.Copy([]byte("full"))
					defer empty.Release()
					defer full.Release()
					empty.SetUserData("empty")
					full.SetUserData("full")
					return errors.Join(c.Send(nil), c.Write(empty), c.Writev(empty, full, empty), c.Send([]byte("!")), c.Send(nil), c.Writev())
				}
				rec = newRecorder(hooks{
					established: func(c *conn.Stream) {
						if where == "goroutine" {
							c.AddRef()
						} else if err := writeAll(c); err != nil {
							t.Error(err)
						}
					},
					written: func(_ *conn.Stream, b *buffers.Buffer) {
						order = append(order, fmt.Sprintf("%v:%d", b.UserData(), b.Len()))
					},
				})
				f := start(t, network, rec, tracked)
				p := f.dial()
				j := rec.next(t, 0)
				if where == "goroutine" {
					if err := writeAll(j.stream); err != nil {
						t.Error(err)
					}
					j.stream.Release()
				}
				if got := string(p.readAll()); got != "full!" {
					t.Errorf("the client read %q", got)
				}
				p.Close()
				rec.released(t, j)
				want := "[<nil>:0 empty:0 empty:0 full:4 empty:0 <nil>:0 <nil>:0]"
				if got := fmt.Sprint(order); got != want {
					t.Errorf("completions %s, want %s", got, want)
				}
			})
		}
	})
}

// faults.md: the same where nobody waits for completions: nothing hangs on it.
func TestZeroLengthWritesUntracked(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.Send(nil) }}) //nolint:errcheck // the client sees it
		f := start(t, network, rec)
		p := f.dial()
		if got := p.readAll(); len(got) != 0 {
			t.Errorf("the client read %q", got)
		}
		p.Close()
		if j := rec.released(t, rec.next(t, 0)); j.reason != conn.ReasonUnreferenced {
			t.Errorf("ended with %v", j.reason)
		}
	})
}

// faults.md: 1-byte segments.
func TestOneByteSegments(t *testing.T) {
	const size = 3000
	each(t, func(t *testing.T, network string) {
		x := newText(40)
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { _ = c.ReadFull(100) },
			read: func(c *conn.Stream, b *buffers.Buffer) {
				if b.Len() != 100 {
					t.Errorf("ReadFull gave %d bytes", b.Len())
				}
				c.Write(b)
				_ = c.ReadFull(100)
			},
		})
		f := start(t, network, rec)
		p := f.dial()
		writing := spawn("writing", func() error {
			for i := range size {
				if _, err := p.Write(x.at(i, 1)); err != nil {
					return err
				}
			}
			p.closeWrite()
			return nil
		})
		if n, err := x.readFrom(p, -1); err != nil || n != size {
			t.Errorf("%d of %d bytes came back: %v", n, size, err)
		}
		writing.wait(t)
	})
}

// faults.md: a 16 MiB burst.
func TestBurst(t *testing.T) {
	const size = 16 << 20
	each(t, func(t *testing.T, network string) {
		x := newText(41)
		rec := newRecorder(echoing())
		f := start(t, network, rec)
		p := f.dial()
		writing := spawn("writing", func() error { return x.writeTo(p, size) })
		if n, err := x.readFrom(p, size); err != nil {
			t.Errorf("%d of %d bytes came back: %v", n, size, err)
		}
		writing.wait(t)
	})
}

// faults.md: more than 1,024 iovecs.
func TestWritevOfThousands(t *testing.T) {
	const count = 2000
	each(t, func(t *testing.T, network string) {
		for _, where := range []string{"callback", "goroutine"} {
			t.Run(where, func(t *testing.T) {
				x := newText(42)
				var rec *recorder
				writeAll := func(c *conn.Stream) {
					bs := pieces(rec.alloc, x, 100*count, 100)
					defer releaseAll(bs)
					if err := c.Writev(bs...); err != nil {
						t.Error(err)
					}
				}
				rec = newRecorder(hooks{established: func(c *conn.Stream) {
					if where == "goroutine" {
						c.AddRef()
					} else {
						writeAll(c)
					}
				}})
				f := start(t, network, rec, tracked)
				p := f.dial()
				j := rec.next(t, 0)
				if where == "goroutine" {
					writeAll(j.stream)
					j.stream.Release()
				}
				if n, err := x.readFrom(p, -1); err != nil || n != 100*count {
					t.Errorf("%d bytes came, want %d: %v", n, 100*count, err)
				}
				p.Close()
				if got := rec.released(t, j); got.count[cbWritten] != count {
					t.Errorf("%d completions, want %d", got.count[cbWritten], count)
				}
			})
		}
	})
}

// DESIGN: each Send, Write or Writev is atomic and ordered, under concurrent writers.
func TestConcurrentWritersTearNothing(t *testing.T) {
	const writers, messages = 6, 80
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, tracked, func(c *server.Config) {
			c.Flow.MaxPending = -1
			c.Listeners[0].Options.SendBuffer = 64 << 10
		})
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for m := range messages {
					if err := writeMessage(j.stream, f.alloc, w, m); err != nil {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			})
		}
		wg.Go(func() { // and one on the loop
			for m := range messages {
				if err := j.stream.Post(func(c *conn.Stream) {
					if err := writeMessage(c, f.alloc, writers, m); err != nil {
						t.Error(err)
					}
				}); err != nil {
					t.Error(err)
				}
			}
		})
		reading := spawn("reading", func() error { return readMessages(p, writers+1, messages) })
		wg.Wait()
		reading.wait(t)
		j.stream.Release()
		p.Close()
		if got := rec.released(t, j); got.count[cbWritten] < (writers+1)*messages {
			t.Errorf("%d completions for %d messages", got.count[cbWritten], (writers+1)*messages)
		}
	})
}

// writeMessage writes a message of one of several sizes, in one of three ways: its length,
// its writer, its number, and a filling that says so.
func writeMessage(c *conn.Stream, a *buffers.Allocator, writer, number int) error {
	size := []int{12, 13, 100, 5000, 70_000}[(writer+number)%5]
	m := bytes.Repeat([]byte{byte(writer*31 + number)}, size)
	binary.BigEndian.PutUint32(m, uint32(size))
	binary.BigEndian.PutUint32(m[4:], uint32(writer))
	binary.BigEndian.PutUint32(m[8:], uint32(number))
	switch number % 3 {
	case 0:
		return c.Send(m)
	case 1:
		b := a.Copy(m)
		defer b.Release()
		return c.Write(b)
	default:
		b := a.Copy(m)
		defer b.Release()
		head, tail := b.Slice(0, 7), b.Slice(7, b.Len())
		defer head.Release()
		defer tail.Release()
		return c.Writev(head, tail)
	}
}

// readMessages verifies that none is torn and that each writer's come in order.
func readMessages(r io.Reader, writers, messages int) error {
	next := make([]int, writers)
	for range writers * messages {
		head := make([]byte, 12)
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		size, writer, number := int(binary.BigEndian.Uint32(head)), int(binary.BigEndian.Uint32(head[4:])), int(binary.BigEndian.Uint32(head[8:]))
		if size < 12 || size > 70_000 || writer >= writers || number != next[writer] {
			return fmt.Errorf("message %d of %d bytes from writer %d", number, size, writer)
		}
		next[writer]++
		body := make([]byte, size-12)
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		for i, b := range body {
			if b != byte(writer*31+number) {
				return fmt.Errorf("message %d of writer %d is torn at byte %d", number, writer, 12+i)
			}
		}
	}
	return nil
}

// DESIGN: over MaxPending Send and Write return ErrOutputFull and queue nothing.
func TestOutputFullQueuesNothing(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, tight, flow(conn.Flow{MaxPending: 100_000}))
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		c := j.stream
		x := newText(43)
		sent := 0
		write := map[string]func(p []byte) error{
			"Send": c.Send,
			"Write": func(p []byte) error {
				b := f.alloc.Copy(p)
				defer b.Release()
				return c.Write(b)
			},
			"Writev": func(p []byte) error {
				b, e := f.alloc.Copy(p[:len(p)/2]), f.alloc.Copy(p[len(p)/2:])
				defer b.Release()
				defer e.Release()
				return c.Writev(b, e)
			},
		}
		for full := 0; full < 20; {
			for name, w := range write {
				piece := x.bytes(sent + 33_000)[sent:]
				switch err := w(piece); {
				case err == nil:
					sent += len(piece)
					full = 0
				case errors.Is(err, conn.ErrOutputFull):
					full++
				default:
					t.Fatalf("%s: %v", name, err)
				}
				if n := c.Pending(); n > 100_000 {
					t.Fatalf("%d bytes pending after %s", n, name)
				}
			}
		}
		if err := c.Send(make([]byte, 100_001)); !errors.Is(err, conn.ErrOutputFull) {
			t.Errorf("a write above MaxPending: %v", err)
		}
		c.Release()
		if n, err := x.readFrom(p, -1); err != nil || n != sent {
			t.Errorf("%d bytes came, %d were accepted: %v", n, sent, err)
		}
	})
}

// DESIGN: MaxPending also bounds the number of pieces.
func TestManyTinyWritesAreBounded(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, tracked, tight)
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		if err := j.stream.Send(make([]byte, 900_000)); err != nil {
			t.Fatal(err)
		}
		rec.seen(t, j, cbBlocked, 1)
		accepted := 0
		var err error
		for accepted < 100_000 {
			if err = j.stream.Send(nil); err != nil {
				break
			}
			accepted++
		}
		if !errors.Is(err, conn.ErrOutputFull) {
			t.Errorf("%d empty writes were queued behind a blocked one: %v", accepted, err)
		}
		j.stream.Release()
		if got := p.readAll(); len(got) != 900_000 {
			t.Errorf("the client read %d bytes", len(got))
		}
		p.Close()
		if got := rec.released(t, j); got.count[cbWritten] != accepted+1 {
			t.Errorf("%d completions for %d writes", got.count[cbWritten], accepted+1)
		}
	})
}

// DESIGN: a completion never comes on the caller's stack and brings the buffer's bytes and
// user data, in order. (The recorder sees to the former.)
func TestCompletionsAreOrderedAndWhole(t *testing.T) {
	const count = 300
	each(t, func(t *testing.T, network string) {
		next := 0
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.AddRef() },
			written: func(_ *conn.Stream, b *buffers.Buffer) {
				if n, _ := b.UserData().(int); n != next || b.Len() != 100+n || b.Bytes()[n] != byte(n) {
					t.Errorf("completion %d brings %v and %d bytes", next, b.UserData(), b.Len())
				}
				next++
			},
		})
		f := start(t, network, rec, tracked)
		p := f.dial()
		j := rec.next(t, 0)
		for i := range count {
			b := f.alloc.Copy(bytes.Repeat([]byte{byte(i)}, 100+i))
			b.SetUserData(i)
			if err := j.stream.Write(b); err != nil {
				t.Fatal(err)
			}
			b.SetUserData("changed afterwards")
			b.Release()
		}
		j.stream.Release()
		p.readAll()
		p.Close()
		if got := rec.released(t, j); got.count[cbWritten] != count {
			t.Errorf("%d completions for %d writes", got.count[cbWritten], count)
		}
	})
}

// DESIGN: Append and Reserve panic while the block is queued: what's written is what was
// there at the time of the Write.
func TestQueuedBufferCannotBeChanged(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, tight)
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		x := newText(44)
		b := f.alloc.Copy(x.bytes(600 << 10))
		if err := j.stream.Write(b); err != nil {
			t.Fatal(err)
		}
		mustPanic(t, "appending to a queued buffer", func() { b.Append([]byte("more")) })
		b.Consume(1000)
		b.Release()
		j.stream.Release()
		if n, err := x.readFrom(p, -1); err != nil || n != 600<<10 {
			t.Errorf("%d bytes came: %v", n, err)
		}
	})
}

// DESIGN: OnWriteCompletionError is for what wasn't wholly sent: a Send that the kernel took
// from the caller's goroutine completes, whatever comes after it.
func TestSentBytesAreNotReportedAsFailed(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		h := hooks{established: func(c *conn.Stream) { c.AddRef() }}
		rec := newRecorder(h)
		f := start(t, network, rec, tracked, loops(t, 1))
		f.dial()
		p := f.dial()
		other, j := rec.next(t, 0), rec.next(t, 1)
		begun, over := make(chan struct{}), make(chan struct{})
		if err := other.stream.Post(func(*conn.Stream) {
			close(begun)
			<-over
		}); err != nil {
			t.Fatal(err)
		}
		receive(t, begun, "the loop being busy")
		p.writeString("x") // an event of the connection is waiting from here on
		if err := j.stream.Send([]byte("sent and unread")); err != nil {
			t.Fatal(err)
		}
		p.expect("sent")
		if network == "tcp" {
			p.reset()
		} else {
			p.Close()
		}
		close(over)
		rec.ended(t, j)
		other.stream.Release()
		j.stream.Release()
		if got := rec.released(t, j); got.count[cbWritten] != 1 || got.count[cbWriteError] != 0 || got.reason != conn.ReasonReset {
			t.Errorf("ended with %v, %v", got.reason, got.count)
		}
	})
}
