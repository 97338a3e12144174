package server_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// This file holds what other frameworks get wrong: reference rows "Defects at those
// versions", in their order.

const large = 8 << 20

// echoing is the plainest handler.
func echoing() hooks {
	return hooks{
		established: func(c *conn.Stream) { c.Read() },
		read: func(c *conn.Stream, b *buffers.Buffer) {
			c.Write(b)
			c.Read()
		},
	}
}

// discarding reads and forgets.
func discarding() hooks {
	return hooks{
		established: func(c *conn.Stream) { c.Read() },
		read:        func(c *conn.Stream, _ *buffers.Buffer) { c.Read() },
	}
}

func roomy(c *server.Config) { c.Flow.MaxPending = 2 * large }

// pieces cuts n bytes of x into buffers of the given sizes, in turn.
func pieces(a *buffers.Allocator, x text, n int, sizes ...int) (all []*buffers.Buffer) {
	for off, i := 0, 0; off < n; i++ {
		b := a.Get(sizes[i%len(sizes)])
		for room := min(sizes[i%len(sizes)], n-off); room > 0; {
			p := x.at(off, room)
			b.Append(p)
			off += len(p)
			room -= len(p)
		}
		all = append(all, b)
	}
	return all
}

func releaseAll(bs []*buffers.Buffer) {
	for _, b := range bs {
		b.Release()
	}
}

// peers.md: nbio `writev`: a short write drops the later buffers; the queued part isn't
// counted.
func TestWritevShortWriteKeepsLaterBuffers(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		x := newText(1)
		var order []int
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.AddRef() },
			written:     func(_ *conn.Stream, b *buffers.Buffer) { order = append(order, b.UserData().(int)) },
		})
		f := start(t, network, rec, tracked, roomy)
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		bs := pieces(f.alloc, x, large, 1, 4096, 300_000, 17, 65_536)
		for i, b := range bs {
			b.SetUserData(i)
		}
		if err := j.stream.Writev(bs...); err != nil {
			t.Fatal(err)
		}
		releaseAll(bs)

		// What's queued was counted at once: what would pass the bound is refused now.
		pending := j.stream.Pending()
		if pending < large/4 {
			t.Errorf("%d bytes pending right after writing %d to a peer that doesn't read", pending, large)
		}
		tooMuch := f.alloc.Get(2*large - pending + large)
		tooMuch.Reserve(tooMuch.Cap())
		tooMuch.Commit(tooMuch.Cap())
		if err := j.stream.Write(tooMuch); !errors.Is(err, conn.ErrOutputFull) {
			t.Errorf("Write beyond MaxPending: %v", err)
		}
		tooMuch.Release()

		j.stream.Release()
		if n, err := x.readFrom(p, -1); err != nil || n != large {
			t.Fatalf("received %d of %d bytes: %v", n, large, err)
		}
		p.Close()
		rec.released(t, j)
		if len(order) != len(bs) || !slices.IsSorted(order) {
			t.Errorf("%d completions for %d buffers; in order: %v", len(order), len(bs), slices.IsSorted(order))
		}
	})
}

// peers.md: nbio `write`: a Unix-domain Write(8 MiB) returned full, 219,264 bytes arrived.
func TestWriteArrivesWhole(t *testing.T) {
	x := newText(2)
	whole := x.bytes(large)
	ways := map[string]func(c *conn.Stream, a *buffers.Allocator) error{
		"Write": func(c *conn.Stream, a *buffers.Allocator) error {
			b := a.Copy(whole)
			defer b.Release()
			return c.Write(b)
		},
		"Send": func(c *conn.Stream, _ *buffers.Allocator) error { return c.Send(whole) },
	}
	for name, way := range ways {
		for _, where := range []string{"callback", "goroutine"} {
			t.Run(name+"/"+where, func(t *testing.T) {
				each(t, func(t *testing.T, network string) {
					var rec *recorder
					rec = newRecorder(hooks{established: func(c *conn.Stream) {
						if where == "goroutine" {
							c.AddRef()
						} else if err := way(c, rec.alloc); err != nil {
							t.Error(err)
						}
					}})
					f := start(t, network, rec, roomy)
					p := f.dial()
					if where == "goroutine" {
						c := rec.next(t, 0).stream
						if err := way(c, rec.alloc); err != nil {
							t.Error(err)
						}
						c.Release()
					}
					if n, err := x.readFrom(p, -1); err != nil || n != large {
						t.Fatalf("received %d of %d bytes: %v", n, large, err)
					}
				})
			})
		}
	}
}

// peers.md: nbio `readWriteLoop`: a peer sent 2 MiB and closed, 684,005 arrived.
func TestPeerThatSendsAndClosesIsReadWhole(t *testing.T) {
	const size = 2 << 20
	each(t, func(t *testing.T, network string) {
		x := newText(3)
		stalled := make(chan struct{})
		got, reads := 0, 0
		rec := newRecorder(hooks{
			established: func(c *conn.Stream) { c.Read() },
			read: func(c *conn.Stream, b *buffers.Buffer) {
				if reads++; reads == 2 {
					<-stalled
				}
				if err := x.verify(got, b.Bytes()); err != nil {
					t.Error(err)
				}
				got += b.Len()
				c.Read()
			},
		})
		f := start(t, network, rec, loops(t, 1))
		p := f.dial()
		p.write(x.at(0, 10))
		rec.seen(t, rec.next(t, 0), cbRead, 1)
		off := 10 + p.push(func(off int) []byte { return x.at(10+off, min(32<<10, size-10-off)) })
		if off < size { // the kernel didn't take it all while the handler stalls
			close(stalled)
			for off < size {
				n, err := p.Write(x.at(off, min(size-off, 64<<10)))
				if err != nil {
					t.Fatal(err)
				}
				off += n
			}
			p.Close()
		} else {
			p.Close()
			close(stalled)
		}
		j := rec.released(t, rec.next(t, 0))
		if got != size {
			t.Errorf("%d of %d bytes arrived", got, size)
		}
		if j.count[cbClientClose] != 1 || j.reason != conn.ReasonPeerClosed {
			t.Errorf("ended with %v, %v", j.reason, j.count)
		}
	})
}

// peers.md: gnet `conn.write`: a stale write went to another socket after the descriptor
// was reused.
func TestStaleCallsNeverReachAnotherConnection(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		var mu sync.Mutex
		var fds []int
		rec := newRecorder(hooks{
			created: func(fd int) {
				mu.Lock()
				defer mu.Unlock()
				fds = append(fds, fd)
			},
			established: func(c *conn.Stream) {
				c.AddRef()
				c.Read()
			},
			read: func(c *conn.Stream, b *buffers.Buffer) {
				c.Write(b)
				c.Read()
			},
			clientClose: func(c *conn.Stream) { c.Abort(nil) },
		})
		f := start(t, network, rec)
		reused := 0
		for i := range 20 {
			p := f.dial()
			j := rec.next(t, i)
			p.echo("first")
			if i > 0 {
				mu.Lock()
				if fds[i] == fds[i-1] {
					reused++
				}
				mu.Unlock()
				f.useDead(rec.next(t, i-1).stream)
				p.echo("mine")
			}
			p.Close()
			rec.ended(t, j)
		}
		rec.next(t, 19).stream.Release()
		if reused == 0 {
			t.Error("no descriptor was ever reused, so this has shown nothing")
		}
	})
}

// useDead calls everything on a connection that has ended, and gives its reference back.
func (f *fixture) useDead(c *conn.Stream) {
	f.t.Helper()
	b := f.alloc.Copy([]byte("stale"))
	defer b.Release()
	_, raw := c.SyscallConn()
	_, mark := c.AtMark()
	for what, err := range map[string]error{
		"Send": c.Send([]byte("stale")), "Write": c.Write(b), "Writev": c.Writev(b, b), "SendOOB": c.SendOOB('s'),
		"Read": c.Read(), "ReadFull": c.ReadFull(1), "Shutdown": c.Shutdown(), "ShutdownSend": c.ShutdownSend(),
		"Post": c.Post(func(*conn.Stream) { f.t.Error("a post to a dead connection ran") }), "SyscallConn": raw, "AtMark": mark,
	} {
		if !errors.Is(err, conn.ErrClosed) {
			f.t.Errorf("%s after the end: %v", what, err)
		}
	}
	c.Abort(nil)
	c.SetFlow(conn.Flow{High: 1})
	c.SetTimeouts(conn.Timeouts{Idle: 1, Write: 1, Linger: 1})
	c.SetReadGate(c)
	if n := c.Pending(); n != 0 {
		f.t.Errorf("%d bytes pending after the end", n)
	}
	c.Release()
}

// peers.md: gnet `el.close` stops flushing at EAGAIN: truncates pending output.
func TestClosingDoesNotTruncateOutput(t *testing.T) {
	const size = 4 << 20
	x := newText(5)
	whole := x.bytes(size)
	ends := map[string]func(c *conn.Stream){
		"Shutdown":     func(c *conn.Stream) { _ = c.Shutdown() },
		"ShutdownSend": func(c *conn.Stream) { _ = c.ShutdownSend() },
		"unreferenced": func(*conn.Stream) {},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				rec := newRecorder(hooks{established: func(c *conn.Stream) {
					if err := c.Send(whole); err != nil {
						t.Error(err)
					}
					end(c)
				}})
				f := start(t, network, rec, roomy)
				p := f.dial(smallReceive)
				rec.next(t, 0)
				if n, err := x.readFrom(p, -1); err != nil || n != size {
					t.Fatalf("received %d of %d bytes: %v", n, size, err)
				}
			})
		})
	}
}

// peers.md: evio: with output blocked and input readable, 307 ms CPU per 300 ms idle.
func TestBlockedOutputWithReadableInputDoesNotSpin(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, loops(t, 1), timeouts(conn.Timeouts{Linger: -1}))
		x := newText(7)
		p := f.dial(smallReceive)
		j := rec.next(t, 0)
		// Until the server neither gets rid of its output nor reads.
		for stuck := 0; stuck < 3; f.settle(t) {
			switch {
			case p.push(func(off int) []byte { return x.at(off, 64<<10) }) > 0:
				stuck = 0
			case j.stream.Pending() > 0:
				stuck++
			}
		}

		// The same loop now serves another connection; what it dispatches is that.
		const trips = 200
		q := f.dial()
		q.echo("ready")
		before := f.dispatches()
		for range trips {
			q.echo("ping")
		}
		if n := f.dispatches() - before; n > 4*trips {
			t.Errorf("%d dispatches for %d round trips beside a blocked connection", n, trips)
		}
	})
}

// settle passes through every loop a few times: what was ready has been dispatched.
func (f *fixture) settle(t *testing.T) {
	t.Helper()
	for range 3 {
		q := f.dial()
		q.echo("?")
		q.Close()
	}
}

// peers.md: nbio publishes the connection after OnOpen: closing inside OnOpen can race.
func TestClosingInsideEstablished(t *testing.T) {
	ends := []struct {
		name   string
		end    func(c *conn.Stream)
		reason conn.Reason
	}{
		{"Shutdown", func(c *conn.Stream) { _ = c.Shutdown() }, conn.ReasonLocalShutdown},
		{"Abort", func(c *conn.Stream) { c.Abort(nil) }, conn.ReasonLocalAbort},
		{"Abort twice", func(c *conn.Stream) { c.Abort(nil); c.Abort(io.EOF) }, conn.ReasonLocalAbort},
		{"Shutdown and Abort", func(c *conn.Stream) { _ = c.Shutdown(); c.Abort(nil) }, conn.ReasonLocalAbort},
		{"nothing", func(*conn.Stream) {}, conn.ReasonUnreferenced},
		{"ShutdownSend", func(c *conn.Stream) { _ = c.ShutdownSend() }, conn.ReasonUnreferenced},
		{"Read and Shutdown", func(c *conn.Stream) { c.Read(); _ = c.Shutdown() }, conn.ReasonLocalShutdown},
		{"AddRef, Release", func(c *conn.Stream) { c.AddRef().Release() }, conn.ReasonUnreferenced},
	}
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				rec := newRecorder(hooks{established: e.end})
				f := start(t, network, rec)
				for i := range 20 {
					p, err := tryDial(t, network, f.addr)
					if err == nil {
						_, err = p.Read(make([]byte, 1))
						p.Close()
					}
					if e.reason != conn.ReasonLocalAbort && !errors.Is(err, io.EOF) {
						t.Errorf("client: %v", err)
					}
					j := rec.released(t, rec.next(t, i))
					if j.reason != e.reason {
						t.Errorf("ended with %v, want %v", j.reason, e.reason)
					}
				}
			})
		})
	}
}

// peers.md: nbio hides 492 functions from the race detector; netpoll swaps a type under -race.
func TestRaceDetectorSeesWhatRuns(t *testing.T) {
	root := ".."
	tag := regexp.MustCompile(`(?m)^//go:build .*\brace\b`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && rel != ".", rel == "bin":
			return fs.SkipDir
		case d.IsDir(), !strings.HasSuffix(rel, ".go"), strings.HasSuffix(rel, "_test.go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(src), "//go:"+"norace") {
			t.Errorf("%s hides from the race detector", rel)
		}
		if tag.Match(src) && rel != "internal/sys/race.go" && rel != "internal/sys/norace.go" {
			t.Errorf("%s is built differently with the race detector", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
