package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// DESIGN: the Session seam: nothing is established before the handshake is over.
func TestSessionHandshakeComesFirst(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		x := &xorSessions{}
		h := echoing()
		rec := newRecorder(h.aside())
		f := start(t, network, rec, sessions(x), side, loops(t, 1))
		p := f.dial()
		p.writeString("SLU")
		f.settleSide()
		if n := f.established(); n != 0 {
			t.Error("established in the middle of the handshake")
		}
		p.writeString("ICE")
		p.write(append([]byte{'k'}, (&xorPeer{p, 'k'}).record([]byte("right behind"))...))
		p.expect(string(ack))
		q := &xorPeer{p, 'k'}
		got := make([]byte, len("right behind"))
		if _, err := io.ReadFull(q.reader(), got); err != nil || string(got) != "right behind" {
			t.Errorf("the echo is %q, %v", got, err)
		}
	})
}

// established is how many connections of the main listener have been established.
func (f *fixture) established() (n int) {
	f.rec.mu.Lock()
	defer f.rec.mu.Unlock()
	for _, j := range f.rec.accepted {
		if j.count[cbEstablished] > 0 && j.stream.Origin() == "main" {
			n++
		}
	}
	return n
}

// DESIGN: raw → session → callback, and back: byte-exact, in both directions, with a clean
// end of either side.
func TestSessionEcho(t *testing.T) {
	const size = 700_000
	for _, oneEach := range []bool{false, true} {
		t.Run(fmt.Sprintf("one record a call: %v", oneEach), func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				x := &xorSessions{oneEach: oneEach}
				rec := newRecorder(echoing())
				f := start(t, network, rec, sessions(x), tracked)
				p := f.dialSession(0x5A)
				text := newText(90)
				writing := spawn("writing", func() error { return errors.Join(text.writeTo(p, size), p.end()) })
				if n, err := text.readFrom(p.reader(), -1); err != nil || n != size {
					t.Fatalf("%d of %d bytes came back: %v", n, size, err)
				}
				writing.wait(t)
				p.Close()
				j := rec.released(t, rec.next(t, 0))
				if j.reason != conn.ReasonPeerClosed || j.count[cbClientClose] != 1 || j.count[cbWritten] != j.count[cbRead] {
					t.Errorf("ended with %v, %v", j.reason, j.count)
				}
				s := x.session(0)
				if s.aborted.Load() != 1 || s.ended.Load() != 1 {
					t.Errorf("Abort was called %d times, CloseWrite %d times", s.aborted.Load(), s.ended.Load())
				}
				f.stop()
				if st := f.mainStats(); st.ReceivedBytes != size || st.SentBytes != size {
					t.Errorf("counted %d bytes in and %d out, want %d: the application's", st.ReceivedBytes, st.SentBytes, size)
				}
			})
		})
	}
}

// DESIGN: io.EOF is the clean end, io.ErrUnexpectedEOF truncation: told apart. What was
// whole before it is delivered.
func TestSessionEnds(t *testing.T) {
	cases := []struct {
		name    string
		end     func(p *xorPeer) error
		reason  conn.Reason
		told    int
		network string
	}{
		{"end record, then FIN", func(p *xorPeer) error { err := p.end(); p.closeWrite(); return err }, conn.ReasonPeerClosed, 1, ""},
		{"end record only", func(p *xorPeer) error { return p.end() }, conn.ReasonPeerClosed, 1, ""},
		{"FIN only", func(p *xorPeer) error { p.closeWrite(); return nil }, conn.ReasonTruncated, 0, ""},
		{"half a record, then FIN", func(p *xorPeer) error {
			_, err := p.peer.Write([]byte{1, 0, 'x'})
			p.closeWrite()
			return err
		}, conn.ReasonTruncated, 0, ""},
		{"RST", func(p *xorPeer) error { p.reset(); return nil }, conn.ReasonReset, 0, "tcp"},
	}
	for _, oneEach := range []bool{false, true} {
		for _, tc := range cases {
			t.Run(fmt.Sprintf("%s, one record a call: %v", tc.name, oneEach), func(t *testing.T) {
				each(t, func(t *testing.T, network string) {
					if tc.network != "" && tc.network != network {
						return
					}
					sent := make(chan struct{})
					rec := newRecorder(hooks{
						established: func(c *conn.Stream) {
							<-sent
							c.Read()
						},
						read: func(c *conn.Stream, _ *buffers.Buffer) { c.Read() },
					})
					rec.keep = true
					f := start(t, network, rec, sessions(&xorSessions{oneEach: oneEach}), loops(t, 1))
					p := f.dial()
					p.writeString("SLUICE0")
					rec.arrived(t, 0)
					q := &xorPeer{p, '0'}
					var want []byte
					for i := range 20 {
						r := bytes.Repeat([]byte{byte(i)}, 10+i)
						want = append(want, r...)
						p.write(q.record(r))
					}
					if err := tc.end(q); err != nil {
						t.Fatal(err)
					}
					close(sent)
					j := rec.released(t, rec.next(t, 0))
					if !bytes.Equal(j.data, want) {
						t.Errorf("%d of %d bytes were delivered", len(j.data), len(want))
					}
					if j.reason != tc.reason || j.count[cbClientClose] != tc.told {
						t.Errorf("ended with %v, %v", j.reason, j.steps)
					}
					_, err := j.stream.Cause()
					if tc.reason == conn.ReasonTruncated && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("the cause is %v", err)
					}
				})
			})
		}
	}
}

// DESIGN: a connection whose session doesn't come about isn't established: it's released,
// and nothing else.
func TestSessionsThatFail(t *testing.T) {
	failure := errors.New("not today")
	cases := []struct {
		name   string
		x      *xorSessions
		hello  string
		answer string
		reason conn.Reason
	}{
		{"NewSession", &xorSessions{refuse: failure}, "SLUICE0", "", conn.ReasonHandshake},
		{"Start", &xorSessions{start: failure}, "SLUICE0", "", conn.ReasonHandshake},
		{"bad hello", &xorSessions{}, "GARBAGE", nak, conn.ReasonHandshake},
		{"hello cut short", &xorSessions{}, "SLU", "", conn.ReasonHandshake},
		{"no hello", &xorSessions{}, "", "", conn.ReasonHandshake},
		{"panic in Open", &xorSessions{panics: "Open"}, "SLUICE0", "", conn.ReasonHandshake},
		{"panic in Abort", &xorSessions{panics: "Abort"}, "GARBAGE", nak, conn.ReasonHandshake},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				h := echoing()
				rec := newRecorder(h.aside())
				f := start(t, network, rec, sessions(tc.x), side)
				b := f.bystander()
				b.echo("before")
				p, err := tryDial(t, network, f.addr)
				if err == nil {
					_, _ = p.Write([]byte(tc.hello))
					_ = p.Conn.(half).CloseWrite()
					got, _ := io.ReadAll(p)
					if len(got) > 0 && string(got) != tc.answer {
						t.Errorf("the answer is %q", got)
					}
					p.Close()
				}
				rec.await(t, "the connection's release", func() bool {
					return len(rec.accepted) == 2 && rec.accepted[1].count[cbReleased] == 1
				})
				if n := f.established(); n != 0 {
					t.Error("it was established")
				}
				for _, s := range tc.x.all {
					if n := s.aborted.Load(); n != 1 {
						t.Errorf("Abort was called %d times", n)
					}
				}
				b.echo("after")
				b.Close()
				f.stop()
				if st := f.mainStats(); st.Closed[tc.reason] != 1 {
					t.Errorf("counted as %v, want %v", st.Closed, tc.reason)
				}
			})
		})
	}
}

// DESIGN: a panic in a session, which a peer can bring about, ends its connection only.
func TestSessionThatPanicsLater(t *testing.T) {
	for _, where := range []string{"Seal", "CloseWrite"} {
		t.Run(where, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				h := hooks{established: func(c *conn.Stream) { c.Send([]byte("sealed")) }} //nolint:errcheck // it can't be
				rec := newRecorder(h.aside())
				f := start(t, network, rec, sessions(&xorSessions{panics: where}), side)
				b := f.bystander()
				b.echo("before")
				p := f.dial()
				p.writeString("SLUICE0")
				_, _ = io.Copy(io.Discard, p)
				p.Close()
				if j := rec.released(t, rec.next(t, 1)); j.reason != conn.ReasonSession {
					t.Errorf("ended with %v", j.reason)
				}
				b.echo("after")
			})
		})
	}
}

// DESIGN: sealing follows what the socket takes: what waits stays plaintext.
func TestSessionSealsWhatIsTaken(t *testing.T) {
	const size = 600 << 10
	each(t, func(t *testing.T, network string) {
		x := &xorSessions{}
		var order []int
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.AddRef() },
			written:     func(_ *conn.Stream, b *buffers.Buffer) { order = append(order, b.UserData().(int)) },
		})
		f := start(t, network, rec, sessions(x), tracked, tight)
		p := f.dial(smallReceive).greet('k')
		j := rec.next(t, 0)
		text := newText(91)
		bs := pieces(f.alloc, text, size, 30_000)
		for i, b := range bs {
			b.SetUserData(i)
			if err := j.stream.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		releaseAll(bs)
		rec.seen(t, j, cbBlocked, 1)
		f.pass(t, j.stream)
		pending, sealed := j.stream.Pending(), int(x.session(0).sealed.Load())
		if pending+sealed < size || sealed > size-pending || pending < size/3 {
			t.Errorf("%d bytes pending and %d sealed of %d", pending, sealed, size)
		}
		j.stream.Release()
		if n, err := text.readFrom(p.reader(), -1); err != nil || n != size {
			t.Errorf("%d of %d bytes came: %v", n, size, err)
		}
		p.Close()
		rec.released(t, j)
		if fmt.Sprint(order) != fmt.Sprint(sequence(len(bs))) {
			t.Errorf("completions %v", order)
		}
	})
}

func sequence(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// DESIGN: what wasn't sent through a session is reported, once for each write.
func TestSessionReportsUnsentWrites(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(hooks{established: func(c *conn.Stream) { c.AddRef() }})
		f := start(t, network, rec, sessions(&xorSessions{}), tracked, tight)
		p := f.dial(smallReceive).greet('k')
		j := rec.next(t, 0)
		const writes = 30
		for range writes {
			if err := j.stream.Send(make([]byte, 20_000)); err != nil {
				t.Fatal(err)
			}
		}
		rec.seen(t, j, cbBlocked, 1)
		j.stream.Abort(nil)
		rec.ended(t, j)
		j.stream.Release()
		p.Close()
		got := rec.released(t, j)
		if n := got.count[cbWritten] + got.count[cbWriteError]; n != writes || got.count[cbWriteError] == 0 {
			t.Errorf("%d writes, %v", writes, got.count)
		}
	})
}

// DESIGN: a handshake may wait for a goroutine; meanwhile application writes queue as
// plaintext, and the loop does nothing for it.
func TestSessionHandshakeOnAGoroutine(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		x := &xorSessions{slowly: true}
		h := echoing()
		rec := newRecorder(h.aside())
		f := start(t, network, rec, sessions(x), side, loops(t, 1))
		p := f.dial()
		p.writeString("SLUICEk")
		f.settleSide()
		var c *conn.Stream
		for s := range f.srv.Connections() {
			if s.Origin() == "main" {
				c = s.AddRef()
			}
		}
		if c == nil {
			t.Fatal("the connection isn't among the server's")
		}
		if err := c.Send([]byte("early")); err != nil {
			t.Errorf("Send during the handshake: %v", err)
		}
		if err := c.Post(func(*conn.Stream) {}); err != nil && !errors.Is(err, conn.ErrMode) {
			t.Errorf("Post during the handshake: %v", err)
		}
		before := f.dispatches()
		for range 5 {
			f.settleSide()
		}
		if n := f.dispatches() - before; n > 150 {
			t.Errorf("%d dispatches while a handshake waited", n)
		}
		if n := f.established(); n != 0 {
			t.Error("established before the handshake was over")
		}
		close(x.session(0).release)
		p.expect(string(ack))
		q := &xorPeer{p, 'k'}
		got := make([]byte, 5)
		if _, err := io.ReadFull(q.reader(), got); err != nil || string(got) != "early" {
			t.Errorf("read %q, %v", got, err)
		}
		c.Release()
	})
}

// DESIGN: a stalled handshake doesn't keep a server from ending, nor a session's Wake come
// too late.
func TestSessionWakeAfterTheEnd(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		x := &xorSessions{slowly: true}
		h := echoing()
		rec := newRecorder(h.aside())
		f := start(t, network, rec, sessions(x), side, timeouts(conn.Timeouts{Linger: 50 * time.Millisecond}))
		p := f.dial()
		p.writeString("SLUICEk")
		f.settleSide()
		if n := f.srv.AbortAllConnections(); n == 0 {
			t.Error("nothing was aborted")
		}
		rec.await(t, "the release", func() bool {
			for _, j := range rec.accepted {
				if j.count[cbEstablished] == 0 && j.count[cbReleased] == 1 {
					return true
				}
			}
			return false
		})
		close(x.session(0).release)
		p.Close()
	})
}

// DESIGN: Shutdown of a server sends the session's end, then the socket's.
func TestSessionShutdown(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, sessions(&xorSessions{}))
		p := f.dialSession('k')
		if err := rec.next(t, 0).stream.Shutdown(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(p.reader()); err != nil || len(got) != 0 {
			t.Errorf("the client read %q, %v", got, err)
		}
		p.Close()
		if j := rec.released(t, rec.next(t, 0)); j.reason != conn.ReasonLocalShutdown {
			t.Errorf("ended with %v", j.reason)
		}
	})
}
