// Command starttls is a line protocol that begins in the clear, and goes on with TLS when the
// client asks for it.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

func main() {
	address := flag.String("listen", "127.0.0.1:7025", "`address` to listen on")
	cert := flag.String("cert", "", "`file` with the certificate; without it one is made for localhost")
	key := flag.String("key", "", "`file` with its key")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C doesn't wait for the drain
	if err := run(ctx, slog.Default(), *address, secure.Certificate{CertFile: *cert, KeyFile: *key}); err != nil {
		slog.Error("starttls", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and drains.
func run(ctx context.Context, log *slog.Logger, address string, cert secure.Certificate) (err error) {
	if cert.CertFile == "" {
		if cert, err = secure.SelfSigned(24*time.Hour, "localhost", "127.0.0.1"); err != nil {
			return err
		}
	}
	d := &door{log: log}
	if d.context, err = secure.NewContext(secure.Config{Certificates: []secure.Certificate{cert}, Logger: log}); err != nil {
		return err
	}
	if d.lines, err = framing.NewLine(framing.LineConfig{Max: 1000}); err != nil {
		return err
	}
	var slots conn.Slots
	d.client = conn.NewSlot[client](&slots, "client")
	d.srv, err = server.New(server.Config{
		Callback: d, Logger: log, Slots: &slots,
		Listeners: []server.Listener{{Network: "tcp", Address: address}},
	})
	if err != nil {
		return err
	}
	return d.srv.Run(ctx)
}

// door is what the server calls.
type door struct {
	server.BaseCallback
	log     *slog.Logger
	srv     *server.Server
	context *secure.Context
	lines   *framing.Line
	client  conn.Slot[client] // of each connection
}

// client is what the server knows of one.
type client struct {
	reader *framing.Reader
	asked  bool // it has said STARTTLS
}

// OnStartAcceptingConnections tells the address: of port 0 the system makes one.
func (d *door) OnStartAcceptingConnections() {
	for _, bound := range d.srv.Addrs() {
		d.log.Info("listening", "address", bound[0].String())
	}
}

// OnConnectionEstablished greets in the clear.
func (d *door) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	d.client.Set(c, &client{reader: framing.NewReader(d.lines, d.srv.Allocator())})
	_ = c.Send([]byte("hello: STARTTLS, QUIT, or anything else\n"))
	c.Read()
}

var errTooEarly = errors.New("something follows STARTTLS before TLS does")

// OnReadCompleted answers line by line. What came with STARTTLS in the same read, behind it, was
// sent in the clear: by the client, or by somebody between. It's refused; taken for what the
// client says under TLS it would be his to choose.
func (d *door) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	k := d.client.Get(c)
	err := k.reader.Feed(b, func(line *buffers.Buffer) error {
		if k.asked {
			return errTooEarly
		}
		return d.answer(c, k, string(line.Bytes()))
	})
	if err == nil && k.asked && k.reader.Close() != nil { // half a line is too early, too
		err = errTooEarly
	}
	switch {
	case err != nil:
		c.Abort(err)
	case k.asked:
		d.upgrade(c, k)
	default:
		c.Read()
	}
}

func (d *door) answer(c *conn.Stream, k *client, line string) error {
	state, secured := secure.State(c)
	switch {
	case line == "STARTTLS" && secured:
		return c.Send([]byte("it's TLS already\n"))
	case line == "STARTTLS":
		k.asked = true
		return c.Send([]byte("go ahead\n"))
	case line == "QUIT":
		return c.Shutdown()
	case secured:
		return c.Send(fmt.Appendf(nil, "%s (%s)\n", line, tls.VersionName(state.Version)))
	default:
		return c.Send(fmt.Appendf(nil, "%s (in the clear)\n", line))
	}
}

// upgrade begins TLS. The answer to STARTTLS goes out before it; what's written and read from
// now on is TLS's.
func (d *door) upgrade(c *conn.Stream, k *client) {
	if err := secure.UpgradeStream(c, d.context, secure.UpgradeOptions{ServerSide: true}); err != nil {
		c.Abort(err)
		return
	}
	*k = client{reader: framing.NewReader(d.lines, d.srv.Allocator())}
	c.Read()
}

// OnNegotiationComplete tells what TLS has come to.
func (d *door) OnNegotiationComplete(c *conn.Stream, n secure.Negotiation) {
	d.log.Info("TLS", "client", c.RemoteAddr().String(), "version", tls.VersionName(n.Version), "suite", tls.CipherSuiteName(n.CipherSuite))
}

// OnFatalError tells what was wrong with TLS.
func (d *door) OnFatalError(c *conn.Stream, err error) {
	d.log.Warn("no TLS", "client", c.RemoteAddr().String(), "error", err)
}

// OnConnectionClosure gives back what half a line holds.
func (d *door) OnConnectionClosure(c *conn.Stream, _ conn.Reason) {
	if k := d.client.Get(c); k.reader.Close() != nil {
		d.log.Info("the client left in the middle of a line", "client", c.RemoteAddr().String())
	}
}
