package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-net/sluice/conn"
)

// Config sets up a Context. The zero value is a client's: it verifies servers against the
// system's roots. A server needs a certificate, here or by SetServerCertificate.
type Config struct {
	Certificates []Certificate // of the server; the first is for clients who ask for a name that none has
	Client       *Certificate  // of the client, for servers that ask for one

	Roots      *x509.CertPool     // whom a client trusts; nil: the system's
	Verify     Verification       // of servers by a client
	ClientCAs  *x509.CertPool     // whom a server trusts
	ClientAuth tls.ClientAuthType // what a server asks of clients
	Revoked    *Revocations       // certificates that nobody trusts any more; nil: none

	ALPN         []string // protocols, the preferred first
	MinVersion   uint16   // tls.VersionTLS12 (0) or tls.VersionTLS13
	MaxVersion   uint16   // 0: the newest
	CipherSuites []uint16 // of TLS 1.2, by crypto/tls's numbers; nil: its own choice

	NoTickets  bool       // sessions aren't resumed
	TicketKeys [][32]byte // to be shared with other processes; the first is for new tickets; nil: the process's own
	Gate       *Gate      // of the handshakes; nil: the Context's own
	KeyLog     io.Writer  // gets every connection's secrets: for debugging, and never else

	Logger *slog.Logger // nil: slog.Default()
}

// Verification is how much a client demands of a server's certificate.
type Verification uint8

// The verifications (rSetSocketVerify's two flags).
const (
	VerifyAll  Verification = iota // peer and issuer: the name, the dates and who has signed
	VerifyPeer                     // the name and the dates; anybody may have signed, the server itself, too
	VerifyNone                     // nothing: whoever is between can read and change all
)

// Context has what secure connections are made with (the seeds' ISocketContext). It's a
// conn.SessionFactory. Any goroutine may use and change it; a change is for connections that
// begin after it.
type Context struct {
	// Immutable.
	config Config
	base   *tls.Config // what all connections share
	gate   *Gate
	log    *slog.Logger

	mu    sync.Mutex // of those who change it
	certs atomic.Pointer[certificates]
	alpn  atomic.Pointer[[]string]
}

// certificates are what a Context has at a time; never changed.
type certificates struct {
	names    map[string]*tls.Certificate // by host name, or *.domain
	fallback *tls.Certificate
	client   *tls.Certificate
	clients  map[string]*tls.Certificate // by the server's name
}

// NewContext checks the configuration and loads the certificates.
func NewContext(c Config) (*Context, error) {
	x := &Context{config: c, gate: c.Gate, log: c.Logger}
	if x.log == nil {
		x.log = slog.Default()
	}
	if x.gate == nil {
		x.gate = NewGate(0, 0)
	}
	if err := x.setBase(); err != nil {
		return nil, err
	}
	x.alpn.Store(&c.ALPN)
	if err := x.Reload(); err != nil {
		return nil, err
	}
	if c.KeyLog != nil {
		x.log.Warn("TLS secrets are being logged: whoever has the log can read every connection")
	}
	return x, nil
}

func (x *Context) setBase() error {
	c := x.config
	for field, v := range map[string]uint16{"MinVersion": c.MinVersion, "MaxVersion": c.MaxVersion} {
		if v != 0 && v != tls.VersionTLS12 && v != tls.VersionTLS13 {
			return fmt.Errorf("secure: Config.%s is %#x: want tls.VersionTLS12 or tls.VersionTLS13", field, v)
		}
	}
	if c.MaxVersion != 0 && c.MinVersion > c.MaxVersion {
		return errors.New("secure: Config.MinVersion is above MaxVersion")
	}
	known := map[uint16]bool{}
	for _, s := range tls.CipherSuites() {
		known[s.ID] = true
	}
	for _, id := range c.CipherSuites {
		if !known[id] {
			return fmt.Errorf("secure: Config.CipherSuites has %#04x (%s): want suites of tls.CipherSuites()", id, tls.CipherSuiteName(id))
		}
	}
	if c.Verify > VerifyNone {
		return fmt.Errorf("secure: Config.Verify is %d: want VerifyAll, VerifyPeer or VerifyNone", c.Verify)
	}
	x.base = &tls.Config{
		RootCAs: c.Roots, ClientCAs: c.ClientCAs, ClientAuth: c.ClientAuth,
		MinVersion: max(c.MinVersion, tls.VersionTLS12), MaxVersion: c.MaxVersion, CipherSuites: c.CipherSuites,
		SessionTicketsDisabled: c.NoTickets, KeyLogWriter: c.KeyLog,
		Renegotiation:               tls.RenegotiateNever,
		DynamicRecordSizingDisabled: true, // a write goes out in full records
		GetCertificate:              x.serverCertificate,
		VerifyConnection:            x.verify,
	}
	if !c.NoTickets {
		x.base.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		if len(c.TicketKeys) > 0 {
			x.base.SetSessionTicketKeys(c.TicketKeys)
		}
	}
	return nil
}

// NewSession implements conn.SessionFactory.
func (x *Context) NewSession(role conn.Role, serverName string) (conn.Session, error) {
	config := x.base
	protocols := *x.alpn.Load()
	if role == conn.Client || len(protocols) > 0 {
		config = config.Clone()
		config.NextProtos = protocols
	}
	if role == conn.Client {
		if serverName == "" && x.config.Verify != VerifyNone {
			return nil, errors.New("secure: no server name: want the name that the server's certificate is for")
		}
		config.ServerName = serverName
		config.InsecureSkipVerify = x.config.Verify != VerifyAll
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return x.clientCertificate(serverName), nil
		}
	}
	return &session{role: role, config: config, gate: x.gate}, nil
}

// verify is what's demanded beyond crypto/tls's own verification.
func (x *Context) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) > 0 && x.config.Verify == VerifyPeer && s.ServerName != "" && len(s.VerifiedChains) == 0 {
		leaf := s.PeerCertificates[0]
		if err := leaf.VerifyHostname(s.ServerName); err != nil {
			return err
		}
		if err := checkDates(leaf); err != nil {
			return err
		}
	}
	return x.config.Revoked.check(s.VerifiedChains)
}

// SetALPNProtocols replaces the protocols, the preferred first (the seeds' call).
func (x *Context) SetALPNProtocols(protocols ...string) {
	protocols = append([]string(nil), protocols...)
	x.alpn.Store(&protocols)
}

// SetSessionTicketKeys replaces the keys of session tickets: the first is for new tickets,
// all of them open what comes. Processes that share keys resume each other's sessions.
func (x *Context) SetSessionTicketKeys(keys ...[32]byte) error {
	if len(keys) == 0 {
		return errors.New("secure: no ticket keys: want one at least")
	}
	x.base.SetSessionTicketKeys(keys)
	return nil
}

// SetServerCertificate has servers show another certificate (the seeds' call). Without a host
// name it's for all names that have none of their own; one that begins with *. is for a whole
// domain.
func (x *Context) SetServerCertificate(c Certificate, hostName string) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	x.change(func(all *certificates) {
		if hostName == "" {
			all.fallback = loaded
		} else {
			all.names[strings.ToLower(hostName)] = loaded
		}
	})
	return nil
}

// SetClientCertificate has clients show another certificate to servers that ask for one (the
// seeds' call): to one server, or without a host name to all that have none of their own.
func (x *Context) SetClientCertificate(c Certificate, hostName string) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	x.change(func(all *certificates) {
		if hostName == "" {
			all.client = loaded
		} else {
			all.clients[strings.ToLower(hostName)] = loaded
		}
	})
	return nil
}

// DisableClientCertificate has clients show none (the seeds' call).
func (x *Context) DisableClientCertificate() {
	x.change(func(all *certificates) { all.client, all.clients = nil, map[string]*tls.Certificate{} })
}

// change publishes a changed copy.
func (x *Context) change(edit func(*certificates)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := x.certs.Load().clone()
	edit(next)
	x.certs.Store(next)
}

// serverCertificate chooses by the name that the client asks for.
func (x *Context) serverCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := x.certs.Load()
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	if c := all.names[name]; c != nil {
		return c, nil
	}
	if _, domain, found := strings.Cut(name, "."); found {
		if c := all.names["*."+domain]; c != nil {
			return c, nil
		}
	}
	return all.fallback, nil // nil: unrecognized_name
}

func (x *Context) clientCertificate(serverName string) *tls.Certificate {
	all := x.certs.Load()
	switch c := all.clients[strings.ToLower(serverName)]; {
	case c != nil:
		return c
	case all.client != nil:
		return all.client
	default:
		return &tls.Certificate{} // none
	}
}
