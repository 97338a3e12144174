package server_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: with SCM_RIGHTS on a Unix socket a short read leaves bytes behind and no further
// edge comes. And the descriptors that came along are nobody's: they're closed.
func TestAncillaryDataCutsNothingOff(t *testing.T) {
	for _, when := range []string{"before the read", "while reading"} {
		t.Run(when, func(t *testing.T) {
			sent := make(chan struct{})
			rec := newRecorder(discarding())
			rec.keep = true
			if when == "before the read" {
				rec.do.established = func(c *conn.Stream) {
					<-sent
					c.Read()
				}
			}
			f := start(t, "unix", rec, loops(t, 1))
			p := f.dial()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			for _, s := range []string{"aaaa", "bbbb", "cccc"} {
				p.control(func(fd int) error { return unix.Sendmsg(fd, []byte(s), unix.UnixRights(int(r.Fd())), nil, 0) })
				p.writeString("more")
			}
			close(sent)
			p.closeWrite()
			j := rec.released(t, rec.next(t, 0))
			if got := string(j.data); got != "aaaamorebbbbmoreccccmore" {
				t.Errorf("received %q", got)
			}
			// With the last copy of its other end a pipe is broken.
			r.Close()
			if _, err := w.WriteString("?"); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the descriptor is still open somewhere: %v", err)
			}
		})
	}
}

// DESIGN: a foreign Write during the last callback of a dispatch isn't forgotten.
func TestForeignWriteDuringTheLastCallback(t *testing.T) {
	const rounds = 1000
	ways := map[string]func(c *conn.Stream, b *buffers.Buffer) error{
		"Send":  func(c *conn.Stream, b *buffers.Buffer) error { return c.Send(b.Bytes()) },
		"Write": func(c *conn.Stream, b *buffers.Buffer) error { return c.Write(b) },
		"Post": func(c *conn.Stream, b *buffers.Buffer) error {
			text := string(b.Bytes())
			return c.Post(func(c *conn.Stream) { _ = c.Send([]byte(text)) })
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				type order struct {
					c *conn.Stream
					b *buffers.Buffer
				}
				orders := make(chan order)
				foreign := spawn("the other goroutine", func() error {
					var err error
					for o := range orders {
						err = errors.Join(err, way(o.c, o.b), o.c.Read())
						o.b.Release()
					}
					return err
				})
				rec := newRecorder(hooks{
					established: func(c *conn.Stream) {
						c.AddRef()
						c.Read()
					},
					// Unbuffered: the write happens as this callback returns.
					read: func(c *conn.Stream, b *buffers.Buffer) { orders <- order{c, b.AddRef()} },
				})
				f := start(t, network, rec)
				p := f.dial()
				for i := range rounds {
					p.echo(fmt.Sprintf("%04d", i))
				}
				rec.next(t, 0).stream.Release()
				p.Close()
				f.stop()
				close(orders)
				foreign.wait(t)
			})
		})
	}
}

// DESIGN: a kick after close does nothing; a last Release elsewhere only kicks.
func TestForeignCallsRaceWithClose(t *testing.T) {
	const connections, workers = 150, 4
	each(t, func(t *testing.T, network string) {
		work := make(chan *conn.Stream, connections*workers)
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) {
				c.Read()
				for range workers {
					work <- c.AddRef()
				}
			},
			read: func(c *conn.Stream, b *buffers.Buffer) {
				c.Write(b)
				c.Read()
			},
		})
		f := start(t, network, rec, tracked)
		var posted, ran atomic.Int64
		busy := make([]*job, workers)
		for i := range busy {
			busy[i] = spawn("a worker", func() error {
				for c := range work {
					f.useAsYouLike(c, func(*conn.Stream) { ran.Add(1) }, &posted)
					c.Release()
				}
				return nil
			})
		}
		for i := range connections {
			p, err := tryDial(t, network, f.addr)
			if err != nil {
				continue // reset at once
			}
			_, _ = p.Write([]byte("bytes"))
			if network == "tcp" && i%2 == 0 {
				p.reset()
			}
			p.Close()
		}
		rec.await(t, "the end of all connections", func() bool {
			n := 0
			for _, j := range rec.accepted {
				n += j.count[cbClosed]
			}
			return n == connections
		})
		close(work)
		for _, b := range busy {
			b.wait(t)
		}
		f.stop()
		if posted.Load() != ran.Load() {
			t.Errorf("%d functions were posted, %d ran", posted.Load(), ran.Load())
		}
	})
}

// useAsYouLike makes calls that may come too late.
func (f *fixture) useAsYouLike(c *conn.Stream, post func(*conn.Stream), posted *atomic.Int64) {
	b := f.alloc.Copy([]byte("late"))
	defer b.Release()
	calls := []func() error{
		func() error { return c.Send([]byte("late")) },
		func() error { return c.Write(b) },
		func() error {
			err := c.Post(post)
			if err == nil {
				posted.Add(1)
			}
			return err
		},
		c.Read,
		func() error { c.SetTimeouts(conn.Timeouts{Idle: failSafe}); return nil },
		func() error { c.AddRef().Release(); return nil },
		func() error { c.SetReadGate(c); return nil },
		c.Shutdown,
		func() error { c.Abort(nil); return nil },
	}
	for _, i := range rand.Perm(len(calls)) {
		switch err := calls[i](); {
		case err == nil, errors.Is(err, conn.ErrClosed), errors.Is(err, conn.ErrReadClosed):
		default:
			f.t.Errorf("call %d: %v", i, err)
		}
	}
}

// DESIGN: a task that re-posts itself starves every descriptor, elsewhere.
func TestSelfPostingStarvesNobody(t *testing.T) {
	const trips = 300
	var stop atomic.Bool
	t.Run("Mux.Post", func(t *testing.T) {
		stop.Store(false)
		rec := newRecorder(echoing())
		var mux *conn.Mux
		f := start(t, "tcp", rec, loops(t, 1), func(c *server.Config) { mux = c.Mux })
		ended := make(chan struct{})
		var again func()
		again = func() {
			if stop.Load() || mux.Post(again) != nil {
				close(ended)
			}
		}
		if err := mux.Post(again); err != nil {
			t.Fatal(err)
		}
		p := f.dial()
		for range trips {
			p.echo("ping")
		}
		stop.Store(true)
		receive(t, ended, "the last post")
	})
	for _, whose := range []string{"another's", "its own"} {
		t.Run("Stream.Post beside "+whose+" echo", func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				stop.Store(false)
				rec := newRecorder(echoing())
				f := start(t, network, rec, loops(t, 1))
				p := f.dial()
				ended := make(chan struct{})
				var again func(*conn.Stream)
				again = func(c *conn.Stream) {
					if stop.Load() || c.Post(again) != nil {
						close(ended)
					}
				}
				if err := rec.next(t, 0).stream.Post(again); err != nil {
					t.Fatal(err)
				}
				if whose == "another's" {
					p = f.dial()
				}
				defer receive(t, ended, "the last post")
				defer stop.Store(true)
				for range trips {
					p.echo("ping")
				}
			})
		})
	}
}

// faults.md: descriptor reuse: close/accept storm with payloads tagged by connection: zero
// cross-talk.
func TestStormOfConnections(t *testing.T) {
	const clients, cycles = 8, 120
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, production)
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				for k := range cycles {
					if err := f.stormOnce(fmt.Sprintf("client %d cycle %d;", i, k), k%4); err != nil {
						t.Errorf("client %d, cycle %d: %v", i, k, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// stormOnce makes a connection, checks that it's answered by its own bytes, and ends it in
// one of several ways.
func (f *fixture) stormOnce(tag string, way int) error {
	p, err := tryDial(f.t, f.network, f.addr)
	if err != nil {
		return err
	}
	defer p.Close()
	message := make([]byte, 0, 8192)
	for len(message) < 7000 {
		message = append(message, tag...)
	}
	if _, err := p.Write(message); err != nil {
		return err
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(p, got); err != nil {
		return err
	}
	if string(got) != string(message) {
		return fmt.Errorf("answered by %.60q", got)
	}
	switch way {
	case 0: // close, with the end of the echo unread
		_, err = p.Write(message)
	case 1: // half-close, and read the end
		if err = p.Conn.(half).CloseWrite(); err == nil {
			_, err = io.Copy(io.Discard, p)
		}
	case 2: // reset
		if c, ok := p.Conn.(*net.TCPConn); ok {
			err = c.SetLinger(0)
		}
	default: // close
	}
	return err
}
