package server_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: never loses or reorders an accepted byte: whatever the settings, a half-closing
// client gets all of its echo.
func TestEchoUnderAllSettings(t *testing.T) {
	const size = 200_000
	x := newText(110)
	flows := map[string]conn.Flow{"": {}, "tiny flow, ": {High: 1, Low: 1, MaxPending: 300_000}, "own gate, ": {High: 5000, Low: 1}}
	asks := map[string]func(*conn.Stream){
		"ReadFull":      func(c *conn.Stream) { _ = c.ReadFull(5000) },
		"several Reads": func(c *conn.Stream) { c.Read(); _ = c.ReadFull(1); c.Read() },
	}
	for _, budget := range []int{0, 1} {
		for _, completions := range []bool{false, true} {
			for _, session := range []bool{false, true} {
				for flowName, fl := range flows {
					for askName, ask := range asks {
						name := fmt.Sprintf("budget %d, completions %v, session %v, %s%s", budget, completions, session, flowName, askName)
						t.Run(name, func(t *testing.T) {
							each(t, func(t *testing.T, network string) {
								pending := 0 // reads that aren't answered yet
								again := func(c *conn.Stream) {
									if pending == 0 {
										ask(c)
										if pending = 1; askName == "several Reads" {
											pending = 3
										}
									}
								}
								rec := newRecorder(hooks{
									established: func(c *conn.Stream) {
										if flowName == "own gate, " {
											c.SetReadGate(c)
										}
										again(c)
									},
									read: func(c *conn.Stream, b *buffers.Buffer) {
										if err := c.Write(b); err != nil {
											t.Errorf("Write with %d bytes pending: %v", c.Pending(), err)
										}
										pending--
										again(c)
									},
								})
								f := start(t, network, rec, tight, flow(fl), loops(t, 1, func(m *conn.MuxConfig) { m.TurnBudget = budget }), func(c *server.Config) {
									if completions {
										tracked(c)
									}
									if session {
										sessions(&xorSessions{oneEach: true})(c)
									}
								})
								if !session {
									p := f.dial(smallReceive)
									writing := spawn("writing", func() error { return writeAndEnd(x, p, size) })
									if err := readWhole(x, p, size); err != nil {
										t.Errorf("%v\n%s", err, rec.dump())
									}
									writing.wait(t)
									return
								}
								p := f.dial(smallReceive).greet('~')
								writing := spawn("writing", func() error { return errors.Join(x.writeTo(p, size), p.end()) })
								if n, err := x.readFrom(p.reader(), -1); err != nil || n != size {
									t.Errorf("%d of %d bytes came back: %v\n%s", n, size, err, rec.dump())
								}
								writing.wait(t)
							})
						})
					}
				}
			}
		}
	}
}

// DESIGN: ShutdownSend half-closes: the peer can go on sending, and is read.
func TestShutdownSendGoesOnReading(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(discarding())
		rec.do.established = func(c *conn.Stream) {
			c.AddRef()
			c.Send([]byte("last words")) //nolint:errcheck // the client sees it
			_ = c.ShutdownSend()
			c.Read()
		}
		rec.keep = true
		f := start(t, network, rec)
		p := f.dial()
		if got := string(p.readAll()); got != "last words" {
			t.Errorf("the client read %q", got)
		}
		j := rec.next(t, 0)
		b := f.alloc.Copy([]byte("more"))
		for what, err := range map[string]error{
			"Send": j.stream.Send([]byte("more")), "Write": j.stream.Write(b), "Writev": j.stream.Writev(b), "SendOOB": j.stream.SendOOB('!'),
		} {
			if !errors.Is(err, conn.ErrWriteClosed) {
				t.Errorf("%s after ShutdownSend: %v", what, err)
			}
		}
		b.Release()
		if err := j.stream.ShutdownSend(); err != nil {
			t.Errorf("a second ShutdownSend: %v", err)
		}
		p.writeString("the client's part")
		p.closeWrite()
		got := rec.ended(t, j)
		j.stream.Release()
		rec.released(t, j)
		if string(got.data) != "the client's part" || got.reason != conn.ReasonPeerClosed {
			t.Errorf("read %q, ended with %v", got.data, got.reason)
		}
	})
}

// DESIGN: Shutdown, a second time, changes nothing; ShutdownSend is too late then, and
// Shutdown isn't after ShutdownSend.
func TestShutdownTwice(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) {
			c.AddRef()
			if err := errors.Join(c.ShutdownSend(), c.Shutdown(), c.Shutdown()); err != nil {
				t.Error(err)
			}
			if err := c.ShutdownSend(); !errors.Is(err, conn.ErrClosed) {
				t.Errorf("ShutdownSend after Shutdown: %v", err)
			}
			if err := c.Read(); !errors.Is(err, conn.ErrClosed) {
				t.Errorf("Read after Shutdown: %v", err)
			}
			if s := c.State(); s != conn.Draining {
				t.Errorf("state %v after Shutdown", s)
			}
		}})
		f := start(t, network, rec)
		p := f.dial()
		p.readAll()
		p.Close()
		j := rec.next(t, 0)
		if got := rec.ended(t, j); got.reason != conn.ReasonLocalShutdown {
			t.Errorf("ended with %v", got.reason)
		}
		j.stream.Release()
	})
}

// DESIGN: OnConnectionClientClose comes once, however many reads are pending.
func TestManyPendingReadsAndOneEnd(t *testing.T) {
	const reads = 5000
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) {
			for range reads {
				if err := c.ReadFull(2); err != nil {
					t.Fatal(err)
				}
			}
		}})
		f := start(t, network, rec)
		p := f.dial()
		p.write(make([]byte, 2*reads/2))
		p.closeWrite()
		j := rec.released(t, rec.next(t, 0))
		if j.count[cbRead] != reads/2 || j.count[cbClientClose] != 1 || j.count[cbReadError] != 0 {
			t.Errorf("ended with %v", j.count)
		}
		p.Close()
	})
}

// DESIGN: Write takes a reference of its own, on whatever allocator's buffer, as often as
// it's called; buffers of the connection's own reads too.
func TestOneBufferManyTimes(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		foreign := buffers.New(buffers.Config{Debug: true, Leaks: buffers.LeaksAll})
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.Read() }})
		rec.do.read = func(c *conn.Stream, b *buffers.Buffer) {
			o := foreign.Copy([]byte("-foreign-"))
			defer o.Release()
			s := b.Slice(1, 3)
			defer s.Release()
			if err := errors.Join(c.Write(b), c.Writev(o, s, o, b), c.Write(s), c.Send(b.Bytes()[:1])); err != nil {
				t.Error(err)
			}
		}
		f := start(t, network, rec, tracked)
		p := f.dial()
		p.writeString("read")
		if got := string(p.readAll()); got != "read-foreign-ea-foreign-readear" {
			t.Errorf("the client read %q", got)
		}
		p.Close()
		f.stop()
		mustBalance(t, foreign)
	})
}
