package server_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// turnstile is an echo that tells of everybody who comes and goes.
type turnstile struct {
	server.BaseCallback
	came, gone chan struct{}
}

func newTurnstile() *turnstile {
	return &turnstile{came: make(chan struct{}, 1<<14), gone: make(chan struct{}, 1<<14)}
}

func (d *turnstile) OnSocketCreated(int)                                 { d.came <- struct{}{} }
func (d *turnstile) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { _ = c.Read() }
func (d *turnstile) OnSecureSocketReleased(*conn.UserData)               { d.gone <- struct{}{} }
func (d *turnstile) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	_ = c.Write(b)
	_ = c.Read()
}

func await(t *testing.T, n int, passed <-chan struct{}, what string) {
	t.Helper()
	for range n {
		receive(t, passed, what)
	}
}

// settle waits until all loops have done what they had begun.
func settle(t *testing.T, srv *server.Server) {
	t.Helper()
	for _, r := range (*engine.Mux)(srv.Mux()).Group.Reactors() {
		passed := make(chan struct{})
		if err := r.PostFunc(func() { close(passed) }); err != nil {
			t.Fatal(err)
		}
		receive(t, passed, "a loop")
	}
}

// honest is a client that shakes hands, and stays.
func honest(t *testing.T, at string, trusting *tls.Config) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", at, trusting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func echoed(c *tls.Conn) error {
	if _, err := io.WriteString(c, "ping"); err != nil {
		return err
	}
	p := make([]byte, 4)
	if _, err := io.ReadFull(c, p); err != nil {
		return err
	}
	if string(p) != "ping" {
		return errors.New("the echo is another")
	}
	return nil
}

// faults.md, TLS: stall at each flight: the absolute deadline ends them all, and leaves nothing
// of them; those who haven't said all of their ClientHello cost no goroutine, and no place in the
// gate; honest ones are served before, meanwhile and after.
func TestStallAtEachFlight(t *testing.T) {
	const each = 625
	waves := 4 // 10,000 clients, with 5,000 descriptors at a time
	if raceEnabled {
		waves = 1 // it takes four times as long
	}
	hello := clientHello(t)
	gate := secure.NewGate(0, 0)
	x, _, roots := contexts(t, func(c *secure.Config) { c.Gate = gate })
	d, clock := newTurnstile(), &handClock{}
	srv, at := startSecure(t, d, x, clocked(t, nil, clock), timeouts(conn.Timeouts{Handshake: 500 * time.Millisecond}))
	trusting := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	stays := honest(t, at, trusting)
	if err := echoed(stays); err != nil {
		t.Fatal(err)
	}
	await(t, 1, d.came, "the one who stays")

	stages := map[string]struct {
		first string
		begun bool   // it's answered
		then  string // … by this
	}{
		"before the ClientHello":             {},
		"in the middle of it":                {first: hello[:len(hello)/2]},
		"after it":                           {first: hello, begun: true},
		"in the middle of the last Finished": {hello, true, "\x14\x03\x03\x00\x01\x01" + "\x17\x03\x03\x00\x35" + "half of it"},
	}
	for range waves {
		goroutines := runtime.NumGoroutine()
		began := 0
		var dialing []*job
		var stalled [][]net.Conn
		for name, stage := range stages {
			mine := make([]net.Conn, each)
			stalled = append(stalled, mine)
			if stage.begun {
				began += each
			}
			dialing = append(dialing, spawn(name, func() error {
				for i := range mine {
					c, err := net.Dial("tcp", at)
					if err != nil {
						return err
					}
					mine[i] = c
					if _, err = io.WriteString(c, stage.first); err == nil && stage.begun {
						if _, err = io.ReadFull(c, make([]byte, 1)); err == nil {
							_, err = io.WriteString(c, stage.then)
						}
					}
					if err != nil {
						return err
					}
				}
				return nil
			}))
		}
		for _, j := range dialing {
			j.wait(t)
		}
		n := len(stages) * each
		await(t, n, d.came, "those who stall")
		settle(t, srv) // their deadlines are set
		if got := gate.Pending(); got != began {
			t.Errorf("%d handshakes are under way, want %d", got, began)
		}
		if got := runtime.NumGoroutine() - goroutines; got > began+10 {
			t.Errorf("%d goroutines for %d handshakes", got, began)
		}
		meanwhile := honest(t, at, trusting)
		for _, c := range []*tls.Conn{stays, meanwhile} {
			if err := echoed(c); err != nil {
				t.Error("meanwhile:", err)
			}
		}
		meanwhile.Close()
		await(t, 1, d.came, "the one who goes")
		before := srv.Stats().Listeners["l"].TLS.Failures[server.HandshakeTimeout]
		clock.advance(time.Second)
		await(t, n+1, d.gone, "the end of all")
		if got := srv.Stats().Listeners["l"].TLS.Failures[server.HandshakeTimeout] - before; got != uint64(n) {
			t.Errorf("%d handshakes took too long, want %d", got, n)
		}
		for gate.Pending() > 0 {
			runtime.Gosched() // their goroutines are on their way out
		}
		for _, mine := range stalled {
			for _, c := range mine {
				c.Close()
			}
		}
	}
	if err := echoed(stays); err != nil {
		t.Error("after all:", err)
	}
}

// faults.md, TLS: handshake flood: so many as the gate has room for get their turn, the others
// are refused at once and counted as too_many; established traffic goes on all the time.
func TestHandshakeFlood(t *testing.T) {
	const waves, flood, room, established = 4, 500, 32, 8
	hello := clientHello(t)
	gate := secure.NewGate(1, room)
	x, _, roots := contexts(t, func(c *secure.Config) { c.Gate = gate })
	d := newTurnstile()
	srv, at := startSecure(t, d, x)
	over := make(chan struct{})
	var echoing []*job
	for range established {
		c := honest(t, at, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err := echoed(c); err != nil { // from now on it isn't in the gate's way
			t.Fatal(err)
		}
		echoing = append(echoing, spawn("an established client", func() error {
			for {
				if err := echoed(c); err != nil {
					return err
				}
				select {
				case <-over:
					return nil
				default:
				}
			}
		}))
	}
	for range waves {
		all := make([]net.Conn, flood)
		answered := 0
		for i := range all {
			all[i] = dialSaying(t, at, hello)
		}
		for _, c := range all { // who has the gate's room keeps it
			if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
				answered++
			}
		}
		if answered != room {
			t.Errorf("%d of %d are answered, want %d", answered, flood, room)
		}
		for _, c := range all {
			c.Close()
		}
		await(t, flood, d.gone, "the end of the flood")
		for gate.Pending() > 0 {
			runtime.Gosched() // their goroutines are on their way out
		}
	}
	close(over)
	for _, j := range echoing {
		j.wait(t)
	}
	got := srv.Stats().Listeners["l"].TLS
	if n := got.Failures[server.HandshakeTooMany]; n != waves*(flood-room) {
		t.Errorf("%d were refused for too many, want %d", n, waves*(flood-room))
	}
	if n := got.Failures[server.HandshakeTruncated]; n != waves*room {
		t.Errorf("%d have gone after their turn, want %d", n, waves*room)
	}
	if n := got.Handshakes[server.Handshake{Version: tls.VersionTLS13}]; n != established {
		t.Errorf("%d have succeeded, want %d", n, established)
	}
}
