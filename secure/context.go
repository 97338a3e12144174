package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-net/sluice/conn"
)

// Config sets up a Context. The zero value is a client's: it verifies servers against the
// system's roots. A server needs a certificate, here or by SetServerCertificate.
type Config struct {
	// Certificates of the server. A client gets one that has the name it asks for, exactly
	// or as *.domain, or, if it asks for none, the address that it connected to; else one of
	// all. Among several it's the first whose key the client can use: ECDSA, then RSA, say.
	Certificates []Certificate
	Client       *Certificate // of the client, for servers that ask for one

	Roots         *x509.CertPool     // whom a client trusts
	RootFiles     []string           // … besides, in files of PEM, which Reload reads again; neither: the system's
	Verify        Verification       // of servers by a client
	ClientCAs     *x509.CertPool     // whom a server trusts; never the system's
	ClientCAFiles []string           // … besides, in files of PEM, which Reload reads again
	ClientAuth    tls.ClientAuthType // what a server asks of clients
	Revoked       *Revocations       // certificates that nobody trusts any more, whatever is verified; nil: none

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

// Context has what secure connections are made with (the seeds' ISocketContext). It's a
// conn.SessionFactory. Any goroutine may use and change it; a change is for connections that
// begin after it.
type Context struct {
	// Immutable.
	config  Config
	tickets *tls.Config // has the keys of session tickets, for all its copies
	gate    *Gate
	log     *slog.Logger

	mu sync.Mutex // of those who change it

	// Guarded by mu.
	sources          sources
	roots, clientCAs authorities
	shared           *tls.Config // what all connections have in common; never changed, but replaced

	current atomic.Pointer[settings]
}

// settings are what connections begin with, and keep: all of it from the same moment.
type settings struct {
	config *tls.Config // a server's, and a client's but for its own
	certs  *certificates
}

// ErrNoCertificate is NewSession's error for a server that has no certificate at all.
var ErrNoCertificate = errors.New("secure: a server without a certificate: want Config.Certificates or SetServerCertificate")

// NewContext checks the configuration and loads the certificates.
func NewContext(c Config) (*Context, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Certificates, c.ALPN = slices.Clone(c.Certificates), slices.Clone(c.ALPN)
	x := &Context{config: c, gate: c.Gate, log: c.Logger, tickets: &tls.Config{}}
	if x.log == nil {
		x.log = slog.Default()
	}
	if x.gate == nil {
		x.gate = NewGate(0, 0)
	}
	if len(c.TicketKeys) > 0 {
		x.tickets.SetSessionTicketKeys(c.TicketKeys)
	}
	x.roots = authorities{given: c.Roots, files: slices.Clone(c.RootFiles)}
	x.clientCAs = authorities{given: c.ClientCAs, files: slices.Clone(c.ClientCAFiles)}
	if err := x.roots.reload(); err != nil {
		return nil, fmt.Errorf("secure: Config.RootFiles: %w", err)
	}
	if err := x.clientCAs.reload(); err != nil {
		return nil, fmt.Errorf("secure: Config.ClientCAFiles: %w", err)
	}
	x.shared = x.base()
	x.sources = sources{servers: map[string]*source{}, clients: map[string]*source{}}
	for i, from := range c.Certificates {
		pair, err := from.load()
		if err != nil {
			return nil, fmt.Errorf("secure: Config.Certificates[%d]: %w", i, err)
		}
		x.sources.config = append(x.sources.config, &source{from: from, loaded: pair})
	}
	if c.Client != nil {
		pair, err := c.Client.load()
		if err != nil {
			return nil, fmt.Errorf("secure: Config.Client: %w", err)
		}
		x.sources.clients[""] = &source{from: *c.Client, loaded: pair}
	}
	for s := range x.sources.all() {
		x.note(s.loaded)
	}
	x.publishLocked() // nobody else has it
	if c.KeyLog != nil {
		x.log.Warn("TLS secrets are being logged: whoever has the log can read every connection")
	}
	return x, nil
}

// base makes what all connections have in common.
func (x *Context) base() *tls.Config {
	c := x.config
	return &tls.Config{
		RootCAs: x.roots.pool(), ClientCAs: x.clientCAs.pool(), ClientAuth: c.ClientAuth,
		MinVersion: max(c.MinVersion, tls.VersionTLS12), MaxVersion: c.MaxVersion, CipherSuites: slices.Clone(c.CipherSuites),
		NextProtos:             c.ALPN,
		SessionTicketsDisabled: c.NoTickets, KeyLogWriter: newKeyLog(c.KeyLog),
		// A copy would have keys of its own otherwise, and nobody else's tickets.
		WrapSession: x.tickets.EncryptTicket, UnwrapSession: x.tickets.DecryptTicket,
		Renegotiation:               tls.RenegotiateNever,
		DynamicRecordSizingDisabled: true, // a write goes out in full records
		VerifyConnection:            x.verifyClient,
	}
}

var errNoName = errors.New("secure: no server name: want the name that the server's certificate is for")

// checkName refuses a client that couldn't verify anybody, for want of a name.
func (x *Context) checkName(role conn.Role, serverName string) error {
	if role == conn.Client && serverName == "" && x.config.Verify != VerifyNone {
		return errNoName
	}
	return nil
}

// NewSession implements conn.SessionFactory.
func (x *Context) NewSession(role conn.Role, serverName string) (conn.Session, error) {
	now := x.current.Load()
	config, certs := now.config, now.certs
	switch role {
	case conn.Server:
		if len(certs.servers) == 0 {
			return nil, ErrNoCertificate
		}
	case conn.Client:
		if err := x.checkName(role, serverName); err != nil {
			return nil, err
		}
		config = config.Clone()
		config.ServerName = serverName
		config.InsecureSkipVerify = x.config.Verify != VerifyAll
		config.ClientSessionCache = certs.sessions
		config.VerifyConnection = func(s tls.ConnectionState) error { return x.verifyServer(s, serverName) }
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certs.client(serverName), nil
		}
	}
	return &session{role: role, config: config, gate: x.gate}, nil
}

// SetALPNProtocols replaces the protocols, the preferred first (the seeds' call); none: the
// peer's choice isn't asked for.
func (x *Context) SetALPNProtocols(protocols ...string) error {
	if err := checkALPN(protocols); err != nil {
		return fmt.Errorf("secure: SetALPNProtocols: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shared = x.shared.Clone()
	x.shared.NextProtos = slices.Clone(protocols)
	x.publishLocked()
	return nil
}

// SetSessionTicketKeys replaces the keys of session tickets: the first is for new tickets,
// all of them open what comes. Processes that share keys resume each other's sessions.
// Without it, and without Config.TicketKeys, the process makes keys of its own, a new one
// every day, and forgets them after a week.
func (x *Context) SetSessionTicketKeys(keys ...[32]byte) error {
	switch {
	case len(keys) == 0:
		return errors.New("secure: no ticket keys: want one at least")
	case x.config.NoTickets:
		return errors.New("secure: ticket keys with Config.NoTickets")
	}
	if err := checkTicketKeys(keys); err != nil {
		return fmt.Errorf("secure: SetSessionTicketKeys: %w", err)
	}
	x.tickets.SetSessionTicketKeys(keys)
	return nil
}
