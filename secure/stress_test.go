package secure_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// text is what all send: the byte at an offset tells of the offset.
func text(at, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((at + i) * 7 >> 3)
	}
	return p
}

// crowd is an echo for those who come, and sends, ends its side and compares on the
// connections that it makes itself.
type crowd struct {
	server.BaseCallback
	t     *testing.T
	mine  sync.Map // of conn.Stream's ID: *exchange
	under sync.WaitGroup
	whole atomic.Int64 // exchanges
	asked atomic.Int64 // writes that aren't answered yet
}

// exchange is what a connection of our own has still to do, and has done. Its loop's own.
type exchange struct{ size, sent, got int }

func (d *crowd) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	if !c.Inbound() {
		x := &exchange{size: rand.IntN(100 << 10)}
		d.mine.Store(c.ID(), x)
		d.under.Add(1)
		d.send(c, x)
	}
	_ = c.Read()
}

// send sends what there's room for.
func (d *crowd) send(c *conn.Stream, x *exchange) {
	for x.sent < x.size {
		p := text(x.sent, min(x.size-x.sent, 1+rand.IntN(40_000)))
		if c.Send(p) != nil {
			return // OnWriteReady follows, or the end
		}
		x.sent += len(p)
		d.asked.Add(1)
	}
	_ = c.ShutdownSend()
}

func (d *crowd) OnWriteReady(c *conn.Stream) {
	if x, is := d.mine.Load(c.ID()); is {
		d.send(c, x.(*exchange))
	}
}

func (d *crowd) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	if x, is := d.mine.Load(c.ID()); is {
		x := x.(*exchange)
		if string(b.Bytes()) != string(text(x.got, b.Len())) {
			d.t.Errorf("the %d bytes at %d aren't what was sent", b.Len(), x.got)
		}
		x.got += b.Len()
	} else if c.Write(b) != nil {
		return
	} else {
		d.asked.Add(1)
	}
	_ = c.Read()
}

func (d *crowd) OnWriteCompleted(*conn.Stream, *buffers.Buffer) { d.asked.Add(-1) }

func (d *crowd) OnWriteCompletionError(*conn.Stream, *buffers.Buffer, error) { d.asked.Add(-1) }

func (d *crowd) OnConnectionClosure(c *conn.Stream, r conn.Reason) {
	if x, is := d.mine.LoadAndDelete(c.ID()); is {
		if x := x.(*exchange); x.got == x.size {
			d.whole.Add(1)
		} else if r == conn.ReasonPeerClosed {
			d.t.Errorf("a clean end after %d bytes of %d", x.got, x.size)
		}
		d.under.Done()
	}
}

// fragile is a net.Conn that is closed, or reset, when so many bytes were written.
type fragile struct {
	*net.TCPConn
	left  int
	reset bool
}

func (f *fragile) Write(p []byte) (int, error) {
	n, err := f.TCPConn.Write(p[:min(len(p), f.left)])
	if f.left -= n; f.left == 0 {
		if f.reset {
			_ = f.SetLinger(0)
		}
		_ = f.Close()
		return n, io.ErrClosedPipe
	}
	return n, err
}

// visit is one client of crypto/tls. One that breaks off does so at any point of the handshake
// or after it.
func visit(at string, roots *x509.CertPool, version uint16, breaks bool) error {
	raw, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	f := &fragile{TCPConn: raw.(*net.TCPConn), left: 1 << 30, reset: rand.IntN(2) == 0}
	if breaks {
		f.left = 1 + rand.IntN(4000)
	}
	c := tls.Client(f, &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: version})
	defer c.Close()
	size := rand.IntN(100<<10) * rand.IntN(5) / 4 // one in five has nothing to say
	var writing sync.WaitGroup
	writing.Go(func() {
		if c.Handshake() != nil {
			return
		}
		for off := 0; off < size; {
			n, err := c.Write(text(off, min(size-off, 1+rand.IntN(40_000))))
			if off += n; err != nil {
				return
			}
		}
		_ = c.CloseWrite() // which doesn't wait for a handshake, when there was nothing to write
	})
	got, err := io.ReadAll(c)
	writing.Wait()
	switch {
	case string(got) != string(text(0, len(got))):
		return fmt.Errorf("the %d bytes aren't what was sent", len(got))
	case !breaks && (err != nil || len(got) != size):
		return fmt.Errorf("%d bytes of %d, %w", len(got), size, err)
	}
	return nil
}

// faults.md, TLS: whatever clients do, and whenever they break off, everybody gets his own bytes
// and everything is given back.
func TestCrowd(t *testing.T) {
	const clients, visits = 6, 20
	for version, name := range map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		t.Run(name, func(t *testing.T) {
			x, y, roots := pair(t)
			d := &crowd{t: t}
			memory := buffers.New(buffers.Config{})
			mux, err := conn.NewMux(conn.MuxConfig{Loops: 2, TurnBudget: 4 << 10, SlowCallback: -1, Logger: slog.New(slog.DiscardHandler)})
			must(t, err)
			srv, err := server.New(server.Config{
				Callback: d, Logger: slog.New(slog.DiscardHandler), Allocator: memory, Mux: mux,
				Flow:      conn.Flow{High: 4 << 10, Low: 1 << 10, MaxPending: 50 << 10},
				Timeouts:  conn.Timeouts{Handshake: time.Minute},
				Listeners: []server.Listener{{Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
			})
			must(t, err)
			must(t, srv.Start())
			at := srv.Addrs()["l"][0].String()
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					for k := range visits {
						breaks := k%2 == 1
						if i%2 == 0 {
							if err := visit(at, roots, version, breaks); err != nil {
								t.Errorf("client %d, visit %d: %v", i, k, err)
							}
							continue
						}
						ctx, cancel := context.WithCancel(t.Context())
						if breaks {
							go func() {
								for range rand.IntN(2000) {
									runtime.Gosched()
								}
								cancel()
							}()
						}
						c, err := srv.Connect(ctx, server.Target{Network: "tls", Address: at, ServerName: "localhost", TLS: y}, nil)
						cancel()
						if err == nil {
							c.Release()
						} else if !breaks {
							t.Errorf("client %d, visit %d: %v", i, k, err)
						}
					}
				})
			}
			all.Wait()
			d.under.Wait()
			if n := d.whole.Load(); n < clients/2*visits/2 {
				t.Errorf("%d exchanges are whole, of %d that nobody broke off", n, clients/2*visits/2)
			}
			must(t, srv.Shutdown(t.Context()))
			must(t, mux.Terminate())
			if n := d.asked.Load(); n != 0 {
				t.Errorf("%d writes were never answered", n)
			}
			if s := memory.Stats(); s.Outstanding != 0 || s.Misuses != 0 {
				t.Errorf("%d buffers with %d bytes weren't given back, %d misuses", s.Outstanding, s.InUse, s.Misuses)
			}
		})
	}
}
