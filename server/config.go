package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"strings"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
)

// Config sets up a Server. Callback is required; everything else has a good zero value.
type Config struct {
	Name           string // in the log
	Callback       Callback
	Listeners      []Listener
	MaxConnections int // over all listeners; 0: no limit
	Flow           conn.Flow
	Timeouts       conn.Timeouts
	DrainTimeout   time.Duration // how long Run drains at its end; 0: 10 s, negative: as long as it takes

	Mux       *conn.Mux          // the event loops, started or not; nil: the server's own
	Allocator *buffers.Allocator // nil: the server's own
	Slots     *conn.Slots        // what users keep with connections, frozen by Start; nil: nothing
	Resolver  Resolver           // of host names; nil: net.DefaultResolver
	Logger    *slog.Logger       // nil: slog.Default()
	Mute      conn.LogCategories // kinds of connections that aren't logged
	Debug     bool               // misuse of references panics
}

// DefaultDrainTimeout is how long Run drains.
const DefaultDrainTimeout = 10 * time.Second

// Listener is an address to listen on.
type Listener struct {
	Name    string // in logs, statistics and Stream.Origin; default: its URL
	Network string // "tcp", "tcp4", "tcp6", "unix", or "tls", which is "tcp" with TLS
	Address string // "host:port" (":0" has the system choose), or a path; "@name" is abstract

	// ReusePort makes one listening socket per event loop and lets the kernel spread
	// the connections, instead of one socket whose connections are placed on the
	// loops. TCP only.
	ReusePort bool
	Backlog   int         // connections the kernel queues; 0: the system's maximum
	Mode      fs.FileMode // of a Unix-domain socket's file; 0: what the umask leaves
	Options   conn.SocketOptions

	// MaxConnections are the most that are open at a time; 0: no limit but the server's.
	// When they are, only this listener pauses: connections wait in the kernel's queue,
	// as at the server's limit.
	MaxConnections int

	// MaxPerAddress are the most that one peer has open at a time; 0: no limit. Further
	// ones are reset when they come, and counted; nobody else notices. A peer is an IP
	// address, or a network of IPv6 with a prefix of 64 bits, since whoever has one of
	// its addresses has them all (but link-local addresses count one by one). What
	// counts is the open descriptor: a connection that's closed and still referenced
	// doesn't. TCP only.
	MaxPerAddress int

	// AcceptRate is how many connections are accepted in a second; 0: as many as come.
	// AcceptBurst is how many may come at a time when few have come before; 0: those of
	// one second, at least 1. Further ones are reset when they come, and counted: see
	// docs/adr/0008.
	AcceptRate  float64
	AcceptBurst int

	TLS      *secure.Context     // makes every connection a TLS server's; nil: plain
	Sessions conn.SessionFactory // what else stands between the bytes and the callbacks; nil: nothing
}

// URL is the listener in the form that ParseListener reads.
func (l Listener) URL() string {
	if l.Network == "unix" {
		return "unix://" + l.Address
	}
	return l.Network + "://" + l.Address
}

// ParseListener reads tcp://host:port (also tcp4 and tcp6), unix:///path (unix://@name for
// an abstract name) and tls://host:port, whose TLS is then to be set.
func ParseListener(url string) (Listener, error) {
	network, address, found := strings.Cut(url, "://")
	if !found {
		return Listener{}, fmt.Errorf("listener %q: want a URL such as tcp://127.0.0.1:7007, tls://127.0.0.1:7443 or unix:///run/echod.sock", url)
	}
	l := Listener{Network: network, Address: address}
	return l, l.check()
}

func (l Listener) check() error {
	switch l.Network {
	case "tcp", "tcp4", "tcp6", networkTLS:
		if _, _, err := parseHostPort(l.Address); err != nil {
			return fmt.Errorf("listener %q: %w", l.URL(), err)
		}
		if l.Mode != 0 {
			return fmt.Errorf("listener %q: Mode is for unix listeners", l.URL())
		}
	case "unix":
		if err := checkPath(l.Address); err != nil {
			return fmt.Errorf("listener %q: %w", l.URL(), err)
		}
		if l.ReusePort {
			return fmt.Errorf("listener %q: ReusePort is for tcp listeners", l.URL())
		}
		if l.MaxPerAddress != 0 {
			return fmt.Errorf("listener %q: MaxPerAddress is for tcp listeners: all peers of a Unix-domain socket have the same address; use MaxConnections", l.URL())
		}
	case "":
		return errors.New("listener without a Network: want tcp, tcp4, tcp6, tls or unix")
	default:
		return fmt.Errorf("listener %q: unknown network %q: want tcp, tcp4, tcp6, tls or unix", l.URL(), l.Network)
	}
	return l.checkLimits()
}

func (l Listener) checkLimits() error {
	switch {
	case l.Backlog < 0:
		return fmt.Errorf("listener %q: Backlog is %d: want 0 or more", l.URL(), l.Backlog)
	case l.MaxConnections < 0:
		return fmt.Errorf("listener %q: MaxConnections is %d: want 0 (no limit) or more", l.URL(), l.MaxConnections)
	case l.MaxPerAddress < 0:
		return fmt.Errorf("listener %q: MaxPerAddress is %d: want 0 (no limit) or more", l.URL(), l.MaxPerAddress)
	case !(l.AcceptRate >= 0 && l.AcceptRate <= math.MaxFloat64): // nor is it NaN
		return fmt.Errorf("listener %q: AcceptRate is %v: want 0 (no limit) or more connections per second", l.URL(), l.AcceptRate)
	case l.AcceptBurst < 0:
		return fmt.Errorf("listener %q: AcceptBurst is %d: want 0 (those of a second) or more", l.URL(), l.AcceptBurst)
	case l.AcceptBurst > 0 && l.AcceptRate == 0:
		return fmt.Errorf("listener %q: AcceptBurst is set without AcceptRate: set both", l.URL())
	}
	return nil
}

// reservedName is what outgoing connections are counted under.
const reservedName = "outgoing"

// validate checks the configuration as a whole and fills in the defaults.
func (c *Config) validate() error {
	if c.Callback == nil {
		return errors.New("server: Config.Callback is nil: want a type that embeds server.BaseCallback")
	}
	if err := checkCallback(c.Callback); err != nil {
		return err
	}
	if c.MaxConnections < 0 {
		return fmt.Errorf("server: Config.MaxConnections is %d: want 0 (no limit) or more", c.MaxConnections)
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = DefaultDrainTimeout
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	names := map[string]bool{}
	listeners := make([]Listener, len(c.Listeners))
	for i, l := range c.Listeners {
		if err := l.check(); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		switch {
		case l.Network == networkTLS && l.TLS == nil:
			return fmt.Errorf("server: listener %q: TLS is nil: want a secure.Context with a certificate", l.URL())
		case l.TLS != nil && l.Sessions != nil:
			return fmt.Errorf("server: listener %q: TLS and Sessions are set: want one of them", l.URL())
		}
		if l.Name == "" {
			l.Name = l.URL()
		}
		switch {
		case l.Name == reservedName:
			return fmt.Errorf("server: listener name %q is reserved for outgoing connections", l.Name)
		case names[l.Name]:
			return fmt.Errorf("server: two listeners are named %q", l.Name)
		}
		names[l.Name] = true
		listeners[i] = l
	}
	c.Listeners = listeners
	return nil
}
