package secure

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"
)

// Certificate is a certificate with its key: in files, which Reload reads again, or in
// memory. Both may be PEM or DER; a PEM certificate is followed by those that lead to its
// root, and may have the key beside it.
type Certificate struct {
	CertFile, KeyFile string
	Cert, Key         []byte
	Pair              *tls.Certificate // ready made; nothing else is looked at
	OCSPStaple        []byte           // shown with it
}

func (c Certificate) load() (*tls.Certificate, error) {
	if c.Pair != nil {
		return checkLeaf(*c.Pair, c.OCSPStaple)
	}
	cert, key, name := c.Cert, c.Key, "the certificate"
	if c.CertFile != "" {
		var err error
		if cert, err = os.ReadFile(c.CertFile); err != nil {
			return nil, fmt.Errorf("secure: certificate: %w", err)
		}
		name = c.CertFile
	}
	if c.KeyFile != "" {
		var err error
		if key, err = os.ReadFile(c.KeyFile); err != nil {
			return nil, fmt.Errorf("secure: key: %w", err)
		}
	}
	if len(key) == 0 {
		key = cert // both may be in one
	}
	pair, err := parsePair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("secure: %s: %w", name, err)
	}
	return checkLeaf(pair, c.OCSPStaple)
}

// checkLeaf parses the certificate itself, so that it's done once.
func checkLeaf(pair tls.Certificate, staple []byte) (*tls.Certificate, error) {
	if len(pair.Certificate) == 0 {
		return nil, errors.New("secure: a certificate without its bytes")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("secure: %w", err)
	}
	pair.Leaf = leaf
	if staple != nil {
		pair.OCSPStaple = staple
	}
	return &pair, nil
}

// parsePair reads certificates and their key, PEM or DER.
func parsePair(cert, key []byte) (tls.Certificate, error) {
	certPEM, keyPEM := cert, key
	if !isPEM(cert) {
		certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	}
	if !isPEM(key) {
		keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	}
	if isEncrypted(keyPEM) {
		return tls.Certificate{}, errors.New("the key is protected by a password, which nobody could type here: decrypt it (openssl pkey -in key.pem -out plain.pem) and protect the file")
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func isPEM(p []byte) bool { return bytes.Contains(p, []byte("-----BEGIN ")) }

// isEncrypted recognises PKCS#8 with a password, and its predecessor.
func isEncrypted(keyPEM []byte) bool {
	for rest := keyPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return false
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
}

func (c *certificates) clone() *certificates {
	next := *c
	next.names, next.clients = maps.Clone(c.names), maps.Clone(c.clients)
	return &next
}

// Reload reads all certificates of the Config again. If one can't be read nothing changes,
// and the error says which. What SetServerCertificate and SetClientCertificate have set is
// replaced.
func (x *Context) Reload() error {
	next := &certificates{names: map[string]*tls.Certificate{}, clients: map[string]*tls.Certificate{}}
	for _, c := range x.config.Certificates {
		pair, err := c.load()
		if err != nil {
			return err
		}
		if next.fallback == nil {
			next.fallback = pair
		}
		for _, name := range pair.Leaf.DNSNames {
			if name = strings.ToLower(name); next.names[name] == nil {
				next.names[name] = pair
			}
		}
	}
	if x.config.Client != nil {
		pair, err := x.config.Client.load()
		if err != nil {
			return err
		}
		next.client = pair
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.certs.Store(next)
	return nil
}

// NotAfter is when the first of the server's certificates expires; zero without any.
func (x *Context) NotAfter() (first time.Time) {
	all := x.certs.Load()
	look := func(c *tls.Certificate) {
		if c != nil && (first.IsZero() || c.Leaf.NotAfter.Before(first)) {
			first = c.Leaf.NotAfter
		}
	}
	look(all.fallback)
	for _, c := range all.names {
		look(c)
	}
	return first
}

// CertificateFingerprint is the SHA-256 of the server's certificate for a host name ("": the
// fallback), in hexadecimal; "" if there's none (the seeds' GetCertificateFingerprint).
func (x *Context) CertificateFingerprint(hostName string) string {
	c, _ := x.serverCertificate(&tls.ClientHelloInfo{ServerName: hostName})
	if c == nil {
		return ""
	}
	return Fingerprint(c.Leaf)
}

// Fingerprint is the SHA-256 of a certificate, in hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func checkDates(c *x509.Certificate) error {
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return x509.CertificateInvalidError{Cert: c, Reason: x509.Expired, Detail: "current time " + now.Format(time.RFC3339)}
	}
	return nil
}
