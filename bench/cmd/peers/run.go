//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-net/sluice/bench/internal/process"
)

const (
	rowLimit  = 30 * time.Second // for a row with one server, whatever happens
	blocked   = time.Second      // nothing could be sent for so long: it's stuck
	lost      = 3 * time.Second  // nothing has come for so long: nothing will
	patience  = 5 * time.Second  // for everything else that must happen
	pollTime  = 10 * time.Millisecond
	lateStart = 300 * time.Millisecond // of a slow reader
)

// A verdict is what a row says of a server.
type verdict int

const (
	passes verdict = iota
	fails
	absent // there's nothing to ask for
)

// A cell is a row's verdict on a server.
type cell struct {
	verdict verdict
	text    string
	better  bool // passes, where peers.md says otherwise
}

func (c cell) String() string { return [...]string{"✓ ", "✗ ", "– "}[c.verdict] + c.text }

func pass(format string, args ...any) cell {
	return cell{verdict: passes, text: fmt.Sprintf(format, args...)}
}

func fail(format string, args ...any) cell {
	return cell{verdict: fails, text: fmt.Sprintf(format, args...)}
}

// judge starts the server in the row's role, and asks.
func (r row) judge(ctx context.Context, name string) cell {
	if why, ok := r.skip[name]; ok {
		return cell{verdict: absent, text: why}
	}
	ctx, cancel := context.WithTimeout(ctx, rowLimit)
	defer cancel()
	s, err := start(ctx, name, r.role, r.network)
	if err != nil {
		return fail("doesn't start: %v", err)
	}
	defer s.end()
	c := r.ask(s)
	c.better = c.verdict == passes && strings.Contains(r.defects, name)
	return c
}

// A subject is a server that's being asked.
type subject struct {
	ctx           context.Context
	process       *process.Process
	network, addr string
	folder        string // for a Unix-domain socket
	conns         []net.Conn
}

func start(ctx context.Context, name, role, network string) (s *subject, err error) {
	s = &subject{ctx: ctx, network: network}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	if err := s.choose(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.process, err = process.Start(ctx, []string{self, serveCommand, name, role, s.network, s.addr}, nil, process.AnyCPU)
	if err != nil {
		return nil, err
	}
	for limit := time.Now().Add(patience); ; {
		if c, err := net.Dial(s.network, s.addr); err == nil {
			return s, c.Close()
		}
		if !s.alive() || time.Now().After(limit) {
			return s, errors.New(s.process.Output())
		}
		s.pause(pollTime)
	}
}

// choose finds an address that's free. Its IP address is its own, as servers may be asked at
// the same time: a port that's free for one is so for another.
func (s *subject) choose() (err error) {
	if s.network == "unix" {
		s.folder, err = os.MkdirTemp("", "peers-")
		s.addr = filepath.Join(s.folder, "s")
		return err
	}
	s.network = "tcp"
	n := rand.Uint32()
	ip := netip.AddrFrom4([4]byte{127, byte(1 + n>>16%250), byte(n >> 8), byte(n)})
	l, err := net.Listen("tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return err
	}
	s.addr = l.Addr().String()
	return l.Close()
}

func (s *subject) end() {
	for _, c := range s.conns {
		_ = c.Close()
	}
	if s.process != nil {
		s.process.Kill()
	}
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
	}
}

func (s *subject) alive() bool {
	select {
	case <-s.process.Exited():
		return false
	default:
		return true
	}
}

// pause returns early when the row's time is over.
func (s *subject) pause(d time.Duration) {
	select {
	case <-s.ctx.Done():
	case <-time.After(d):
	}
}

// dial connects; the connection ends with the row at the latest. An error is one of the
// machine, or the server has gone: what's asked of the connection then fails, too.
func (s *subject) dial() net.Conn {
	c, err := net.Dial(s.network, s.addr)
	if err != nil {
		return gone{err}
	}
	s.conns = append(s.conns, c)
	return c
}

// gone is a connection that couldn't be made.
type gone struct{ err error }

func (g gone) Read([]byte) (int, error)         { return 0, g.err }
func (g gone) Write([]byte) (int, error)        { return 0, g.err }
func (g gone) Close() error                     { return nil }
func (g gone) LocalAddr() net.Addr              { return nil }
func (g gone) RemoteAddr() net.Addr             { return nil }
func (g gone) SetDeadline(time.Time) error      { return g.err }
func (g gone) SetReadDeadline(time.Time) error  { return g.err }
func (g gone) SetWriteDeadline(time.Time) error { return g.err }

// said waits for a line that begins like that, and returns its rest.
func (s *subject) said(what string) (rest string, ok bool) {
	for limit := time.Now().Add(patience); ; s.pause(pollTime) {
		gone := !s.alive() // before its last words are read
		for text := range strings.Lines(s.process.Output()) {
			if rest, ok := strings.CutPrefix(text, what+": "); ok {
				return strings.TrimSpace(rest), true
			}
		}
		if gone || s.ctx.Err() != nil || time.Now().After(limit) {
			return "", false
		}
	}
}

// resident is what the server has in memory, or 0 of one that has gone.
func (s *subject) resident() uint64 {
	m, _ := process.ReadMemory(s.process.PID())
	return m.Resident
}

// busy is the share of a processor that the server uses while nothing is asked of it.
func (s *subject) busy() float64 {
	before, err := process.CPUTime(s.process.PID())
	began := time.Now()
	s.pause(lateStart)
	after, errAfter := process.CPUTime(s.process.PID())
	if err != nil || errAfter != nil {
		return 0
	}
	return float64(after-before) / float64(time.Since(began))
}

// send writes, for as long as patience lasts.
func send(c net.Conn, p []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.Write(p)
	return err
}

// push writes until all of n has gone or nothing goes any more, and returns how much went.
func push(c net.Conn, n int) (sent int) {
	p := content(chunk)
	for sent < n {
		if err := c.SetWriteDeadline(time.Now().Add(blocked)); err != nil {
			return sent
		}
		k, err := c.Write(p[:min(len(p), n-sent)])
		sent += k
		if err != nil {
			return sent
		}
	}
	return sent
}

// receive reads up to n bytes, or until the end, an error, or nothing comes any more.
func receive(c net.Conn, n int) []byte { return receiveWithin(c, n, lost) }

// receiveWithin is receive with another bound for silence.
func receiveWithin(c net.Conn, n int, silence time.Duration) []byte {
	var all bytes.Buffer
	p := make([]byte, chunk)
	for all.Len() < n {
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			break
		}
		k, err := c.Read(p[:min(len(p), n-all.Len())])
		all.Write(p[:k])
		if err != nil {
			break
		}
	}
	return all.Bytes()
}

// ended tells whether the server ends the connection in time.
func ended(c net.Conn) bool {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return true
	}
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// echoes tells whether the server still serves.
func echoes(c net.Conn) bool { return answers(c, "echo") }

func answers(c net.Conn, text string) bool {
	return send(c, []byte(text)) == nil && string(receive(c, len(text))) == text
}

// arrived judges a large message.
func arrived(got []byte, claimed string) cell {
	switch {
	case bytes.Equal(got, content(large)):
		return pass("all of 8 MiB")
	case len(got) == large:
		return fail("8 MiB, but not those that were sent")
	case claimed == "<nil>":
		return fail("%s of %s bytes, and the write returned nil", grouped(len(got)), grouped(large))
	}
	return fail("%s of %s bytes", grouped(len(got)), grouped(large))
}

// grouped is a number as people write it.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
