package secure_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
)

// What openssl made of a key of Ed25519, with the password "password":
// openssl genpkey -algorithm ed25519 | openssl pkcs8 -topk8 -passout pass:password
const encryptedKey = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj8+WM0Dp1yCwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEH2cvm9GFlYA8SypjrqyjSEEQMDc
XK8OYkWOmQlxHBOOWoxkF3+9d+lEHEBfuDYwnr7GXwLeRsH//mcBz0PaG3mmDuhJ
uZEBWIJ5q5vvSrggsuY=
-----END ENCRYPTED PRIVATE KEY-----
`

const legacyEncryptedKey = `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,5F39A0D1A8C4B1CB0D0B1F0BFB9D2E64

MHcCAQEEIA==
-----END EC PRIVATE KEY-----
`

// Contract: SetServerCertificate(cert): PEM, DER, files, one file with both, a tls.Certificate.
func TestFormsOfCertificates(t *testing.T) {
	ca := authority(t, "forms")
	dir := t.TempDir()
	for _, key := range []string{"ECDSA", "RSA", "Ed25519"} {
		id := ca.leaf(t, key, "a.test")
		file := func(name string, p []byte) string {
			write(t, filepath.Join(dir, name), p)
			return filepath.Join(dir, name)
		}
		certPEM, keyPEM := id.certPEM(), id.keyPEM(t)
		chain := append(bytes.Clone(certPEM), ca.certPEM()...)
		for name, c := range map[string]secure.Certificate{
			"pair":            id.certificate(),
			"PEM":             {Cert: certPEM, Key: keyPEM},
			"DER":             {Cert: id.Raw, Key: id.keyDER(t)},
			"PEM and DER":     {Cert: certPEM, Key: id.keyDER(t)},
			"files":           {CertFile: file("c.pem", certPEM), KeyFile: file("k.pem", keyPEM)},
			"DER files":       {CertFile: file("c.der", id.Raw), KeyFile: file("k.der", id.keyDER(t))},
			"one file":        {CertFile: file("both.pem", append(bytes.Clone(keyPEM), chain...))},
			"the same twice":  {CertFile: filepath.Join(dir, "both.pem"), KeyFile: filepath.Join(dir, "both.pem")},
			"file and bytes":  {CertFile: filepath.Join(dir, "c.pem"), Key: keyPEM},
			"chain":           {Cert: chain, Key: keyPEM},
			"text around PEM": {Cert: append([]byte("subject=a.test\r\n"), bytes.ReplaceAll(certPEM, []byte("\n"), []byte("\r\n"))...), Key: keyPEM},
		} {
			x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{c}, Logger: discard})
			if err != nil {
				t.Errorf("%s, %s: %v", key, name, err)
			} else if got := x.CertificateFingerprint("a.test"); got != secure.Fingerprint(id.Certificate) {
				t.Errorf("%s, %s: fingerprint %q", key, name, got)
			}
		}
	}
}

// What can't be used is refused, with what to do about it, and without the key in the words.
func TestBadCertificates(t *testing.T) {
	id, other := authority(t, "bad").leaf(t, "ECDSA", "a.test"), keys["another"]
	otherKey := (&identity{key: other()}).keyPEM(t)
	dir := t.TempDir()
	empty, half := filepath.Join(dir, "empty.pem"), filepath.Join(dir, "half.pem")
	write(t, empty, nil)
	write(t, half, id.keyPEM(t)[:100])
	block, _ := pem.Decode([]byte(encryptedKey))
	chain := append(id.certPEM(), id.certPEM()[:200]...)
	wrong := append(id.certPEM(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no certificate")})...)
	for _, tt := range []struct {
		name string
		c    secure.Certificate
		want string
	}{
		{"nothing", secure.Certificate{}, "want CertFile, Cert or Pair"},
		{"no such file", secure.Certificate{CertFile: filepath.Join(dir, "none.pem")}, "none.pem: no such file"},
		{"no such key", secure.Certificate{Cert: id.certPEM(), KeyFile: filepath.Join(dir, "none.pem")}, "none.pem: no such file"},
		{"empty file", secure.Certificate{CertFile: empty}, "empty.pem: the file is empty"},
		{"empty key", secure.Certificate{Cert: id.certPEM(), KeyFile: empty}, "empty.pem: the key's file is empty"},
		{"no key", secure.Certificate{Cert: id.certPEM()}, "there's no key: want KeyFile"},
		{"half a key", secure.Certificate{Cert: id.certPEM(), KeyFile: half}, "half.pem: it ends within a PEM block"},
		{"half a chain", secure.Certificate{Cert: chain, Key: id.keyPEM(t)}, "it ends within a PEM block"},
		{"no certificate in the chain", secure.Certificate{Cert: wrong, Key: id.keyPEM(t)}, "x509: malformed certificate"},
		{"another's key", secure.Certificate{Cert: id.certPEM(), Key: otherKey}, "private key does not match"},
		{"another's key in a pair", secure.Certificate{Pair: &tls.Certificate{Certificate: [][]byte{id.Raw}, PrivateKey: other()}}, "isn't that of the certificate"},
		{"no key in a pair", secure.Certificate{Pair: &tls.Certificate{Certificate: [][]byte{id.Raw}}}, "no key that can sign"},
		{"nothing in a pair", secure.Certificate{Pair: &tls.Certificate{}}, "Pair has no certificate"},
		{"pair and file", secure.Certificate{Pair: id.pair(), CertFile: half}, "not both"},
		{"file and bytes", secure.Certificate{CertFile: half, Cert: id.Raw}, "want CertFile or Cert, not both"},
		{"encrypted", secure.Certificate{Cert: id.certPEM(), Key: []byte(encryptedKey)}, "protected by a password"},
		{"encrypted DER", secure.Certificate{Cert: id.certPEM(), Key: block.Bytes}, "protected by a password"},
		{"encrypted, the old way", secure.Certificate{Cert: id.certPEM(), Key: []byte(legacyEncryptedKey)}, "protected by a password"},
		{"garbage", secure.Certificate{Cert: []byte("garbage"), Key: []byte("garbage")}, "x509: malformed certificate"},
	} {
		for by, load := range map[string]func() error{
			"secure: Config.Certificates[0]: ": func() error {
				_, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{tt.c}, Logger: discard})
				return err
			},
			"secure: Config.Client: ": func() error {
				_, err := secure.NewContext(secure.Config{Client: &tt.c, Logger: discard})
				return err
			},
			"secure: certificate": func() error { return newContext(t, secure.Config{}).SetServerCertificate(tt.c, "") },
		} {
			err := load()
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), by) {
				t.Errorf("%s, by %s: %v, want %q", tt.name, by, err, tt.want)
			}
		}
	}
}

// faults.md, TLS: expired certificate: it's shown, if there's no other, and logged; the day is
// there to be exported.
func TestExpiredCertificate(t *testing.T) {
	ca := authority(t, "expiry")
	old := issue(t, ca, "ECDSA", expired(named("old.test")))
	fresh := ca.leaf(t, "ECDSA", "fresh.test")
	var log book
	x := newContext(t, secure.Config{
		Certificates: []secure.Certificate{fresh.certificate(), old.certificate()}, Logger: log.logger(),
	})
	if !x.NotAfter().Equal(old.NotAfter) {
		t.Errorf("NotAfter is %v, want %v: the first that expires", x.NotAfter(), old.NotAfter)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "old.test") {
		t.Errorf("the log has no warning: %s", log.String())
	}
	if o := dial(serve(t, echo{}, x)[0], trusting(ca, "old.test")); o.err == nil || !strings.Contains(o.err.Error(), "expired") {
		t.Errorf("the client says %v", o.err)
	}
	if zero := newContext(t, secure.Config{}).NotAfter(); !zero.IsZero() {
		t.Errorf("without a certificate NotAfter is %v", zero)
	}
}

func TestSelfSigned(t *testing.T) {
	if _, err := secure.SelfSigned(time.Hour); err == nil {
		t.Error("a certificate for nobody")
	}
	self, err := secure.SelfSigned(time.Hour, "a.test", "127.0.0.1", "::1")
	must(t, err)
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{self}})
	at := serve(t, echo{}, x)
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(self.Pair.Certificate[0])
	must(t, err)
	roots.AddCert(leaf)
	for _, name := range []string{"a.test", "127.0.0.1", "::1"} {
		must(t, dial(at[0], &tls.Config{RootCAs: roots, ServerName: name}).err)
	}
}

// staple is an OCSP response as far as anybody reads it here.
func staple(t testing.TB, status asn1.Enumerated, text string) []byte {
	t.Helper()
	type body struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	der, err := asn1.Marshal(struct {
		Status asn1.Enumerated
		Body   body `asn1:"explicit,tag:0"`
	}{status, body{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}, []byte(text)}})
	must(t, err)
	return der
}

// A staple is shown with its certificate.
func TestOCSPStaple(t *testing.T) {
	ca := authority(t, "staple")
	dir := t.TempDir()
	c := ca.leaf(t, "ECDSA", "a.test").save(t, dir)
	c.OCSPStaple = []byte("-----BEGIN OCSP RESPONSE-----")
	if _, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{c}}); err == nil || !strings.Contains(err.Error(), "OCSPStaple") {
		t.Errorf("a staple that is none: %v", err)
	}
	c.OCSPStaple = staple(t, 0, "a staple, of which nobody here reads more")
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{c}})
	at := serve(t, echo{}, x)
	see := func(want string) {
		t.Helper()
		if o := dial(at[0], trusting(ca, "a.test")); o.err != nil || string(o.state.OCSPResponse) != want {
			t.Errorf("%q, %v, want %q", o.state.OCSPResponse, o.err, want)
		}
	}
	see(string(c.OCSPStaple))
	must(t, x.Reload())
	see(string(c.OCSPStaple))
	ca.leaf(t, "ECDSA", "a.test").save(t, dir) // the staple isn't about this one
	must(t, x.Reload())
	see("")
	must(t, x.Reload())
	see("")
}

// A staple in a file is read again with its certificate, and without; a new certificate isn't
// shown with the old one's. What isn't a whole one leaves what was there.
func TestOCSPStapleFile(t *testing.T) {
	ca, again := authority(t, "staple"), staple(t, 0, "first, again")
	dir := t.TempDir()
	first := ca.leaf(t, "ECDSA", "a.test")
	c := first.save(t, dir)
	c.OCSPStapleFile = filepath.Join(dir, "ocsp.der")
	write(t, c.OCSPStapleFile, staple(t, 0, "first"))
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{c}})
	at, look := serve(t, echo{}, x), secure.Watching(x)
	see := func(want string) {
		t.Helper()
		if o := dial(at[0], trusting(ca, "a.test")); o.err != nil || string(o.state.OCSPResponse) != want {
			t.Errorf("%q, %v, want %q", o.state.OCSPResponse, o.err, want)
		}
	}
	look()
	see(string(staple(t, 0, "first")))
	write(t, c.OCSPStapleFile, again)
	look()
	see(string(again))
	issue(t, ca, "ECDSA", expired(named("a.test"))).save(t, dir)
	if err := x.Reload(); err == nil {
		t.Error("an expired certificate was taken")
	}
	first.save(t, dir)
	look()
	see(string(again))
	for what, p := range map[string][]byte{
		"nothing": nil, "half of it": again[:len(again)/2], "more than it": append(again[:len(again):len(again)], 0),
		"an answer without a staple": staple(t, 3, ""), // tryLater
	} {
		write(t, c.OCSPStapleFile, p)
		if err := x.Reload(); err == nil || !strings.Contains(err.Error(), c.OCSPStapleFile) {
			t.Errorf("%s: %v", what, err)
		}
		see(string(again))
	}
	write(t, c.OCSPStapleFile, again)
	ca.leaf(t, "ECDSA", "a.test").save(t, dir)
	look()
	see("")
	write(t, c.OCSPStapleFile, staple(t, 0, "second"))
	look()
	see(string(staple(t, 0, "second")))
}
