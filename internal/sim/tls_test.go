package sim_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// secured is a server with TLS on a simulated machine; its clients have the standard library's
// other end. It echoes, and begins with TLS or goes on with it.
type secured struct {
	server.BaseCallback
	w       *sim.World
	x       *secure.Context
	upgrade bool // a byte in the clear comes first
	alive   map[uint64]string
	ended   map[conn.Reason]int
	clients int // that aren't at their end
}

// identity is a certificate whose signatures have one size, so that worlds replay.
var identity = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"sluice"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func runTLS(w *sim.World) {
	id := identity()
	x, err := secure.NewContext(secure.Config{
		Certificates: []secure.Certificate{{Pair: &id}}, Logger: slog.New(slog.DiscardHandler), NoTickets: w.IntN(2) == 0,
	})
	if err != nil {
		panic(err)
	}
	p := &secured{w: w, x: x, upgrade: w.IntN(3) == 0, alive: map[uint64]string{}, ended: map[conn.Reason]int{}}
	w.Faults = sim.Faults{Switch: pick(w, 50, 500), Short: pick(w, 0, 300), Again: pick(w, 0, 100), Stale: pick(w, 0, 100)}
	n := 0
	mux, err := engine.NewMux(engine.MuxConfig{
		Loops: 1 + w.IntN(2), SlowCallback: -1, TurnBudget: pick(w, 0, 100), Logger: slog.New(slog.DiscardHandler),
		Reactor: reactor.Config{NewPoller: w.NewPoller, Kernel: w.Kernel, Clock: w.Clock, Spawn: func(f func()) {
			n++
			w.Spawn(fmt.Sprintf("spawned %d", n), f)
		}},
	})
	if err != nil {
		panic(err)
	}
	alloc := buffers.New(buffers.Config{Debug: true})
	l := server.Listener{Name: "l", Network: "tcp", Address: "127.0.0.1:7007"}
	if !p.upgrade {
		l.TLS = x
	}
	srv, err := server.New(server.Config{
		Callback: p, Listeners: []server.Listener{l}, Mux: (*conn.Mux)(mux), Allocator: alloc,
		Logger: slog.New(slog.DiscardHandler), Debug: true, Flow: pick(w, conn.Flow{}, conn.Flow{High: 50, Low: 10}),
		Timeouts: conn.Timeouts{Handshake: pick(w, 0, time.Second), Linger: time.Second},
	})
	if err != nil {
		panic(err)
	}
	if err := srv.Start(); err != nil {
		panic(err)
	}
	for i := range 1 + w.IntN(3) {
		p.clients++
		c := newTLSClient(p, fmt.Sprintf("c%d", i))
		w.Spawn(c.name, func() {
			c.run()
			p.clients--
		})
	}
	w.Wait("the clients", func() bool { return p.clients == 0 })
	w.Sleep(time.Minute)
	w.Quiet()
	for id, what := range p.alive {
		w.Failf("connection %d is %s a minute after its client's end", id, what)
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		w.Failf("Shutdown: %v", err)
	}
	if err := mux.Terminate(); err != nil {
		w.Failf("Terminate: %v", err)
	}
	if fds := w.Kernel.Open(); len(fds) > 0 {
		w.Failf("descriptors %v are still open", fds)
	}
	if s := alloc.Stats(); s.Outstanding != 0 || s.Misuses != 0 {
		w.Failf("%d buffers weren't given back; %d misuses", s.Outstanding, s.Misuses)
	}
	for r, n := range srv.Stats().Listeners["l"].Closed {
		reached["TLS: "+r.String()] += int(n)
	}
}

func (p *secured) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	p.w.Note("OnConnectionEstablished", "%d", c.ID())
	if p.alive[c.ID()] == "secure" == p.upgrade {
		p.w.Failf("connection %d is established, and %q before that", c.ID(), p.alive[c.ID()])
	}
	p.alive[c.ID()] = "established"
	_ = c.Read()
}

func (p *secured) OnNegotiationComplete(c *conn.Stream, n secure.Negotiation) {
	if !n.Inbound || !n.HandshakeComplete {
		p.w.Failf("negotiated %+v", n)
	}
}

func (p *secured) OnSecureConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	p.w.Note("OnSecureConnectionEstablished", "%d", c.ID())
	p.alive[c.ID()] = "secure"
}

func (p *secured) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	p.w.Yield()
	if _, is := secure.State(c); !is && p.upgrade {
		_ = c.Send([]byte("+"))
		if err := secure.UpgradeStream(c, p.x, secure.UpgradeOptions{ServerSide: true}); err != nil {
			p.w.Note("UpgradeStream", "%v", err)
		}
	} else {
		_ = c.Write(b)
	}
	_ = c.Read()
}

func (p *secured) OnConnectionClosed(c *conn.Stream) { delete(p.alive, c.ID()) }

// tlsClient talks with the standard library's TLS over a simulated peer, with a goroutine.
type tlsClient struct {
	p     *secured
	w     *sim.World
	name  string
	total int
	end   int // how it ends: see run
	at    int // after so many bytes
}

func newTLSClient(p *secured, name string) *tlsClient {
	c := &tlsClient{p: p, w: p.w, name: name, total: p.w.IntN(3000), end: p.w.IntN(6)}
	c.at = p.w.IntN(c.total + 1)
	return c
}

func (c *tlsClient) pattern(i int) byte { return byte(i*13 + i>>8) }

func (c *tlsClient) run() {
	window := pick(c.w, 20, 300, 5000)
	peer, err := c.w.Connect(c.name, tcpAt, window, window)
	if err != nil {
		c.w.Failf("%v", err)
		return
	}
	raw := &peerConn{Peer: peer, w: c.w}
	defer raw.Close()
	if c.p.upgrade {
		if _, err := raw.Write([]byte("!")); err != nil {
			return
		}
		if _, err := io.ReadFull(raw, make([]byte, 1)); err != nil {
			return
		}
	}
	if c.end == 4 && c.at%2 == 0 { // gone before the handshake is over
		raw.left = 1 + c.at%6
	}
	if c.end == 5 { // it never gets on
		_, _ = raw.Write([]byte("\x16\x03\x01"))
		if _, err := raw.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			c.w.Failf("%s: the end of a handshake that doesn't get on is %v", c.name, err)
		}
		return
	}
	version := uint16(tls.VersionTLS13)
	if c.total%2 == 0 {
		version = tls.VersionTLS12
	}
	t := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MaxVersion: version, Time: func() time.Time { return time.Unix(1e9, 0) }})
	for sent := 0; sent < c.total; {
		if c.end >= 3 && sent >= c.at {
			break
		}
		p := make([]byte, min(1+c.w.IntN(300), c.total-sent))
		for i := range p {
			p[i] = c.pattern(sent + i)
		}
		if _, err := t.Write(p); err != nil {
			c.wantCut(err)
			return
		}
		got := make([]byte, len(p))
		if _, err := io.ReadFull(t, got); err != nil {
			c.wantCut(err)
			return
		}
		if !bytes.Equal(got, p) {
			c.w.Failf("%s: from byte %d on the echo is different", c.name, sent)
		}
		sent += len(p)
	}
	switch c.end {
	case 3:
		peer.Reset()
	case 4: // truncated
	default:
		if err := t.Handshake(); err != nil { // it wasn't needed yet if total is 0
			c.wantCut(err)
			return
		}
		if err := t.CloseWrite(); err != nil {
			c.wantCut(err)
			return
		}
		if _, err := t.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			c.w.Failf("%s: the end is %v, want close_notify", c.name, err)
		}
	}
}

// wantCut: only what's cut fails.
func (c *tlsClient) wantCut(err error) {
	if c.end < 3 {
		c.w.Failf("%s: %v", c.name, err)
	}
}

// peerConn is a peer whose calls wait for it.
type peerConn struct {
	*sim.Peer
	w    *sim.World
	left int // writes until it's gone; 0: it stays
}

func (c *peerConn) Read(p []byte) (int, error) {
	c.w.Wait("input", c.Readable)
	n, errno := c.Recv(p)
	switch {
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (c *peerConn) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		if c.left > 0 {
			if c.left--; c.left == 0 {
				c.Peer.Close()
			}
		}
		if c.Done() {
			return sent, unix.EPIPE
		}
		c.w.Wait("room", func() bool { return c.Room() > 0 || c.Readable() && c.Unread() == 0 })
		n, errno := c.Send(p[sent:min(len(p), sent+max(1, c.Room()))])
		if errno != 0 && errno != unix.EAGAIN {
			return sent, errno
		}
		sent += n
	}
	return sent, nil
}

func (c *peerConn) Close() error {
	if !c.Done() {
		c.Peer.Close()
	}
	return nil
}

func (c *peerConn) LocalAddr() net.Addr              { return sys.Addr{} }
func (c *peerConn) RemoteAddr() net.Addr             { return sys.Addr{} }
func (c *peerConn) SetDeadline(time.Time) error      { return nil }
func (c *peerConn) SetReadDeadline(time.Time) error  { return nil }
func (c *peerConn) SetWriteDeadline(time.Time) error { return nil }
