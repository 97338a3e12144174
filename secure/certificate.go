package secure

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Certificate is a certificate with its key: in files, which Reload reads again, or in
// memory. Both may be PEM or DER; a PEM certificate is followed by those that lead to its
// root, and may have the key beside it.
type Certificate struct {
	CertFile, KeyFile string
	Cert, Key         []byte
	Pair              *tls.Certificate // ready made, instead of the four above
	OCSPStaple        []byte           // DER; shown with it, until Reload brings another certificate
	OCSPStapleFile    string           // the same in a file; after another certificate another staple is waited for
}

var (
	errEncrypted = errors.New("the key is protected by a password, which nobody could type here: decrypt it (openssl pkey -in key.pem -out plain.pem) and protect the file")
	errNoKey     = errors.New("there's no key: want KeyFile, Key, or the key beside the certificate")
	errHalf      = errors.New("it ends within a PEM block, or one of its blocks is damaged")
	errMismatch  = errors.New("the key isn't that of the certificate")
	errStaple    = errors.New("it's no staple: want all of a successful OCSP response, as DER")
)

// load reads the certificate with its key. Errors say which, by its files.
func (c Certificate) load() (*tls.Certificate, error) {
	pair, err := c.read()
	if err == nil {
		err = checkPair(pair)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	staple, err := fileOr(c.OCSPStapleFile, c.OCSPStaple, "OCSPStaple")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	if len(staple) > 0 || c.OCSPStapleFile != "" {
		if !isStaple(staple) {
			return nil, fmt.Errorf("%s: %s: %w", c, cmp.Or(c.OCSPStapleFile, "OCSPStaple"), errStaple)
		}
		pair.OCSPStaple = staple
	}
	return pair, nil
}

// String names the certificate by its files.
func (c Certificate) String() string {
	switch {
	case c.CertFile == "" && c.KeyFile == "":
		return "certificate"
	case c.KeyFile == "" || c.KeyFile == c.CertFile:
		return "certificate " + c.CertFile
	case c.CertFile == "":
		return "certificate with key " + c.KeyFile
	default:
		return "certificate " + c.CertFile + " with key " + c.KeyFile
	}
}

func (c Certificate) read() (*tls.Certificate, error) {
	if c.Pair != nil {
		if c.CertFile != "" || c.KeyFile != "" || c.Cert != nil || c.Key != nil {
			return nil, errors.New("want Pair, or files and bytes, not both")
		}
		pair := *c.Pair
		return &pair, nil
	}
	cert, err := fileOr(c.CertFile, c.Cert, "Cert")
	if err != nil {
		return nil, err
	}
	key, err := fileOr(c.KeyFile, c.Key, "Key")
	if err != nil {
		return nil, err
	}
	switch {
	case len(cert) == 0 && c.CertFile == "":
		return nil, errors.New("want CertFile, Cert or Pair")
	case len(cert) == 0:
		return nil, errors.New("the file is empty")
	case len(key) == 0 && c.KeyFile != "":
		return nil, errors.New("the key's file is empty")
	case len(key) == 0:
		key = cert // both may be in one
	}
	return parsePair(cert, key)
}

// fileOr is what the file has, or the bytes if there's no file.
func fileOr(file string, p []byte, field string) ([]byte, error) {
	switch {
	case file == "":
		return p, nil
	case p != nil:
		return nil, fmt.Errorf("want %sFile or %s, not both", field, field)
	default:
		return os.ReadFile(file)
	}
}

// checkPair parses the certificate itself, so that it's done once, and holds the key
// against it.
func checkPair(pair *tls.Certificate) error {
	if len(pair.Certificate) == 0 {
		return errors.New("Pair has no certificate")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return err
	}
	pair.Leaf = leaf
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("a %T is no key that can sign", pair.PrivateKey)
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(leaf.PublicKey) {
		return errMismatch
	}
	return nil
}

// parsePair reads certificates and their key, PEM or DER.
func parsePair(cert, key []byte) (*tls.Certificate, error) {
	certPEM, keyPEM := cert, key
	if !isPEM(cert) {
		certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	}
	if !isPEM(key) {
		keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	}
	certs, err := blocks(certPEM)
	if err != nil {
		return nil, err
	}
	for _, b := range certs { // crypto/tls looks at the first only
		if b.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return nil, err
		}
	}
	keys, err := blocks(keyPEM)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(keys, isEncrypted) {
		return nil, errEncrypted
	}
	if !slices.ContainsFunc(keys, func(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }) {
		return nil, errNoKey
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	return &pair, err
}

func isPEM(p []byte) bool { return bytes.Contains(p, []byte("-----BEGIN ")) }

// blocks decodes PEM. pem.Decode skips what it can't decode, such as the end of a file that
// is still being written: a chain would lack a certificate, and nobody knew.
func blocks(p []byte) (all []*pem.Block, err error) {
	begun := bytes.Count(p, []byte("-----BEGIN "))
	for {
		var b *pem.Block
		if b, p = pem.Decode(p); b == nil {
			break
		}
		all = append(all, b)
	}
	if len(all) < begun {
		return nil, errHalf
	}
	return all, nil
}

// isEncrypted recognises PKCS#8 with a password, also as bare DER, and its predecessor.
func isEncrypted(b *pem.Block) bool {
	if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return true
	}
	var encrypted struct { // EncryptedPrivateKeyInfo, RFC 5958
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	_, err := asn1.Unmarshal(b.Bytes, &encrypted)
	return err == nil && b.Type == "PRIVATE KEY"
}

// isStaple tells a staple from half of one, and from what a responder says if it has none. What's
// in it is for the client to read.
func isStaple(p []byte) bool {
	var response struct { // OCSPResponse, RFC 6960, 4.2.1
		Status asn1.Enumerated // 0: successful
		Bytes  struct {
			Type     asn1.ObjectIdentifier
			Response []byte
		} `asn1:"explicit,tag:0"`
	}
	rest, err := asn1.Unmarshal(p, &response)
	return err == nil && len(rest) == 0 && response.Status == 0
}

// Fingerprint is the SHA-256 of a certificate, in hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// checkDates says whether a certificate is valid at present.
func checkDates(c *x509.Certificate) error {
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return x509.CertificateInvalidError{Cert: c, Reason: x509.Expired,
			Detail: fmt.Sprintf("it's valid from %s to %s", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))}
	}
	return nil
}
