package engine_test

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
)

// waiter is a consumer whose callbacks only wake those who wait for them.
type waiter struct {
	holder
	read, written chan struct{}
}

func (w *waiter) Read(*engine.Conn, *buffers.Buffer)    { w.read <- struct{}{} }
func (w *waiter) Written(*engine.Conn, *buffers.Buffer) { w.written <- struct{}{} }

// engine doc: whoever changes something from outside kicks. Here nothing else ever
// happens, so that a kick that's lost would be the end of it.
func TestNoKickIsLost(t *testing.T) {
	const rounds = 20_000
	for name, way := range map[string]func(t *testing.T, w *waiter, c *engine.Conn, peer net.Conn){
		"a write and its completion": func(t *testing.T, w *waiter, c *engine.Conn, peer net.Conn) {
			must(t, c.Send([]byte("x")))
			receive(t, w.written, "a completion")
		},
		"a read of what's there": func(t *testing.T, w *waiter, c *engine.Conn, peer net.Conn) {
			_, err := peer.Write([]byte("x"))
			must(t, err)
			must(t, c.ReadFull(1))
			receive(t, w.read, "a read")
		},
		"a read of what comes": func(t *testing.T, w *waiter, c *engine.Conn, peer net.Conn) {
			must(t, c.ReadFull(1))
			_, err := peer.Write([]byte("x"))
			must(t, err)
			receive(t, w.read, "a read")
		},
		"a lock that's held while an event comes, or let go of just then": func(t *testing.T, w *waiter, c *engine.Conn, peer net.Conn) {
			must(t, c.ReadFull(1))
			_, err := peer.Write([]byte("x"))
			must(t, err)
			for calls := rand.IntN(60); calls > 0 && len(w.read) == 0; calls-- {
				if rand.IntN(2) == 0 {
					c.Pending() // holds it for a moment
				} else {
					_, _ = c.AtMark() // … for a system call
				}
			}
			receive(t, w.read, "a read")
		},
		"a post": func(t *testing.T, w *waiter, c *engine.Conn, _ net.Conn) {
			must(t, c.Post(func(*engine.Conn) { w.read <- struct{}{} }))
			receive(t, w.read, "a post")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &waiter{holder: holder{established: make(chan *engine.Conn, 1)}, read: make(chan struct{}, 1), written: make(chan struct{}, 1)}
			n := newNet(t, netSetup{loops: 1, consumer: w, env: &engine.Env{Track: true}})
			peer := n.dial(t)
			go func() { _, _ = io.Copy(io.Discard, peer) }() // ends with the connection
			c := receive(t, w.established, "a connection")
			for i := 0; i < rounds && !t.Failed(); i++ {
				way(t, w, c, peer)
			}
			c.Release()
		})
	}
}

// proxy forwards between two connections, each of whose reads waits for the other's
// output.
type proxy struct {
	nobody
	established chan *engine.Conn
	mu          sync.Mutex
	other       map[*engine.Conn]*engine.Conn
}

func (p *proxy) of(c *engine.Conn) *engine.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.other[c]
}

func (p *proxy) Established(c *engine.Conn) { p.established <- c.AddRef() }

func (p *proxy) Read(c *engine.Conn, b *buffers.Buffer) {
	_ = p.of(c).Write(b)
	_ = c.Read()
}

func (p *proxy) ClientClose(c *engine.Conn)                     { _ = p.of(c).ShutdownSend() }
func (*proxy) Connecting(*engine.Conn, engine.Addr)             {}
func (*proxy) ConnectFailed(*engine.Conn, engine.Addr, error)   {}
func (p *proxy) Closed(c *engine.Conn, _ engine.Reason, _ bool) { c.Release() }

// DESIGN, Flow: a read gate works across reactors, without a lost wake-up, and bounds
// what's between the two.
func TestProxyAcrossLoops(t *testing.T) {
	const size = 3 << 20
	p := &proxy{established: make(chan *engine.Conn, 2), other: map[*engine.Conn]*engine.Conn{}}
	n := newNet(t, netSetup{loops: 2, spread: true, consumer: p, env: &engine.Env{
		Flow: engine.Flow{High: 32 << 10, Low: 8 << 10, MaxPending: 512 << 10},
	}})
	for range 5 {
		left, right := n.dial(t), n.dial(t)
		c1 := receive(t, p.established, "a connection")
		c2 := receive(t, p.established, "a connection")
		p.mu.Lock()
		p.other[c1], p.other[c2] = c2, c1
		p.mu.Unlock()
		c1.SetReadGate(c2)
		c2.SetReadGate(c1)
		must(t, c1.Read())
		must(t, c2.Read())
		sums := make(chan [sha256.Size]byte, 2)
		payload := text(size)
		for _, conn := range []net.Conn{left, right} {
			go func() {
				_, _ = conn.Write(payload)
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			go func() {
				all, _ := io.ReadAll(conn)
				sums <- sha256.Sum256(all)
			}()
		}
		for range 2 {
			if receive(t, sums, "the other side") != sha256.Sum256(payload) {
				t.Error("what arrived isn't what was sent")
			}
		}
	}
}

// DESIGN, References: Release against the end of the loops: each connection is released
// once, by whomever.
func TestReleaseAgainstTerminate(t *testing.T) {
	const connections = 20
	for range 10 {
		u := newCounter(t)
		n := newNet(t, netSetup{loops: 2, spread: true, consumer: u})
		var all []*counted
		for range connections {
			n.dial(t)
			all = append(all, receive(t, u.ready, "a connection"))
		}
		var running sync.WaitGroup
		for i, counted := range all {
			running.Go(func() {
				for range i * 20 {
					counted.c.AddRef()
					counted.c.Pending()
					counted.c.Release()
				}
				counted.c.Release()
			})
		}
		running.Go(func() {
			if err := n.mux.Terminate(); err != nil {
				t.Errorf("Terminate: %v", err)
			}
		})
		for _, counted := range all {
			u.end(counted)
		}
		running.Wait()
	}
}
