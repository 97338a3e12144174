// Command proxy passes bytes on between its clients and a server, in both directions.
//
// It shows outgoing connections, slots, read gates (whoever is slow slows only the other
// side of his own pair down, and nothing piles up in memory) and half-close: the end of
// one direction leaves the other alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

func main() {
	listen := flag.String("listen", "tcp://127.0.0.1:7000", "`URL` where clients connect, tcp://host:port or unix:///path")
	to := flag.String("to", "tcp://127.0.0.1:7007", "`URL` of what they're connected with")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C doesn't wait for the drain
	if err := run(ctx, slog.Default(), *listen, *to); err != nil {
		slog.Error("proxy", "error", err)
		os.Exit(1)
	}
}

// maxPooled is what's kept for reuse. Here it matters, because a buffer that one loop has
// read into may be sent by another, whose free list it then joins: that can become longer
// than anybody needs.
const maxPooled = 4 << 20

// run serves until ctx ends, and drains.
func run(ctx context.Context, log *slog.Logger, listen, to string) error {
	from, err := server.ParseListener(listen)
	if err != nil {
		return err
	}
	target, err := server.ParseListener(to)
	if err != nil {
		return err
	}
	var slots conn.Slots
	p := &proxy{
		log:    log,
		target: server.Target{Network: target.Network, Address: target.Address},
		peer:   conn.NewSlot[conn.Stream](&slots, "peer"),
	}
	p.srv, err = server.New(server.Config{
		Callback:  p,
		Listeners: []server.Listener{from},
		Allocator: buffers.New(buffers.Config{MaxPooled: maxPooled}),
		Slots:     &slots,
		Logger:    log,
	})
	if err != nil {
		return err
	}
	return p.srv.Run(ctx)
}

// proxy pairs connections. Each of a pair has the other in its slot, and a reference to it,
// which it gives back at its own end.
type proxy struct {
	server.BaseCallback
	log    *slog.Logger
	srv    *server.Server
	target server.Target
	peer   conn.Slot[conn.Stream]
}

// OnStartAcceptingConnections tells the addresses: of port 0 the system makes one.
func (p *proxy) OnStartAcceptingConnections() {
	for _, bound := range p.srv.Addrs() {
		p.log.Info("listening", "address", bound[0].String())
	}
}

// OnConnectionEstablished connects a client with the server, and then the two with each
// other.
func (p *proxy) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	if c.Inbound() {
		if err := p.srv.AsyncConnect(p.target, c.AddRef()); err != nil {
			c.Release()
			c.Abort(err)
		}
		return
	}
	client := p.peer.Get(c)
	c.AddRef() // the client's
	// The client may be on another loop. If the post is accepted, it runs before the
	// client's end.
	err := client.Post(func(client *conn.Stream) {
		p.peer.Set(client, c)
		client.SetReadGate(c)
		_ = client.Read()
	})
	if err != nil {
		c.Release()
		c.Abort(err)
		return
	}
	c.SetReadGate(client)
	_ = c.Read()
}

// OnPreOutgoingConnect keeps the client, and its reference, with the connection that's made
// for it.
func (p *proxy) OnPreOutgoingConnect(d *conn.UserData, _ conn.Addr, userData any) {
	p.peer.Set(d, userData.(*conn.Stream))
}

// OnOutgoingConnectionFailed ends the client, which can't be served.
func (p *proxy) OnOutgoingConnectionFailed(c *conn.Stream, _ conn.Addr, err error) {
	if client := p.peer.Get(c); client != nil {
		client.Abort(err)
		client.Release()
	}
}

// OnReadCompleted passes bytes on. The read gate keeps the other's output within its bounds.
func (p *proxy) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	if err := p.peer.Get(c).Write(b); err != nil {
		c.Abort(err)
		return
	}
	_ = c.Read()
}

// OnConnectionClientClose passes the end of one direction on.
func (p *proxy) OnConnectionClientClose(c *conn.Stream) {
	if other := p.peer.Get(c); other != nil {
		_ = other.ShutdownSend()
	}
}

// OnConnectionClosure ends the other: cleanly, if this end was clean.
func (p *proxy) OnConnectionClosure(c *conn.Stream, r conn.Reason) {
	other := p.peer.Get(c)
	if other == nil {
		return
	}
	if _, err := c.Cause(); err != nil {
		other.Abort(fmt.Errorf("the other side ended: %v", r))
	} else if err := other.Shutdown(); err != nil && !errors.Is(err, conn.ErrClosed) {
		other.Abort(err)
	}
	other.Release()
}
