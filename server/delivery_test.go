package server_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: Shutdown of the server delivers what was accepted for sending, however slowly the
// peer reads. peers.md: Write 8 MiB + Close, slow reader: all arrives.
func TestServerShutdownDeliversOutput(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		x := newText(30)
		whole := x.bytes(large)
		rec := newRecorder(hooks{established: func(c *conn.Stream) {
			if err := c.Send(whole); err != nil {
				t.Error(err)
			}
			c.Read()
		}})
		f := start(t, network, rec, roomy)
		p := f.dial(smallReceive)
		rec.next(t, 0)
		shut := spawn("Shutdown", func() error {
			ctx, cancel := context.WithTimeout(context.Background(), failSafe)
			defer cancel()
			return f.srv.Shutdown(ctx)
		})
		f.stopped = true
		if n, err := x.readFrom(p, large); err != nil {
			t.Fatalf("received %d of %d bytes: %v", n, large, err)
		}
		p.Close()
		shut.wait(t)
	})
}

// peers.md: Peer SHUT_WR, then a reply: lost by others.
func TestHalfClosingClientGetsItsEcho(t *testing.T) {
	const size = 4 << 20
	each(t, func(t *testing.T, network string) {
		x := newText(31)
		rec := newRecorder(echoing())
		f := start(t, network, rec)
		p := f.dial()
		writing := spawn("writing", func() error {
			if err := x.writeTo(p, size); err != nil {
				return err
			}
			p.closeWrite()
			return nil
		})
		if n, err := x.readFrom(p, -1); err != nil || n != size {
			t.Fatalf("received %d of %d bytes: %v", n, size, err)
		}
		writing.wait(t)
		if j := rec.released(t, rec.next(t, 0)); j.reason != conn.ReasonPeerClosed || j.count[cbClientClose] != 1 {
			t.Errorf("ended with %v, %v", j.reason, j.count)
		}
	})
}

// peers.md: Peer SHUT_WR, then a delayed reply: lost by others.
func TestDelayedReplyAfterHalfClose(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) {
			c.AddRef()
			c.Read()
		}})
		rec.do.read = func(c *conn.Stream, _ *buffers.Buffer) { c.Read() }
		f := start(t, network, rec)
		p := f.dial()
		p.writeString("question")
		p.closeWrite()
		j := rec.next(t, 0)
		rec.seen(t, j, cbClientClose, 1)
		if err := j.stream.Send([]byte("answer")); err != nil {
			t.Error(err)
		}
		if s := j.stream.State(); s != conn.ReadClosed {
			t.Errorf("state %v after the peer's end", s)
		}
		if err := j.stream.Read(); !errors.Is(err, conn.ErrReadClosed) {
			t.Errorf("Read after the peer's end: %v", err)
		}
		j.stream.Release()
		if got := string(p.readAll()); got != "answer" {
			t.Errorf("the reply is %q", got)
		}
	})
}

// peers.md: Out-of-band byte: dropped by others; aaaa, X out of band, bbbb: recv returned 4
// bytes and no further event came.
func TestOutOfBandByte(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		marks := make(chan bool, 2)
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.AddRef() },
			read: func(c *conn.Stream, _ *buffers.Buffer) {
				at, err := c.AtMark()
				if err != nil {
					t.Error(err)
				}
				marks <- at
			},
		})
		rec.keep = true
		f := start(t, network, rec)
		p := f.dial()
		p.writeString("aaaa")
		p.sendOOB('X')
		p.writeString("bbbb")
		j := rec.next(t, 0)
		rec.seen(t, j, cbOOB, 1)
		if err := errors.Join(j.stream.ReadFull(4), j.stream.ReadFull(4)); err != nil {
			t.Fatal(err)
		}
		rec.seen(t, j, cbRead, 2)
		if first, second := <-marks, <-marks; network == "tcp" && (!first || second) {
			t.Errorf("at the mark after the first four bytes: %v, after the next four: %v", first, second)
		}
		j.stream.Release()
		p.Close()
		if got := rec.released(t, j); string(got.data) != "aaaabbbb" || string(got.oob) != "X" {
			t.Errorf("received %q and, out of band, %q", got.data, got.oob)
		}
	})
}

// DESIGN: a read that's pending all the time sees what's behind the mark, too. (On a
// Unix-domain socket the kernel drops the out-of-band byte if a read passes it before it
// was fetched, and reading to EAGAIN may: the stream is whole all the same.)
func TestOutOfBandByteWhileReading(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(discarding())
		rec.keep = true
		f := start(t, network, rec)
		for i := range 50 {
			p := f.dial()
			p.writeString("aaaa")
			p.sendOOB('X')
			p.writeString("bbbb")
			p.closeWrite()
			if j := rec.released(t, rec.next(t, i)); string(j.data) != "aaaabbbb" || network == "tcp" && string(j.oob) != "X" {
				t.Fatalf("received %q and, out of band, %q", j.data, j.oob)
			}
			p.Close()
		}
	})
}

// DESIGN: SendOOB goes behind everything written before.
func TestSendOOB(t *testing.T) {
	rec := newRecorder(hooks{established: func(c *conn.Stream) {
		if err := errors.Join(c.Send([]byte("aaaa")), c.SendOOB('X'), c.Send([]byte("bbbb"))); err != nil {
			t.Error(err)
		}
	}})
	f := start(t, "tcp", rec)
	p := f.dial()
	p.control(func(fd int) error { return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_OOBINLINE, 1) })
	if got := string(p.readAll()); got != "aaaaXbbbb" && got != "aaaabbbb" { // the latter if the option came late
		t.Errorf("the client read %q", got)
	}
}

// peers.md: a Unix peer that writes 100 kB and closes: IN|RDHUP|HUP with data readable.
func TestHangUpWithDataIsReadWhole(t *testing.T) {
	const size = 100_000
	each(t, func(t *testing.T, network string) {
		x := newText(32)
		gone := make(chan struct{})
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) {
				<-gone
				c.Read()
			},
			read: func(c *conn.Stream, _ *buffers.Buffer) { c.Read() },
		})
		rec.keep = true
		f := start(t, network, rec, loops(t, 1))
		p := f.dial()
		p.write(x.bytes(size))
		p.Close()
		close(gone)
		j := rec.released(t, rec.next(t, 0))
		if err := x.verify(0, j.data); err != nil || len(j.data) != size {
			t.Errorf("%d of %d bytes arrived: %v", len(j.data), size, err)
		}
		if j.reason != conn.ReasonPeerClosed || j.count[cbClientClose] != 1 {
			t.Errorf("ended with %v, %v", j.reason, j.count)
		}
	})
}

// peers.md: after RST SO_ERROR consumes the error: the next reads give the data and then a
// clean-looking end. DESIGN: with a cause stored, pending reads are served until EAGAIN or
// 0, and then the cause ends the stream, never OnConnectionClientClose.
func TestResetBehindData(t *testing.T) {
	const size = 20_000
	x := newText(33)
	cases := []struct {
		name     string
		ask      func(c *conn.Stream) error
		want     int // bytes delivered by OnReadCompleted
		failures int
	}{
		{"Read", (*conn.Stream).Read, size, 0},
		{"ReadFull of all", func(c *conn.Stream) error { return c.ReadFull(size) }, size, 0},
		{"ReadFull of more", func(c *conn.Stream) error { return c.ReadFull(size + 1) }, 0, 1},
		{"several reads", func(c *conn.Stream) error {
			return errors.Join(c.ReadFull(100), c.ReadFull(size-100), c.ReadFull(7), c.Read())
		}, size, 2},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			gone := make(chan struct{})
			rec := newRecorder(hooks{
				established: func(c *conn.Stream) {
					if err := tc.ask(c); err != nil {
						t.Error(err)
					}
					<-gone
				},
			})
			if tc.name == "Read" {
				rec.do.read = func(c *conn.Stream, _ *buffers.Buffer) { c.Read() }
			}
			rec.do.readError = func(_ *conn.Stream, b *buffers.Buffer, _ error) {
				if tc.want == 0 && b.Len() != size {
					t.Errorf("the failed ReadFull has %d of %d bytes", b.Len(), size)
				}
			}
			rec.keep = true
			f := start(t, "tcp", rec, loops(t, 1))
			p := f.dial()
			p.write(x.bytes(size))
			p.reset()
			close(gone)
			j := rec.released(t, rec.next(t, 0))
			if err := x.verify(0, j.data); err != nil || len(j.data) != tc.want {
				t.Errorf("%d of %d bytes were delivered: %v", len(j.data), tc.want, err)
			}
			switch {
			case j.reason != conn.ReasonReset, !errors.Is(j.reset, syscall.ECONNRESET), j.count[cbClientClose] != 0:
				t.Errorf("ended with %v, %v, %v", j.reason, j.reset, j.count)
			case tc.failures > 0 && j.count[cbReadError] != tc.failures:
				t.Errorf("%d reads failed, want %d", j.count[cbReadError], tc.failures)
			}
		})
	}
}

// DESIGN: the same if it's a send that learns of the reset first: what the peer sent before
// is still served to pending reads.
func TestResetLearntBySendingKeepsUnreadData(t *testing.T) {
	const size = 20_000
	each(t, func(t *testing.T, network string) {
		x := newText(34)
		begin, gone := make(chan struct{}), make(chan struct{})
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) {
				c.Send([]byte("unread")) //nolint:errcheck // makes the close of a Unix peer a reset
				c.Read()
			},
			read: func(c *conn.Stream, _ *buffers.Buffer) { c.Read() },
		})
		rec.keep = true
		f := start(t, network, rec, loops(t, 1))
		p := f.dial()
		j := rec.next(t, 0)
		p.control(func(int) error { return nil })
		if err := j.stream.Post(func(c *conn.Stream) {
			close(begin)
			<-gone
			_ = c.Send([]byte("to nobody"))
			_ = c.Send([]byte("to nobody"))
		}); err != nil {
			t.Fatal(err)
		}
		<-begin
		p.write(x.bytes(size))
		if network == "tcp" {
			p.reset()
		} else {
			p.Close()
		}
		close(gone)
		got := rec.released(t, j)
		if err := x.verify(0, got.data); err != nil || len(got.data) != size {
			t.Errorf("%d of %d bytes were delivered: %v", len(got.data), size, err)
		}
		if got.reason != conn.ReasonReset || got.count[cbClientClose] != 0 || got.count[cbReset] != 1 {
			t.Errorf("ended with %v, %v", got.reason, got.count)
		}
	})
}

// DESIGN: two peers that push at each other don't deadlock.
func TestPushingAtEachOther(t *testing.T) {
	size := 64 << 20
	if raceEnabled {
		size = 16 << 20
	}
	each(t, func(t *testing.T, network string) {
		x := newText(35)
		room := make(chan struct{}, 1)
		var got atomic.Int64
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) {
				c.AddRef()
				c.Read()
			},
			read: func(c *conn.Stream, b *buffers.Buffer) {
				if err := x.verify(int(got.Load()), b.Bytes()); err != nil {
					t.Error(err)
				}
				got.Add(int64(b.Len()))
				c.Read()
			},
			ready: func(*conn.Stream) {
				select {
				case room <- struct{}{}:
				default:
				}
			},
		})
		f := start(t, network, rec, production)
		p := f.dial()
		j := rec.next(t, 0)
		serverPush := spawn("the server's pushing", func() error {
			defer j.stream.Release()
			for off := 0; off < size; {
				b := x.at(off, min(size-off, 256<<10))
				switch err := j.stream.Send(b); {
				case errors.Is(err, conn.ErrOutputFull):
					<-room
				case err != nil:
					return err
				default:
					off += len(b)
				}
			}
			return j.stream.ShutdownSend()
		})
		clientPush := spawn("the client's pushing", func() error {
			if err := x.writeTo(p, size); err != nil {
				return err
			}
			p.closeWrite()
			return nil
		})
		if n, err := x.readFrom(p, -1); err != nil || n != size {
			t.Fatalf("the client received %d of %d bytes: %v\n%s", n, size, err, rec.dump())
		}
		serverPush.wait(t)
		clientPush.wait(t)
		rec.released(t, j)
		if got.Load() != int64(size) {
			t.Errorf("the server received %d of %d bytes", got.Load(), size)
		}
	})
}

// DESIGN: Shutdown flushes while it already discards input: a peer that doesn't read until
// its own write is done would deadlock us otherwise.
func TestShutdownOfABlockingEchoPeer(t *testing.T) {
	const size = 16 << 20
	x := newText(36)
	rec := newRecorder(echoing())
	options := conn.SocketOptions{SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10}
	f := start(t, "tcp", rec, func(c *server.Config) {
		c.Listeners[0].Options = options
		c.Listeners = append(c.Listeners, server.Listener{Name: "file", Network: "unix", Address: socketPath(t), Options: options})
	})
	var clients []*job
	blockingEcho := func(listener string) *journal {
		bound := f.srv.Addrs()[listener][0]
		p := dial(t, bound.Network(), bound.String(), smallReceive, mediumSend)
		clients = append(clients, spawn("a client", func() error {
			if err := x.writeTo(p, size); err != nil {
				return err
			}
			n, err := x.readFrom(p, -1)
			p.Close()
			if err == nil && n < 64<<10 {
				err = fmt.Errorf("only %d bytes of echo arrived", n)
			}
			return err
		}))
		j := rec.next(t, len(clients)-1)
		// Its output doesn't get away any more: it may be less than Flow.High.
		for before, same := 0, 0; same < 100; f.pass(t, j.stream) {
			now := j.stream.Pending()
			if same++; now == 0 || now != before {
				before, same = now, 0
			}
		}
		return j
	}
	// One by one …
	for _, listener := range []string{"main", "file"} {
		j := blockingEcho(listener)
		if err := j.stream.Shutdown(); err != nil {
			t.Error(err)
		}
		rec.released(t, j)
	}
	// … and all at the server's end.
	blockingEcho("main")
	blockingEcho("file")
	f.stop()
	for _, c := range clients {
		c.wait(t)
	}
}
