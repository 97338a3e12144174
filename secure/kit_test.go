package secure_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// failSafe ends a test that waits for something that doesn't come.
const failSafe = 30 * time.Second

var discard = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The keys, each made once: it's the certificates that differ.
var keys = map[string]func() crypto.Signer{
	"ECDSA":   sync.OnceValue(func() crypto.Signer { return made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	"RSA":     sync.OnceValue(func() crypto.Signer { return made(rsa.GenerateKey(rand.Reader, 2048)) }),
	"Ed25519": sync.OnceValue(func() crypto.Signer { _, key, err := ed25519.GenerateKey(rand.Reader); return made(key, err) }),
	"another": sync.OnceValue(func() crypto.Signer { return made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
}

func made[K crypto.Signer](key K, err error) crypto.Signer {
	if err != nil {
		panic(err)
	}
	return key
}

// identity is a certificate with its key.
type identity struct {
	*x509.Certificate
	key crypto.Signer
}

var serials atomic.Int64

// issue makes a certificate, signed by an authority or, without one, by itself.
func issue(t testing.TB, by *identity, key string, template x509.Certificate) *identity {
	t.Helper()
	id := &identity{key: keys[key]()}
	template.SerialNumber = big.NewInt(serials.Add(1))
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	template.BasicConstraintsValid = true
	issuer, signer := &template, id.key
	if by != nil {
		issuer, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, issuer, id.key.Public(), signer)
	must(t, err)
	id.Certificate, err = x509.ParseCertificate(der)
	must(t, err)
	return id
}

func authority(t testing.TB, name string) *identity {
	t.Helper()
	return issue(t, nil, "ECDSA", x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
}

// leaf makes a certificate for host names; an IP address among them is one.
func (id *identity) leaf(t testing.TB, key string, names ...string) *identity {
	t.Helper()
	return issue(t, id, key, named(names...))
}

func named(names ...string) (c x509.Certificate) {
	c.Subject = pkix.Name{CommonName: names[0]}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	return c
}

func expired(c x509.Certificate) x509.Certificate {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	return c
}

func (id *identity) pair() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{id.Raw}, PrivateKey: id.key}
}

func (id *identity) certificate() secure.Certificate { return secure.Certificate{Pair: id.pair()} }

func (id *identity) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(id.Certificate)
	return p
}

func (id *identity) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Raw})
}

func (id *identity) keyDER(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	must(t, err)
	return der
}

func (id *identity) keyPEM(t testing.TB) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: id.keyDER(t)})
}

// save writes certificate and key to two files of a folder.
func (id *identity) save(t testing.TB, dir string) secure.Certificate {
	t.Helper()
	c := secure.Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	write(t, c.CertFile, id.certPEM())
	write(t, c.KeyFile, id.keyPEM(t))
	return c
}

// write replaces a file, all at once.
func write(t testing.TB, file string, p []byte) {
	t.Helper()
	must(t, os.WriteFile(file+".new", p, 0o600))
	must(t, os.Rename(file+".new", file))
}

// book is a log, or what else is written from several goroutines.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *book) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// newContext makes a quiet one.
func newContext(t testing.TB, c secure.Config) *secure.Context {
	t.Helper()
	if c.Logger == nil {
		c.Logger = discard
	}
	x, err := secure.NewContext(c)
	must(t, err)
	return x
}

// echo sends back what it reads.
type echo struct{ server.BaseCallback }

func (echo) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { c.Read() }
func (echo) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	c.Write(b)
	c.Read()
}

// serve runs a server with a listener for each of the Contexts, until the test ends, and
// returns their addresses.
func serve(t testing.TB, callback server.Callback, all ...*secure.Context) []string {
	t.Helper()
	config := server.Config{Callback: callback, Logger: discard}
	for i, x := range all {
		config.Listeners = append(config.Listeners, server.Listener{Name: string(rune('A' + i)), Network: "tcp", Address: "127.0.0.1:0", TLS: x})
	}
	srv, err := server.New(config)
	must(t, err)
	must(t, srv.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), failSafe)
		defer cancel()
		srv.AbortAllConnections()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	var at []string
	for _, l := range config.Listeners {
		at = append(at, srv.Addrs()[l.Name][0].String())
	}
	return at
}

// outcome is what came of a connection, as a client sees it, or a server.
type outcome struct {
	state tls.ConnectionState
	err   error
}

const said = "said and said again"

// dial connects with crypto/tls, has something said again, and closes.
func dial(at string, config *tls.Config) outcome {
	raw, err := net.DialTimeout("tcp", at, failSafe)
	if err != nil {
		return outcome{err: err}
	}
	return shake(raw, config)
}

// shake is dial on a connection that there is.
func shake(raw net.Conn, config *tls.Config) outcome {
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(failSafe))
	c := tls.Client(raw, config)
	o := outcome{err: c.Handshake()}
	o.state = c.ConnectionState()
	if o.err != nil {
		return o
	}
	if _, o.err = io.WriteString(c, said); o.err != nil {
		return o
	}
	again := make([]byte, len(said))
	if _, o.err = io.ReadFull(c, again); o.err == nil && string(again) != said {
		o.err = errors.New("it isn't what was said")
	}
	if o.err == nil {
		o.err = c.CloseWrite()
	}
	return o
}

// trusting is a client's configuration.
func trusting(by *identity, name string) *tls.Config {
	return &tls.Config{RootCAs: by.pool(), ServerName: name}
}

// accept serves one connection with crypto/tls: it says again what it's told.
func accept(l net.Listener, config *tls.Config) outcome {
	raw, err := l.Accept()
	if err != nil {
		return outcome{err: err}
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(failSafe))
	c := tls.Server(raw, config)
	o := outcome{err: c.Handshake()}
	o.state = c.ConnectionState()
	if o.err != nil {
		return o
	}
	if _, o.err = io.Copy(c, c); o.err == nil {
		o.err = c.CloseWrite()
	}
	return o
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}
