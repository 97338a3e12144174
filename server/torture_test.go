package server_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// production has the server reuse memory as it does outside of tests.
func production(c *server.Config) {
	c.Allocator = buffers.New(buffers.Config{})
	c.Debug = false
}

// victimHooks echo, and end a connection now and then in one way or another.
func victimHooks() hooks {
	h := echoing()
	h.read = func(c *conn.Stream, b *buffers.Buffer) {
		if c.Write(b) != nil {
			return
		}
		switch {
		case rand.IntN(150) > 0:
			c.Read()
		case rand.IntN(2) == 0:
			_ = c.Shutdown()
		default:
			c.Abort(errors.New("now and then"))
		}
	}
	return h
}

// faults.md: "Lost" = bytes accepted by Write, connection reported cleanly closed, and the
// peer's hash differs. On faulted connections the receiver holds an exact prefix.
func TestFaultedConnectionsHoldAPrefix(t *testing.T) {
	const clients, cycles = 6, 40
	for _, completions := range []bool{false, true} {
		t.Run(fmt.Sprintf("completions %v", completions), func(t *testing.T) {
			each(t, func(t *testing.T, network string) {
				x := newText(120)
				rec := newRecorder(victimHooks().aside())
				f := start(t, network, rec, production, side, func(c *server.Config) {
					if completions {
						tracked(c)
					}
				})
				var wg sync.WaitGroup
				for i := range clients {
					wg.Go(func() {
						for k := range cycles {
							if err := f.tortureOnce(x, rand.IntN(textPeriod), rand.IntN(250_000), k%4); err != nil {
								t.Errorf("client %d, cycle %d: %v", i, k, err)
								return
							}
						}
					})
				}
				wg.Wait()
				// On the listener "side" nobody is harmed.
				b := f.bystander()
				b.echo("fine")
			})
		})
	}
}

// tortureOnce sends size bytes of x from offset at, reads what comes back in one of several
// ways, and checks that it's what was sent, as far as it goes.
func (f *fixture) tortureOnce(x text, at, size, way int) error {
	p, err := tryDial(f.t, f.network, f.addr)
	if err != nil {
		return err
	}
	defer p.Close()
	writing := spawn("writing", func() error {
		for off := 0; off < size; {
			n, err := p.Write(x.at(at+off, min(size-off, 1+rand.IntN(60_000))))
			if off += n; err != nil {
				break // the server has ended it
			}
		}
		if way < 3 {
			_ = p.Conn.(half).CloseWrite()
		}
		return nil
	})
	want := size
	if way == 1 || way == 2 {
		want = rand.IntN(size + 1)
	}
	off, buf := 0, make([]byte, 32<<10)
	for off < want {
		n, err := p.Read(buf[:min(len(buf), want-off)])
		if verr := x.verify(at+off, buf[:n]); verr != nil {
			return verr
		}
		if off += n; err != nil {
			break // a prefix
		}
	}
	switch way {
	case 0:
		if n, err := p.Read(buf); n > 0 && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%d bytes more than were sent", n)
		}
	case 1:
		if c, ok := p.Conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
	}
	p.Close()
	return <-writing.done
}
