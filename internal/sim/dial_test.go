package sim_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// dialing is an outgoing connection that the program has asked for.
type dialing struct {
	sync bool // by Connect
	life *life
}

// where the program connects to: two hosts that accept, one that refuses, one that is silent.
var targets = []server.Target{
	{Network: "tcp", Address: "10.0.0.1:80", Name: "backend"},
	{Network: "unix", Address: "@backend", Timeout: -1},
	{Network: "tcp", Address: "10.0.0.1:81"},
	{Network: "tcp", Address: "10.0.0.1:82", Timeout: 300 * time.Millisecond},
	{Network: "tcp", Address: "cluster:80"},
	{Network: "tcp", Address: "ruins:80", Timeout: 500 * time.Millisecond},
	{Network: "tcp", Address: "nowhere:80"},
}

// resolver knows two names: one has an address that accepts among others, the other none.
type resolver struct{ p *program }

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	r.p.w.Yield()
	bad, good := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.1")
	switch host {
	case "cluster":
		return pick(r.p.w, []netip.Addr{bad, good}, []netip.Addr{good}, []netip.Addr{bad, bad, good}), nil
	case "ruins":
		return pick(r.p.w, []netip.Addr{bad}, []netip.Addr{bad, bad, bad}), nil
	default:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
}

func (p *program) addHosts() {
	for i, t := range targets[:4] {
		at := sys.Addr{Path: t.Address}
		if t.Network == "tcp" {
			at = sys.Addr{AddrPort: netip.MustParseAddrPort(t.Address)}
		}
		window := pick(p.w, 1, 50, 3000)
		h := sim.Host{ToProgram: window, ToPeer: window/pick(p.w, 1, 10) + 1, Silent: i == 3}
		h.Accept = func(peer *sim.Peer) {
			c := newClient(p, peer.Name(), at)
			c.Peer, c.window = peer, window
			c.total = min(c.total, 40*window)
			p.all = append(p.all, c)
			p.peers[c.name] = c
			p.w.Add(c)
		}
		if i != 2 {
			p.w.Host(at, h)
		}
	}
}

// dial asks for an outgoing connection, in one of the two ways.
func (p *program) dial() {
	t := targets[p.w.IntN(len(targets))]
	d := &dialing{}
	if p.w.IntN(3) == 0 {
		d.sync = true
		p.dialers++
		p.w.Spawn("dialer", func() {
			defer func() { p.dialers-- }()
			c, err := p.srv.Connect(context.Background(), t, d)
			p.w.Note("Connect", "%s: %v", t.Address, err)
			if err != nil {
				return
			}
			p.w.Pause()
			d.life.refs--
			c.Release()
		})
		return
	}
	p.asked++
	if err := p.srv.AsyncConnect(t, d); err != nil {
		p.asked--
	}
	p.w.Note("AsyncConnect", "%s", t.Address)
}

func (p *program) OnPreOutgoingConnect(d *conn.UserData, to conn.Addr, userData any) {
	if to != (conn.Addr{}) { // it has a socket
		p.created-- // it isn't counted among those that were accepted
	}
	p.outgoing[d.ID()] = userData.(*dialing)
}

func (p *program) OnOutgoingConnectionFailed(c *conn.Stream, at conn.Addr, err error) {
	p.w.Note("OnOutgoingConnectionFailed", "%v: %v", at, err)
	reached["OnOutgoingConnectionFailed"]++
	if r, _ := c.Cause(); r != conn.ReasonNone {
		reached[r.String()]++
	}
	if p.outgoing[c.ID()] == nil {
		p.w.Failf("a connect failed, and OnPreOutgoingConnect didn't tell whose it was")
	}
	p.told++
	if p.outgoing[c.ID()].sync {
		p.w.Failf("a Connect that has failed is told of by a callback")
	}
	if c.State() != conn.Closed || p.lives[c.ID()] != nil || err == nil {
		p.w.Failf("a connect failed for %v, and it's %v", err, c.State())
	}
}

// peerOf is how the peer of an outgoing connection is called.
func peerOf(c *conn.Stream) string { return strings.TrimPrefix(c.LocalAddr().Path, "@local-") }

// OnError is what becomes of an AsyncConnect whose loop has ended.
func (p *program) OnError(message string, _ error) {
	p.w.Yield()
	if strings.HasPrefix(message, "connect to ") {
		p.told++
	}
}
