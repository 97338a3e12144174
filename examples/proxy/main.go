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
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], nil); err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		stop()
		os.Exit(1)
	}
}

// run is the program. ready, if it isn't nil, is told of the address once it listens.
func run(ctx context.Context, args []string, ready func(address string)) error {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	listen := flags.String("listen", "tcp://127.0.0.1:7000", "where clients connect: tcp://host:port or unix:///path")
	to := flags.String("to", "tcp://127.0.0.1:7007", "what they're connected with")
	if err := flags.Parse(args); err != nil {
		return err
	}
	from, err := server.ParseListener(*listen)
	if err != nil {
		return err
	}
	target, err := server.ParseListener(*to)
	if err != nil {
		return err
	}
	p := &proxy{target: server.Target{Network: target.Network, Address: target.Address}}
	var slots conn.Slots
	p.peer = conn.NewSlot[conn.Stream](&slots, "peer")
	p.srv, err = server.New(server.Config{Callback: p, Listeners: []server.Listener{from}, Slots: &slots})
	if err != nil {
		return err
	}
	if err := p.srv.Start(); err != nil {
		return err
	}
	for _, bound := range p.srv.Addrs() {
		if ready != nil {
			ready(bound[0].String())
		}
	}
	<-ctx.Done()
	drain, cancel := context.WithTimeout(context.Background(), server.DefaultDrainTimeout)
	defer cancel()
	return p.srv.Shutdown(drain)
}

// proxy pairs connections. Each of a pair has the other in its slot, and a reference to it,
// which it gives back at its own end.
type proxy struct {
	server.BaseCallback
	srv    *server.Server
	target server.Target
	peer   conn.Slot[conn.Stream]
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
