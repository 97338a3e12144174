package sim_test

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// limits are those of the listener.
type limits struct {
	open, perAddress int
	rate             float64
	burst            int
	hosts            int // from which clients come; 0: they have no IP address
}

func newLimits(w *sim.World, unix bool) limits {
	l := limits{open: pick(w, 0, 0, 0, 1, 2), rate: pick(w, 0, 0, 0, 0.5, 20), hosts: 1 + w.IntN(3)}
	if l.rate > 0 {
		l.burst = pick(w, 0, 1, 3)
	}
	if unix {
		l.hosts = 0
		return l
	}
	l.perAddress = pick(w, 0, 0, 1, 2)
	return l
}

func (l limits) set(to *server.Listener) {
	to.MaxConnections, to.MaxPerAddress = l.open, l.perAddress
	to.AcceptRate, to.AcceptBurst = l.rate, l.burst
}

// atOnce is how many may come at a time.
func (l limits) atOnce() int {
	if l.burst > 0 {
		return l.burst
	}
	return max(1, int(l.rate))
}

// addClient adds a client of the listener, from one of the hosts.
func (p *program) addClient(name string) *client {
	at := tcpAt
	if p.plan.unix {
		at = unixAt
	}
	c := newClient(p, name, at)
	if n := p.plan.limits.hosts; n > 0 {
		ip := netip.AddrFrom4([4]byte{10, 1, 0, byte(p.w.IntN(n))})
		c.from = sys.Addr{AddrPort: netip.AddrPortFrom(ip, uint16(1000+len(p.all)))}
	}
	p.all = append(p.all, c)
	p.peers[c.name] = c
	p.w.Add(c)
	return c
}

// from is the client of an address.
func (p *program) from(a conn.Addr) *client {
	if a.IsUnix() {
		return p.peers[strings.TrimPrefix(a.Path, "@")]
	}
	for _, c := range p.all {
		if c.from == a {
			return c
		}
	}
	return nil
}

// opened is how many connections of the listener's the program has: those for which
// OnConnectionEstablished was called, and whose descriptors are open.
func (p *program) opened(of func(*client) bool) (n int) {
	for id, l := range p.lives {
		if _, open := l.peer.Accepted(); open && p.outgoing[id] == nil && of(l.peer) {
			n++
		}
	}
	return n
}

// neighbour reports whether o is from the same address.
func (c *client) neighbour(o *client) bool { return o.from.AddrPort.Addr() == c.from.AddrPort.Addr() }

// checkLimits is asked when a connection was established: no limit allows fewer.
func (p *program) checkLimits(l *life) {
	lim := p.plan.limits
	all, own := p.opened(func(*client) bool { return true }), p.opened(l.peer.neighbour)
	switch {
	case lim.open > 0 && all > lim.open:
		p.w.Failf("%d connections are open, %d may be at the listener", all, lim.open)
	case p.plan.limit > 0 && all > p.plan.limit:
		p.w.Failf("%d connections are open, %d may be", all, p.plan.limit)
	case lim.perAddress > 0 && own > lim.perAddress:
		p.w.Failf("%d connections from %v are open, %d may be", own, l.peer.from.AddrPort.Addr(), lim.perAddress)
	case lim.rate > 0:
		p.checkRate(l)
	}
}

// checkRate: from whenever on, no more have come than there were tokens for.
func (p *program) checkRate(l *life) {
	now := p.w.Now()
	var since []time.Duration // when each was accepted, at the earliest
	for id, o := range p.lives {
		if at, _ := o.peer.Accepted(); p.outgoing[id] == nil {
			since = append(since, at)
		}
	}
	for _, begin := range since {
		n := 0
		for _, at := range since {
			if at >= begin {
				n++
			}
		}
		lim := p.plan.limits
		if most := float64(lim.atOnce()) + lim.rate*(now-begin).Seconds() + 1e-6; float64(n) > most {
			p.w.Failf("%s: %d connections have come within %v, at %v a second and %d at once", l.name, n, now-begin, lim.rate, lim.atOnce())
		}
	}
}

// full reports whether one of the limits at which connections wait is reached.
func (p *program) full() bool {
	st := p.srv.Stats()
	own := st.Listeners["l"]
	return p.plan.limit > 0 && st.Open >= p.plan.limit || own.Limit > 0 && own.Open >= own.Limit
}

// waiting is how many have connected and aren't accepted yet.
func (p *program) waiting() (n int) {
	for _, c := range p.all {
		if c.Peer != nil && c.Waiting() {
			n++
		}
	}
	return n
}

// checkRoom: whoever comes when there's room for one from his address, and nobody has come
// for long, isn't refused, whatever was there before.
func (p *program) checkRoom() {
	for i := range p.w.IntN(3) {
		crowded := p.waiting() > 0 // some may come meanwhile
		p.w.Sleep(10 * time.Second)
		p.w.Quiet()
		before := p.refused()
		c := p.addClient(fmt.Sprintf("late%d", i))
		room := p.plan.limits.perAddress == 0 || p.opened(c.neighbour) < p.plan.limits.perAddress
		p.w.Quiet()
		if room && !crowded && p.refused() != before {
			p.w.Failf("%s was refused, and there's room: %v", c.name, p.srv.Stats().Listeners["l"].Rejected)
		}
	}
}

// checkRefused: whoever was accepted was told of to the program, or counted as refused.
func (p *program) checkRefused(l server.ListenerStats) {
	accepted, known := 0, p.created
	for _, c := range p.all {
		if c.Peer == nil {
			continue
		}
		if at, _ := c.Accepted(); at >= 0 {
			accepted++
		}
	}
	for why, n := range l.Rejected {
		known += int(n)
		if n > 0 {
			reached["refused: "+why.String()]++
		}
	}
	if accepted != known {
		p.w.Failf("%d connections were accepted, %d created, and the rest of them refused: %v", accepted, p.created, l.Rejected)
	}
}

// refused is how many the listener's limits have refused.
func (p *program) refused() uint64 {
	r := p.srv.Stats().Listeners["l"].Rejected
	return r[server.RejectedPerAddress] + r[server.RejectedRate]
}

func (p *program) OnMaximumConnections(listener string) {
	if listener == "" && p.plan.limit == 0 || listener != "" && p.plan.limits.open == 0 {
		p.w.Failf("OnMaximumConnections %q, and there's no such limit", listener)
	}
	reached["OnMaximumConnections "+listener]++
}
