package secure_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/secure"
)

// trial is one cell of the matrix.
type trial struct {
	version uint16
	key     string
	client  clientCase
	resume  bool
	alpn    string // what the client offers: the server's "match", "mismatch", or "": nothing
	name    string // what the client asks for; "": an address, which isn't asked for
}

func (c trial) String() string {
	return strings.ReplaceAll(fmt.Sprintf("%s,%s,client=%s,resume=%v,alpn=%s,name=%s", tls.VersionName(c.version), c.key, c.client.name, c.resume, c.alpn, c.name), " ", "")
}

func (c trial) works() bool { return c.client.works && c.alpn != "mismatch" }

// times is how often the client connects.
func (c trial) times() int {
	if c.works() {
		return 2
	}
	return 1
}

func (c trial) offers() []string {
	if c.alpn == "" {
		return nil
	}
	return []string{"other", c.alpn}
}

// clientCase is what the server asks of clients, and what the client has.
type clientCase struct {
	name  string
	auth  tls.ClientAuthType
	shows func(*matrix) *identity // nil: none
	works bool
}

var clientCases = []clientCase{
	{"none", tls.NoClientCert, nil, true},
	{"requested", tls.RequestClientCert, nil, true},
	{"required-valid", tls.RequireAndVerifyClientCert, func(m *matrix) *identity { return m.client }, true},
	{"required-missing", tls.RequireAndVerifyClientCert, nil, false},
	{"wrong-CA", tls.RequireAndVerifyClientCert, func(m *matrix) *identity { return m.stranger }, false},
	{"expired", tls.RequireAndVerifyClientCert, func(m *matrix) *identity { return m.expired }, false},
}

func trials() (all []trial) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, key := range []string{"ECDSA", "RSA", "Ed25519"} {
			for _, client := range clientCases {
				for _, resume := range []bool{false, true} {
					all = append(all,
						trial{version, key, client, resume, "match", "a.test"},
						trial{version, key, client, resume, "", "a.test"},
						trial{version, key, client, resume, "match", ""})
					if !resume {
						all = append(all, trial{version, key, client, resume, "mismatch", "a.test"})
					}
				}
			}
		}
	}
	return all
}

// matrix has what the trials need.
type matrix struct {
	ca                        *identity
	servers                   map[string]*identity // by key
	client, stranger, expired *identity
}

func newMatrix(t *testing.T) *matrix {
	m := &matrix{ca: authority(t, "matrix"), servers: map[string]*identity{}}
	for _, key := range []string{"ECDSA", "RSA", "Ed25519"} {
		m.servers[key] = m.ca.leaf(t, key, "a.test", "127.0.0.1")
	}
	m.client = m.ca.leaf(t, "another", "client")
	m.stranger = authority(t, "stranger").leaf(t, "another", "client")
	m.expired = issue(t, m.ca, "another", expired(named("client")))
	return m
}

// judge holds the outcomes of a trial's connections, one after the other, against what
// has to come of them. Only the side that's of the standard library tells about itself.
func (c trial) judge(t *testing.T, i int, o outcome) {
	t.Helper()
	if (o.err == nil) != c.works() {
		t.Fatalf("connection %d: %v, want it to work: %v", i, o.err, c.works())
	}
	if o.err != nil {
		return
	}
	if o.state.Version != c.version || o.state.NegotiatedProtocol != c.alpn {
		t.Errorf("connection %d has %s, %q", i, tls.VersionName(o.state.Version), o.state.NegotiatedProtocol)
	}
	if want := c.resume && i > 0; o.state.DidResume != want {
		t.Errorf("connection %d is resumed: %v, want %v", i, o.state.DidResume, want)
	}
}

// DESIGN, TLS; faults.md, TLS: ALPN mismatch, client certificate none/expired/wrong CA. Our
// server with clients of the standard library.
func TestMatrixOfServers(t *testing.T) {
	m := newMatrix(t)
	type listener struct {
		key  string
		auth tls.ClientAuthType
	}
	var all []*secure.Context
	index := map[listener]int{}
	for key, id := range m.servers {
		for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAndVerifyClientCert} {
			index[listener{key, auth}] = len(all)
			all = append(all, newContext(t, secure.Config{
				Certificates: []secure.Certificate{id.certificate()}, ClientAuth: auth, ClientCAs: m.ca.pool(), ALPN: []string{"first", "match"},
			}))
		}
	}
	at := serve(t, echo{}, all...)
	for _, c := range trials() {
		t.Run(c.String(), func(t *testing.T) {
			config := trusting(m.ca, c.name)
			if c.name == "" {
				config.ServerName = "127.0.0.1"
			}
			config.MaxVersion, config.NextProtos = c.version, c.offers()
			if c.resume {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			}
			if c.client.shows != nil {
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return c.client.shows(m).pair(), nil
				}
			}
			for i := range c.times() {
				c.judge(t, i, dial(at[index[listener{c.key, c.client.auth}]], config))
			}
		})
	}
}

// The same with the roles swapped: our clients, and servers of the standard library.
func TestMatrixOfClients(t *testing.T) {
	m := newMatrix(t)
	l, calls := listen(t), newCaller(t)
	for _, c := range trials() {
		t.Run(c.String(), func(t *testing.T) {
			config := &tls.Config{
				Certificates: []tls.Certificate{*m.servers[c.key].pair()}, ClientAuth: c.client.auth, ClientCAs: m.ca.pool(), NextProtos: []string{"first", "match"},
			}
			of := secure.Config{Roots: m.ca.pool(), MaxVersion: c.version, ALPN: c.offers(), NoTickets: !c.resume}
			if c.client.shows != nil {
				shown := c.client.shows(m).certificate()
				of.Client = &shown
			}
			x := newContext(t, of)
			name := c.name
			if name == "" {
				name = "127.0.0.1"
			}
			for i := range c.times() {
				served := make(chan outcome, 1)
				go func() { served <- accept(l, config) }()
				err := calls.dial(x, l.Addr().String(), name)
				o := <-served
				if (err == nil) != c.works() {
					t.Fatalf("connection %d: %v for the client, %v for the server", i, err, o.err)
				}
				c.judge(t, i, o)
			}
		})
	}
}

// What's shown to a client who can't use the first of a name's certificates.
func TestKeyThatTheClientCanUse(t *testing.T) {
	ca := authority(t, "keys")
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{
		ca.leaf(t, "ECDSA", "a.test").certificate(), ca.leaf(t, "RSA", "a.test").certificate(),
	}})
	at := serve(t, echo{}, x)
	for suite, want := range map[uint16]x509.PublicKeyAlgorithm{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: x509.ECDSA,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:   x509.RSA,
	} {
		for _, name := range []string{"a.test", "unknown.test", ""} {
			config := &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}
			o := dial(at[0], config)
			must(t, o.err)
			if got := o.state.PeerCertificates[0].PublicKeyAlgorithm; got != want {
				t.Errorf("%q with %s: %v, want %v", name, tls.CipherSuiteName(suite), got, want)
			}
		}
	}
}
