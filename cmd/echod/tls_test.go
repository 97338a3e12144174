package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/secure"
)

const anyTLS = "tls://127.0.0.1:0"

// identity makes a certificate with a key.
func identity(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	own, err := secure.SelfSigned(time.Hour, names...)
	if err != nil {
		t.Fatal(err)
	}
	return *own.Pair
}

// fingerprint is a certificate's as the log has it.
func fingerprint(t *testing.T, c tls.Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return secure.Fingerprint(leaf)
}

// encode returns a certificate and its key as PEM.
func encode(t *testing.T, c tls.Certificate) (cert, key []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// write puts texts into a file.
func write(t *testing.T, path string, texts ...[]byte) string {
	t.Helper()
	if err := os.WriteFile(path, bytes.Join(texts, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writePair puts a certificate and its key into files of their own.
func writePair(t *testing.T, dir, name string, c tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	cert, key := encode(t, c)
	return write(t, filepath.Join(dir, name+".pem"), cert), write(t, filepath.Join(dir, name+".key"), key)
}

// secured connects with TLS, and returns the certificate's fingerprint.
func secured(t *testing.T, url string, c *tls.Config) (*tls.Conn, string) {
	t.Helper()
	own := c.Clone()
	own.InsecureSkipVerify = true // the test looks at the fingerprint
	client := tls.Client(dial(t, "tcp://"+strings.TrimPrefix(url, "tls://")), own)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	return client, secure.Fingerprint(client.ConnectionState().PeerCertificates[0])
}

// refused connects and fails unless the server ends that, in the handshake or right after it,
// as it does in TLS 1.3.
func refused(t *testing.T, url string, c *tls.Config) {
	t.Helper()
	own := c.Clone()
	own.InsecureSkipVerify = true // it's the server's turn
	client := tls.Client(dial(t, "tcp://"+strings.TrimPrefix(url, "tls://")), own)
	err := client.Handshake()
	if err == nil {
		_, err = client.Read(make([]byte, 1))
	}
	var alert *net.OpError
	if !errors.As(err, &alert) || alert.Op != "remote error" {
		t.Errorf("%v, want an alert", err)
	}
}

// TestTLSEcho: both versions, several MiB and a half-close, with the certificate that's made
// where none is given; its fingerprint is in the log.
func TestTLSEcho(t *testing.T) {
	t.Parallel()
	r := launch(t, nil, "--listen="+anyTLS)
	url := r.ready(t)
	if !strings.HasPrefix(url, "tls://127.0.0.1:") {
		t.Errorf("it listens on %s", url)
	}
	logged := r.log.await(t, "a self-signed certificate was made for this run: clients know it by its fingerprint").text("sha256")
	want := payload(payloadSize)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			c, shown := secured(t, url, &tls.Config{MinVersion: version, MaxVersion: version})
			if shown != logged {
				t.Errorf("the certificate is %s, logged is %s", shown, logged)
			}
			for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
				if err := c.ConnectionState().PeerCertificates[0].VerifyHostname(name); err != nil {
					t.Error(err)
				}
			}
			mustEcho(t, c, want)
		})
	}
}

// TestCertificatesByName: a client gets the certificate with the name that it asks for, or
// the first; keys are in files of their own, or beside their certificates.
func TestCertificatesByName(t *testing.T) {
	t.Parallel()
	first, second := identity(t, "first.test"), identity(t, "second.test", "*.third.test")
	names := map[string]tls.Certificate{
		"first.test": first, "second.test": second, "SECOND.test": second, "any.third.test": second, "other.test": first, "": first,
	}
	dir := t.TempDir()
	firstCert, firstKey := writePair(t, dir, "first", first)
	secondCert, secondKey := writePair(t, dir, "second", second)
	cert, key := encode(t, second)
	both := write(t, filepath.Join(dir, "both.pem"), cert, key)
	for name, env := range map[string]map[string]string{
		"apart":  {"ECHOD_TLS_CERT": firstCert + "," + secondCert, "ECHOD_TLS_KEY": firstKey + "," + secondKey},
		"beside": {"ECHOD_TLS_CERT": firstCert + "," + both, "ECHOD_TLS_KEY": firstKey + "," + both},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := launch(t, env, "--listen="+anyTLS)
			url := r.ready(t)
			r.log.await(t, "certificates loaded", "sha256", fingerprint(t, first))
			for name, want := range names {
				c, shown := secured(t, url, &tls.Config{ServerName: name})
				if shown != fingerprint(t, want) {
					t.Errorf("%q is shown the wrong certificate", name)
				}
				roundTrip(t, c, "hello")
			}
		})
	}
	t.Run("no keys", func(t *testing.T) {
		t.Parallel()
		_, shown := secured(t, launch(t, nil, "--listen="+anyTLS, "--tls-cert", both).ready(t), &tls.Config{})
		if shown != fingerprint(t, second) {
			t.Error("the wrong certificate")
		}
	})
}

// TestClientCertificates: with --tls-client-ca only those are served who show one that was
// signed by it.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	known, stranger := identity(t, "known"), identity(t, "stranger")
	ca, _ := writePair(t, t.TempDir(), "ca", known)
	url := launch(t, nil, "--listen="+anyTLS, "--tls-client-ca="+ca).ready(t)
	c, _ := secured(t, url, &tls.Config{Certificates: []tls.Certificate{known}})
	roundTrip(t, c, "hello")
	refused(t, url, &tls.Config{})
	// A polite client keeps a certificate to itself that the server doesn't ask for.
	refused(t, url, &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }})
}

// operations, A daemon: HUP reloads whose clients are served, also where the certificate is made
// at the start.
func TestReloadOfClientCA(t *testing.T) {
	t.Parallel()
	known, stranger := identity(t, "known"), identity(t, "stranger")
	dir := t.TempDir()
	ca, _ := writePair(t, dir, "ca", known)
	r := spawn(t, nil, "--listen="+anyTLS, "--tls-client-ca="+ca)
	url := r.ready(t)
	shows := func(c tls.Certificate) *tls.Config {
		return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }}
	}
	before, shown := secured(t, url, shows(known))
	roundTrip(t, before, "hello")
	refused(t, url, shows(stranger))

	writePair(t, dir, "ca", stranger)
	r.kill(t, unix.SIGHUP)
	r.log.await(t, "certificates reloaded", "sha256", shown)
	refused(t, url, shows(known))
	now, _ := secured(t, url, shows(stranger))
	roundTrip(t, now, "hello")
	roundTrip(t, before, "still here")

	write(t, ca, []byte("half a file"))
	r.kill(t, unix.SIGHUP)
	if e := r.log.await(t, "certificates that can't be reloaded stay as they were"); !strings.Contains(e.text("error"), ca) {
		t.Errorf("%v; want an error about %s", e, ca)
	}
	now, _ = secured(t, url, shows(stranger))
	roundTrip(t, now, "hello")
}

// TestTLSAgreement: --tls-min-version and --alpn.
func TestTLSAgreement(t *testing.T) {
	t.Parallel()
	url := launch(t, nil, "--listen="+anyTLS, "--tls-min-version=1.3", "--alpn=echo/2,echo/1").ready(t)
	refused(t, url, &tls.Config{MaxVersion: tls.VersionTLS12})
	refused(t, url, &tls.Config{NextProtos: []string{"http/1.1"}})
	for protocol, offer := range map[string][]string{"echo/2": {"echo/1", "echo/2"}, "echo/1": {"echo/1"}, "": nil} {
		c, _ := secured(t, url, &tls.Config{NextProtos: offer})
		if got := c.ConnectionState().NegotiatedProtocol; got != protocol {
			t.Errorf("%q of %q, want %q", got, offer, protocol)
		}
		roundTrip(t, c, "hello")
	}
}

// TestResumption: a client that comes back with a ticket is spared the handshake's greater
// part, with ALPN and without.
func TestResumption(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"plain": nil, "ALPN": {"--alpn=echo"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := launch(t, nil, append(args, "--listen="+anyTLS)...).ready(t)
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				client := &tls.Config{
					ServerName: "localhost", NextProtos: []string{"echo"}, MaxVersion: version,
					ClientSessionCache: tls.NewLRUClientSessionCache(1),
				}
				for i := range 3 {
					c, _ := secured(t, url, client)
					roundTrip(t, c, "hello") // the ticket comes before it
					if resumed := c.ConnectionState().DidResume; resumed != (i > 0) {
						t.Errorf("%s, connection %d: resumed is %t", tls.VersionName(version), i+1, resumed)
					}
					c.Close()
				}
			}
		})
	}
}

// faults.md, TLS: a certificate rotated while clients connect, and a broken one on disk, which
// keeps the last good one and is logged with its name. operations, A daemon: HUP reloads
// certificates.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, next := identity(t, "localhost"), identity(t, "localhost")
	cert, key := writePair(t, dir, "c", old)
	r := spawn(t, map[string]string{"ECHOD_LISTEN": anyTLS}, "--tls-cert", cert, "--tls-key", key)
	url := r.ready(t)
	must := func(want tls.Certificate) {
		t.Helper()
		c, shown := secured(t, url, &tls.Config{})
		if shown != fingerprint(t, want) {
			t.Error("the wrong certificate")
		}
		roundTrip(t, c, "hello")
	}
	must(old)
	before, _ := secured(t, url, &tls.Config{})
	t.Cleanup(connectAllTheTime(t, url, fingerprint(t, old), fingerprint(t, next)))

	writePair(t, dir, "c", next)
	must(old) // nobody has said so yet
	r.kill(t, unix.SIGHUP)
	r.log.await(t, "certificates reloaded", "signal", "SIGHUP", "sha256", fingerprint(t, next))
	must(next)
	roundTrip(t, before, "still here")

	const kept = "certificates that can't be reloaded stay as they were"
	otherCert, _ := encode(t, old)
	write(t, cert, otherCert) // without its key
	r.kill(t, unix.SIGHUP)
	if e := r.log.await(t, kept); e.text("level") != "ERROR" || !strings.Contains(e.text("error"), cert) {
		t.Errorf("%v; want an error about %s", e, cert)
	}
	must(next)

	writePair(t, dir, "c", old)
	r.kill(t, unix.SIGHUP)
	r.log.await(t, "certificates reloaded", "sha256", fingerprint(t, old))
	must(old)
}

// connectAllTheTime has a client connect again and again, and be shown one of these
// certificates, until stop is called.
func connectAllTheTime(t *testing.T, url string, fingerprints ...string) (stop func()) {
	t.Helper()
	stopped, done := make(chan struct{}), make(chan struct{})
	address := strings.TrimPrefix(url, "tls://")
	go func() {
		defer close(done)
		for {
			select {
			case <-stopped:
				return
			default:
			}
			c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Error(err)
				return
			}
			if shown := secure.Fingerprint(c.ConnectionState().PeerCertificates[0]); !slices.Contains(fingerprints, shown) {
				t.Errorf("it's shown %s, which is none of %q", shown, fingerprints)
			}
			c.Close()
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// TestBadCertificates holds that what's wrong with a file is told with the flag and what to
// do, by --check-config too.
func TestBadCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := writePair(t, dir, "a", identity(t, "a"))
	other, otherKey := writePair(t, dir, "b", identity(t, "b"))
	missing := filepath.Join(dir, "missing")
	junk := write(t, filepath.Join(dir, "junk"), []byte("junk"))
	encrypted := write(t, filepath.Join(dir, "encrypted"), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"no certificate", []string{"--tls-cert", missing}, []string{"--tls-cert: ", missing, "no such file", "want a file that echod may read"}},
		{"no key", []string{"--tls-cert", cert, "--tls-key", missing}, []string{"--tls-key: ", missing, "no such file", "want a file that echod may read"}},
		{"the key isn't beside it", []string{"--tls-cert", cert}, []string{"--tls-cert, --tls-key: ", cert, "want certificates, and the keys"}},
		{"another's key", []string{"--tls-cert", cert, "--tls-key", otherKey}, []string{"--tls-cert, --tls-key: ", cert, "does not match", "in the same order"}},
		{"the wrong order", []string{"--tls-cert", cert + "," + other, "--tls-key", otherKey + "," + key}, []string{"--tls-cert, --tls-key: ", cert, "in the same order"}},
		{"a password", []string{"--tls-cert", cert, "--tls-key", encrypted}, []string{"--tls-key: ", cert, "password", "decrypt it"}},
		{"no authority", []string{"--tls-client-ca", missing}, []string{"--tls-client-ca: ", missing, "no such file", "want a file that echod may read"}},
		{"not an authority", []string{"--tls-client-ca", junk}, []string{"--tls-client-ca: ", junk, "no certificate in it", "as PEM"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--listen=" + anyTLS}, tt.args...)
			mustFail(t, launch(t, map[string]string{"ECHOD_LOG_FORMAT": "text"}, args...), tt.want...)
			var stdout, stderr bytes.Buffer
			code := run(context.Background(), process{args: append(args, "--check-config"), lookupEnv: lookupIn(nil), stdout: &stdout, stderr: &stderr})
			if code != exitUsage || stdout.Len() > 0 {
				t.Errorf("--check-config: exit code %d, %s", code, &stdout)
			}
			mustBeOneLine(t, stderr.String(), tt.want...)
		})
	}
}

// TestSecondDaemonWithTLS: as TestSecondDaemon.
func TestSecondDaemonWithTLS(t *testing.T) {
	t.Parallel()
	url := spawn(t, nil, "--listen="+anyTLS).ready(t)
	mustFail(t, spawn(t, map[string]string{"ECHOD_LISTEN": url, "ECHOD_LOG_FORMAT": "text"}), url, "address already in use", "choose another")
	c, _ := secured(t, url, &tls.Config{})
	roundTrip(t, c, "hello")
}
