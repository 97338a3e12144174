package sim_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/secure"
)

// storyContext is what a story's server has TLS with.
func storyContext() (*secure.Context, error) {
	id := identity()
	return secure.NewContext(secure.Config{
		Certificates: []secure.Certificate{{Pair: &id}}, Logger: slog.New(slog.DiscardHandler),
	})
}

// quick is the curve that the race detector doesn't slow down.
var quick = []tls.CurveID{tls.CurveP256}

// tlsActs has the actions with TLS: of the server's connections, and of clients.
func tlsActs(
	of func(string, func(*teller, *conn.Stream, []string) error),
	peer func(string, func(*teller, *sim.Peer, []string) error),
) {
	of(`server upgrades NAME`, func(_ *teller, c *conn.Stream, _ []string) error {
		x, err := storyContext()
		if err != nil {
			return err
		}
		return secure.UpgradeStream(c, x, secure.UpgradeOptions{ServerSide: true})
	})
	shakes := func(p *teller, c *sim.Peer, name string, config *tls.Config) error {
		t := tls.Client(&peerConn{Peer: c, w: p.w}, config)
		p.secured[name] = t
		return t.Handshake()
	}
	peer(`NAME shakes hands`, func(p *teller, c *sim.Peer, arg []string) error {
		return shakes(p, c, arg[0], &tls.Config{InsecureSkipVerify: true, CurvePreferences: quick})
	})
	peer(`NAME trusts nobody`, func(p *teller, c *sim.Peer, arg []string) error {
		err := shakes(p, c, arg[0], &tls.Config{ServerName: "sluice", RootCAs: x509.NewCertPool(), CurvePreferences: quick})
		var stranger x509.UnknownAuthorityError
		if errors.As(err, &stranger) {
			return nil
		}
		return fmt.Errorf("it trusts somebody: %w", err)
	})
	peer(`NAME says BYTES`, func(p *teller, _ *sim.Peer, arg []string) error {
		_, err := p.secured[arg[0]].Write(bytesOf(arg[1]))
		return err
	})
	peer(`NAME hears BYTES`, func(p *teller, _ *sim.Peer, arg []string) error {
		want := string(bytesOf(arg[1]))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(p.secured[arg[0]], got); err != nil || string(got) != want {
			return fmt.Errorf("%s, %w", show(got), err)
		}
		return nil
	})
	peer(`NAME says goodbye`, func(p *teller, _ *sim.Peer, arg []string) error { return p.secured[arg[0]].CloseWrite() })
	peer(`NAME hears goodbye`, func(p *teller, _ *sim.Peer, arg []string) error {
		if n, err := p.secured[arg[0]].Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
			return fmt.Errorf("%d bytes, %w", n, err)
		}
		return nil
	})
}

// met gives a connection the name of its client, before it's established.
func (p *teller) met(c *conn.Stream) string {
	name := c.RemoteAddr().Path[1:]
	p.names[c.ID()] = name
	return name
}

// OnNegotiationComplete implements server.Callback, as all that follows.
func (p *teller) OnNegotiationComplete(c *conn.Stream, n secure.Negotiation) {
	p.called("OnNegotiationComplete", p.met(c), tls.VersionName(n.Version))
}

func (p *teller) OnSecureConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	p.called("OnSecureConnectionEstablished", p.met(c))
}

func (p *teller) OnFatalError(c *conn.Stream, _ error) { p.called("OnFatalError", p.met(c)) }

func (p *teller) OnRemoteFatalError(c *conn.Stream, _ error) {
	p.called("OnRemoteFatalError", p.met(c))
}

func (p *teller) OnSecureSocketReleased(d *conn.UserData) {
	p.called("OnSecureSocketReleased", p.names[d.ID()])
}
