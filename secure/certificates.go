package secure

import (
	"crypto/tls"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-net/sluice/conn"
)

// source is a certificate as it was given, and what was last loaded from it.
type source struct {
	from   Certificate
	loaded *tls.Certificate
	stale  []byte // a staple that isn't about it
}

// sources are all that a Context was given.
type sources struct {
	config  []*source          // Config.Certificates
	servers map[string]*source // by SetServerCertificate
	clients map[string]*source // Config.Client, and by SetClientCertificate
}

func (s *sources) all() iter.Seq[*source] {
	return func(yield func(*source) bool) {
		for _, one := range s.config {
			if !yield(one) {
				return
			}
		}
		for _, m := range []map[string]*source{s.servers, s.clients} {
			for _, one := range m {
				if !yield(one) {
					return
				}
			}
		}
	}
}

// certificates are what connections choose from; never changed. They stand under host
// names, *.domain and IP addresses, in the form of hostKey; under "" are those for all the
// others.
type certificates struct {
	servers  map[string][]*tls.Certificate // the preferred first
	clients  map[string]*tls.Certificate
	sessions tls.ClientSessionCache // of clients who show these
}

// index makes the certificates of sources.
func (s *sources) index() *certificates {
	c := &certificates{servers: map[string][]*tls.Certificate{}, clients: map[string]*tls.Certificate{}}
	for _, one := range s.config {
		pair := one.loaded
		c.servers[""] = append(c.servers[""], pair)
		for _, name := range pair.Leaf.DNSNames {
			key := hostKey(name)
			c.servers[key] = append(c.servers[key], pair)
		}
		for _, ip := range pair.Leaf.IPAddresses {
			key := hostKey(ip.String())
			c.servers[key] = append(c.servers[key], pair)
		}
	}
	for key, one := range s.servers {
		c.servers[key] = []*tls.Certificate{one.loaded}
	}
	for key, one := range s.clients {
		c.clients[key] = one.loaded
	}
	return c
}

// hostKey is the one form of a host name or an IP address.
func hostKey(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return name
}

// server chooses by the name that the client asks for, and then by what it can verify.
func (c *certificates) server(hello *tls.ClientHelloInfo) *tls.Certificate {
	key := hostKey(hello.ServerName)
	if key == "" && hello.Conn != nil { // who connects to an address has no name to ask for
		if at, ok := hello.Conn.LocalAddr().(conn.Addr); ok && !at.IsUnix() {
			key = hostKey(at.AddrPort.Addr().String())
		}
	}
	found := c.servers[key]
	if _, domain, ok := strings.Cut(key, "."); ok && found == nil {
		found = c.servers["*."+domain]
	}
	if found == nil {
		found = c.servers[""]
	}
	if len(found) == 0 {
		return nil
	}
	nameless := *hello
	nameless.ServerName = "" // the name was looked at
	for _, pair := range found[:len(found)-1] {
		if nameless.SupportsCertificate(pair) == nil {
			return pair
		}
	}
	if last := found[len(found)-1]; len(found) > 1 && nameless.SupportsCertificate(last) == nil {
		return last
	}
	return found[0]
}

var noCertificate = &tls.Certificate{}

// client chooses by the server's name.
func (c *certificates) client(serverName string) *tls.Certificate {
	for _, key := range []string{hostKey(serverName), ""} {
		if pair := c.clients[key]; pair != nil {
			return pair
		}
	}
	return noCertificate
}

// SetServerCertificate has servers show another certificate (the seeds' call). Without a host
// name it's for all names that have none of their own; one that begins with *. is for a whole
// domain. It replaces what Config.Certificates has for that name, also after Reload, which
// reads its files, too.
func (x *Context) SetServerCertificate(c Certificate, hostName string) error {
	return x.set(c, func(s *sources, one *source) { s.servers[hostKey(hostName)] = one })
}

// SetClientCertificate has clients show another certificate to servers that ask for one (the
// seeds' call): to one server, or without a host name to all that have none of their own.
// Reload reads its files, too.
func (x *Context) SetClientCertificate(c Certificate, hostName string) error {
	return x.set(c, func(s *sources, one *source) { s.clients[hostKey(hostName)] = one })
}

// DisableClientCertificate has clients show none (the seeds' call), until
// SetClientCertificate is called again. Sessions that began with one aren't resumed.
func (x *Context) DisableClientCertificate() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.sources.clients)
	x.publishLocked()
}

func (x *Context) set(c Certificate, put func(*sources, *source)) error {
	pair, err := c.load()
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	x.note(pair)
	x.mu.Lock()
	defer x.mu.Unlock()
	put(&x.sources, &source{from: c, loaded: pair})
	x.publishLocked()
	return nil
}

// publishLocked has connections that begin from now on take what there is now. Clients who
// show other certificates don't resume sessions in which they have shown those before.
func (x *Context) publishLocked() {
	certs, last := x.sources.index(), x.current.Load()
	switch {
	case x.config.NoTickets:
	case last != nil && maps.Equal(last.certs.clients, certs.clients):
		certs.sessions = last.certs.sessions
	default:
		certs.sessions = tls.NewLRUClientSessionCache(0)
	}
	config := x.shared.Clone()
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return certs.server(hello), nil // nil: unrecognized_name
	}
	x.current.Store(&settings{config, certs})
}

// note logs what's from now on in use.
func (x *Context) note(c *tls.Certificate) {
	about := []any{"subject", c.Leaf.Subject.String(), "names", c.Leaf.DNSNames, "not_after", c.Leaf.NotAfter, "sha256", Fingerprint(c.Leaf)}
	if err := checkDates(c.Leaf); err != nil {
		x.log.Warn("TLS certificate that nobody should trust: it is out of date", append(about, "error", err)...)
		return
	}
	x.log.Debug("TLS certificate", about...)
}

// NotAfter is when the first of the server's certificates expires; zero without any.
func (x *Context) NotAfter() (first time.Time) {
	for _, some := range x.current.Load().certs.servers {
		for _, c := range some {
			if first.IsZero() || c.Leaf.NotAfter.Before(first) {
				first = c.Leaf.NotAfter
			}
		}
	}
	return first
}

// CertificateFingerprint is the SHA-256 of the server's certificate for a host name ("": of
// the one for names that have none), in hexadecimal; "" if there's none (the seeds'
// GetCertificateFingerprint).
func (x *Context) CertificateFingerprint(hostName string) string {
	c := x.current.Load().certs.server(&tls.ClientHelloInfo{ServerName: hostName})
	if c == nil {
		return ""
	}
	return Fingerprint(c.Leaf)
}
