package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// peer is a client's end of a connection. Everything on it ends, at the latest, with
// the fail-safe.
type peer struct {
	net.Conn
	t testing.TB
}

// dial connects a client; options are set on its socket before that.
func (f *fixture) dial(options ...func(fd int) error) *peer {
	f.t.Helper()
	return dial(f.t, f.network, f.addr, options...)
}

func dial(t testing.TB, network, addr string, options ...func(fd int) error) *peer {
	t.Helper()
	p, err := tryDial(t, network, addr, options...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tryDial is dial where the server may reset the connection before it's seen.
func tryDial(t testing.TB, network, addr string, options ...func(fd int) error) (*peer, error) {
	d := net.Dialer{Timeout: failSafe, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) {
			for _, o := range options {
				err = errors.Join(err, o(int(fd)))
			}
		})
		return errors.Join(err, cerr)
	}}
	c, err := d.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return &peer{Conn: c, t: t}, c.SetDeadline(time.Now().Add(failSafe))
}

// smallReceive and mediumSend bound a socket's buffers.
func smallReceive(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10)
}

func mediumSend(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10)
}

// half is the part of TCP and Unix connections that closes one direction.
type half interface {
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatalf("client write: %v", err)
	}
}

func (p *peer) writeString(s string) {
	p.t.Helper()
	p.write([]byte(s))
}

// expect reads exactly what's wanted.
func (p *peer) expect(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p, got); err != nil || string(got) != want {
		p.t.Fatalf("client read %q, %v; want %q", got[:n], err, want)
	}
}

// readAll reads to the end of the stream.
func (p *peer) readAll() []byte {
	p.t.Helper()
	b, err := io.ReadAll(p)
	if err != nil {
		p.t.Fatalf("client read after %d bytes: %v", len(b), err)
	}
	return b
}

func (p *peer) closeWrite() {
	p.t.Helper()
	if err := p.Conn.(half).CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
}

// reset ends a TCP connection with RST.
func (p *peer) reset() {
	p.t.Helper()
	if err := p.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		p.t.Fatal(err)
	}
	p.Close()
}

// control runs f on the descriptor.
func (p *peer) control(f func(fd int) error) {
	p.t.Helper()
	raw, err := p.Conn.(half).SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var ferr error
	if err := errors.Join(raw.Control(func(fd uintptr) { ferr = f(int(fd)) }), ferr); err != nil {
		p.t.Fatal(err)
	}
}

// sendOOB sends an out-of-band byte.
func (p *peer) sendOOB(b byte) {
	p.t.Helper()
	p.control(func(fd int) error { return unix.Send(fd, []byte{b}, unix.MSG_OOB|unix.MSG_DONTWAIT) })
}

// echo makes one round trip.
func (p *peer) echo(s string) {
	p.t.Helper()
	p.writeString(s)
	p.expect(s)
}

// push writes what next gives, without waiting, until there is no more room or nothing
// more, and returns how much.
func (p *peer) push(next func(off int) []byte) int {
	p.t.Helper()
	off := 0
	p.control(func(fd int) error {
		for {
			b := next(off)
			if len(b) == 0 {
				return nil
			}
			n, err := unix.Write(fd, b)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return nil
			case errors.Is(err, unix.EINTR):
			case err != nil:
				return err
			default:
				off += n
			}
		}
	})
	return off
}

// text is a long, known sequence of bytes: two pieces of it that are lost, doubled or
// exchanged show.
type text []byte

const textPeriod = 1<<20 - 3

func newText(seed uint64) text {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	x := make(text, textPeriod)
	_, _ = rand.NewChaCha8(key).Read(x)
	return x
}

// at returns at most n bytes from offset off.
func (x text) at(off, n int) []byte {
	p := x[off%textPeriod:]
	return p[:min(n, len(p))]
}

// bytes returns exactly n bytes from the start.
func (x text) bytes(n int) []byte {
	p := make([]byte, 0, n)
	for len(p) < n {
		p = append(p, x.at(len(p), n-len(p))...)
	}
	return p
}

// verify fails if p isn't what stands at off.
func (x text) verify(off int, p []byte) error {
	for len(p) > 0 {
		want := x.at(off, len(p))
		if !bytes.Equal(p[:len(want)], want) {
			for i := range want {
				if p[i] != want[i] {
					return fmt.Errorf("byte %d is wrong", off+i)
				}
			}
		}
		off += len(want)
		p = p[len(want):]
	}
	return nil
}

// writeTo writes the first n bytes.
func (x text) writeTo(w io.Writer, n int) error {
	for off := 0; off < n; {
		m, err := w.Write(x.at(off, min(n-off, 256<<10)))
		if off += m; err != nil {
			return fmt.Errorf("write after %d bytes: %w", off, err)
		}
	}
	return nil
}

// readFrom reads n bytes, or with n < 0 until the end, verifies them and returns how many
// there were.
func (x text) readFrom(r io.Reader, n int) (int, error) {
	p := make([]byte, 64<<10)
	off := 0
	for n < 0 || off < n {
		room := len(p)
		if n >= 0 {
			room = min(room, n-off)
		}
		m, err := r.Read(p[:room])
		if verr := x.verify(off, p[:m]); verr != nil {
			return off, verr
		}
		off += m
		if errors.Is(err, io.EOF) && n < 0 {
			return off, nil
		}
		if err != nil {
			return off, fmt.Errorf("read after %d bytes: %w", off, err)
		}
	}
	return off, nil
}
