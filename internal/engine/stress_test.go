package engine_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
)

// counted is what a consumer was called for on one connection.
type counted struct {
	c           *engine.Conn
	answered    chan struct{} // a read was, or none will be any more
	established atomic.Int64
	asked       atomic.Int64
	reads       atomic.Int64
	accepted    atomic.Int64 // writes
	written     atomic.Int64
	clientClose atomic.Int64
	closed      atomic.Int64
	released    chan struct{}
}

// counter is an engine.Consumer that counts, for connections that other goroutines do
// things to.
type counter struct {
	nobody
	t     testing.TB
	mu    sync.Mutex
	all   map[*engine.Conn]*counted
	ready chan *counted
}

func newCounter(t testing.TB) *counter {
	return &counter{t: t, all: map[*engine.Conn]*counted{}, ready: make(chan *counted, 100)}
}

func (u *counter) of(c *engine.Conn) *counted {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.all[c]
	if n == nil {
		n = &counted{c: c, answered: make(chan struct{}, 1<<12), released: make(chan struct{}, 2)}
		u.all[c] = n
	}
	return n
}

func (u *counter) Established(c *engine.Conn) {
	n := u.of(c)
	n.established.Add(1)
	c.AddRef()
	u.ready <- n
}

func (u *counter) Read(c *engine.Conn, _ *buffers.Buffer) {
	n := u.of(c)
	n.reads.Add(1)
	n.answered <- struct{}{}
}

func (u *counter) ReadError(c *engine.Conn, _ *buffers.Buffer, _ error) {
	u.of(c).reads.Add(1)
}

func (u *counter) Written(c *engine.Conn, _ *buffers.Buffer)             { u.of(c).written.Add(1) }
func (u *counter) WriteError(c *engine.Conn, _ *buffers.Buffer, _ error) { u.of(c).written.Add(1) }
func (u *counter) ClientClose(c *engine.Conn)                            { u.of(c).clientClose.Add(1) }

func (*counter) Connecting(*engine.Conn, engine.Addr)           {}
func (*counter) ConnectFailed(*engine.Conn, engine.Addr, error) {}
func (u *counter) Closed(c *engine.Conn, _ engine.Reason, _ bool) {
	n := u.of(c)
	n.closed.Add(1)
	close(n.answered)
}

func (u *counter) Released(c *engine.Conn) { u.of(c).released <- struct{}{} }

// end waits until a connection is released, and checks what it was told.
func (u *counter) end(n *counted) {
	u.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-n.released:
	case <-timeout.C:
		reason, err := n.c.Cause()
		u.t.Fatalf("%v is stuck: %v, cause %v: %v, %d bytes pending, %d reads of %d answered, %d writes of %d",
			n.c, n.c.State(), reason, err, n.c.Pending(), n.reads.Load(), n.asked.Load(), n.written.Load(), n.accepted.Load())
	}
	switch {
	case len(n.released) > 0:
		u.t.Errorf("%v: released twice", n.c)
	case n.established.Load() != 1 || n.closed.Load() != 1 || n.clientClose.Load() > 1:
		u.t.Errorf("%v: established %d times, closed %d times, its peer %d times",
			n.c, n.established.Load(), n.closed.Load(), n.clientClose.Load())
	case n.written.Load() != n.accepted.Load():
		u.t.Errorf("%v: %d writes of %d were answered", n.c, n.written.Load(), n.accepted.Load())
	case n.reads.Load() > n.asked.Load():
		u.t.Errorf("%v: %d reads of %d were answered", n.c, n.reads.Load(), n.asked.Load())
	}
}

// message is one of a writer's: who, which, how long, and what follows from these.
func message(writer byte, number uint16, length int) []byte {
	p := make([]byte, 5+length)
	p[0] = writer
	binary.BigEndian.PutUint16(p[1:], number)
	binary.BigEndian.PutUint16(p[3:], uint16(length))
	for i := range length {
		p[5+i] = writer ^ byte(number) ^ byte(i)
	}
	return p
}

// checkMessages reads to the end, or a reset, and checks that messages are whole, each
// writer's in order, and nobody else's among them.
func checkMessages(r io.Reader) error {
	next := map[byte]uint16{}
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return nil //nolint:nilerr // the end, be it a reset
		}
		writer, number, length := head[0], binary.BigEndian.Uint16(head[1:]), int(binary.BigEndian.Uint16(head[3:]))
		if number != next[writer] {
			return fmt.Errorf("message %d of writer %d, want %d", number, writer, next[writer])
		}
		next[writer]++
		body := make([]byte, length)
		if n, err := io.ReadFull(r, body); err != nil {
			body = body[:n]
		}
		for i, b := range body {
			if b != writer^byte(number)^byte(i) {
				return fmt.Errorf("message %d of writer %d is torn at byte %d", number, writer, i)
			}
		}
	}
}

// peer reads and checks all, writes now and then, and ends in one of several ways.
func peer(conn net.Conn, random *rand.Rand) error {
	checked := make(chan error, 1)
	go func() { checked <- checkMessages(conn) }()
	p := make([]byte, 5000)
	for range random.IntN(40) {
		if _, err := conn.Write(p[:random.IntN(len(p))+1]); err != nil {
			break
		}
	}
	switch way := random.IntN(4); tcp := conn.(type) {
	case *net.TCPConn:
		switch way {
		case 0:
			_ = tcp.SetLinger(0)
		case 1:
			_ = tcp.CloseWrite()
			return <-checked
		}
	case *net.UnixConn:
		if way == 1 {
			_ = tcp.CloseWrite()
			return <-checked
		}
	}
	conn.Close()
	return <-checked
}

// hammer has several goroutines do things to a connection until it's over.
func hammer(n, other *counted, random func() *rand.Rand) {
	c := n.c
	var running sync.WaitGroup
	for writer := range byte(2) {
		r := random()
		running.Go(func() {
			for i := range uint16(60) {
				if c.Send(message(writer, i, r.IntN(3000))) != nil {
					return
				}
				n.accepted.Add(1)
			}
		})
	}
	running.Go(func() { // each read is waited for: a kick that's lost isn't made up for
		for range 60 {
			n.asked.Add(1)
			if c.Read() != nil {
				n.asked.Add(-1)
				return
			}
			if _, open := <-n.answered; !open || n.clientClose.Load() > 0 {
				return
			}
		}
	})
	r := random()
	running.Go(func() {
		for i := range r.IntN(60) {
			switch i % 8 {
			case 0:
				c.SetFlow(engine.Flow{High: 1 + r.IntN(100_000)})
			case 1:
				c.SetReadGate(other.c)
			case 2:
				c.AddRef()
				c.Release()
			case 3:
				_ = c.Post(func(c *engine.Conn) { c.SetReadGate(c) })
			case 4:
				c.SetTimeouts(engine.Timeouts{Idle: time.Hour})
			case 5:
				c.SetReadGate(nil)
			case 6:
				c.Pending()
				c.State()
				_, _ = c.Cause()
				c.LocalAddr()
			case 7:
				n.asked.Add(1)
				if c.ReadFull(0) != nil {
					n.asked.Add(-1)
				}
			}
		}
		switch r.IntN(4) {
		case 0:
			c.Abort(nil)
		case 1:
			_ = c.Shutdown()
		case 2:
			_ = c.ShutdownSend()
			fallthrough
		default:
			_ = c.Shutdown()
		}
	})
	running.Wait()
	c.Release()
}

// faults, User code: Write, Shutdown and Release from any goroutine: no connection is
// stuck, every write is answered, and the peers receive whole messages, in order.
func TestStress(t *testing.T) {
	const connections, rounds = 6, 40
	for _, unix := range []bool{false, true} {
		t.Run(fmt.Sprintf("unix %t", unix), func(t *testing.T) {
			u := newCounter(t)
			n := newNet(t, netSetup{loops: 2, spread: true, unix: unix, consumer: u, env: &engine.Env{
				Track: true, Timeouts: engine.Timeouts{Write: 5 * time.Second, Linger: time.Second},
			}})
			for round := range rounds {
				seed := atomic.Uint64{}
				random := func() *rand.Rand { return rand.New(rand.NewPCG(uint64(round), seed.Add(1))) }
				var running sync.WaitGroup
				var all []*counted
				for range connections {
					conn, r := n.dial(t), random()
					running.Go(func() {
						if err := peer(conn, r); err != nil {
							t.Errorf("a peer: %v", err)
						}
					})
					all = append(all, receive(t, u.ready, "a connection"))
				}
				for i, counted := range all {
					running.Go(func() { hammer(counted, all[(i+1)%len(all)], random) })
				}
				for _, counted := range all {
					u.end(counted)
				}
				running.Wait()
			}
			if counts := n.env.Counts(); counts[engine.CountAccepted] != connections*rounds {
				t.Errorf("%d connections counted", counts[engine.CountAccepted])
			}
		})
	}
}
