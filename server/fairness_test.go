package server_test

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// DESIGN: within a callback writes queue and are flushed at the end of the dispatch, also if
// input never runs dry.
func TestReplyIsFlushedUnderAFirehose(t *testing.T) {
	const most = 3000
	each(t, func(t *testing.T, network string) {
		var replied atomic.Bool
		reads := 0
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.Read() },
			read: func(c *conn.Stream, _ *buffers.Buffer) {
				if reads++; reads == 1 {
					c.Send([]byte("reply")) //nolint:errcheck // the client sees it
				}
				if !replied.Load() {
					awaitInput(t, c) // there's always more to read
				}
				if reads == most {
					t.Errorf("%d reads and no reply yet", reads)
				}
				c.Read()
			},
		})
		f := start(t, network, rec, loops(t, 1))
		p := f.dial()
		x := newText(80)
		writing := spawn("writing", func() error {
			for off := 0; !replied.Load(); {
				n, err := p.Write(x.at(off, 64<<10))
				if off += n; err != nil {
					return err
				}
			}
			p.closeWrite()
			return nil
		})
		p.expect("reply")
		replied.Store(true)
		writing.wait(t)
		rec.released(t, rec.next(t, 0))
		t.Logf("%d reads", reads)
	})
}

// awaitInput waits until the connection has unread input.
func awaitInput(t *testing.T, c *conn.Stream) {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	err = raw.Control(func(fd uintptr) {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(failSafe/time.Millisecond))
	})
	if err != nil {
		t.Error(err)
	}
}

// DESIGN: one dispatch serves everything in its turn: a handler that sends the next piece in
// each OnWriteCompleted hears its peer nevertheless.
func TestStreamingFromCompletionsHearsThePeer(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		var over atomic.Bool
		piece := make([]byte, 100)
		send := func(c *conn.Stream) {
			if !over.Load() {
				c.Send(piece) //nolint:errcheck // it ends when the connection does
			}
		}
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.Read(); send(c) },
			read: func(c *conn.Stream, _ *buffers.Buffer) {
				c.Read()
			},
			written:     func(c *conn.Stream, _ *buffers.Buffer) { send(c) },
			clientClose: func(*conn.Stream) { over.Store(true) },
		})
		f := start(t, network, rec, tracked, loops(t, 1))
		p := f.dial()
		reading := spawn("reading", func() error {
			_, err := io.Copy(io.Discard, p)
			return err
		})
		j := rec.next(t, 0)
		rec.seen(t, j, cbWritten, 10)
		p.writeString("a command")
		rec.seen(t, j, cbRead, 1)
		p.closeWrite()
		rec.seen(t, j, cbClientClose, 1)
		reading.wait(t)
	})
}

// faults.md: fairness: one firehose and small clients on the same loop: byte budget per
// turn.
func TestFirehoseStarvesNobody(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, loops(t, 1))
		hose := f.dial()
		x := newText(81)
		pushing := spawn("pushing", func() error { _ = x.writeTo(hose, 1<<40); return nil })
		draining := spawn("draining", func() error { _, _ = io.Copy(io.Discard, hose); return nil })
		for range 10 {
			p := f.dial()
			for range 10 {
				p.echo("ping")
			}
			p.Close()
		}
		hose.Close()
		pushing.wait(t)
		draining.wait(t)
	})
}
