package secure

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Revocations are certificates that their issuers have taken back (the certificate
// revocation lists of rSetSocketCerts). Any goroutine may use and reload them.
//
// Where the peer's chain was verified, a list counts for the certificates of the issuer that
// has signed it. Where it wasn't (VerifyPeer, VerifyNone, clients who are only asked) the
// issuer's name and the serial number are enough. A list that is out of date still counts:
// what was taken back stays so.
type Revocations struct {
	files []string

	mu     sync.Mutex // of Reload
	byFile map[string][]*revocationList
	lists  atomic.Pointer[map[string][]*revocationList] // by the issuer's name, as in its DER; never changed
}

type revocationList struct {
	*x509.RevocationList
	serials map[string]struct{}
}

// LoadRevocations reads lists, PEM or DER, from files.
func LoadRevocations(files ...string) (*Revocations, error) {
	r := &Revocations{files: append([]string(nil), files...), byFile: map[string][]*revocationList{}}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the files again. One that can't be read stays as it was; the error names it.
func (r *Revocations) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	lists := map[string][]*revocationList{}
	for _, file := range r.files {
		some, err := readRevocations(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("secure: revocation list %s: %w", file, err))
		} else {
			r.byFile[file] = some
		}
		for _, l := range r.byFile[file] {
			lists[string(l.RawIssuer)] = append(lists[string(l.RawIssuer)], l)
		}
	}
	r.lists.Store(&lists)
	return errors.Join(errs...)
}

// NextUpdate is when the first of the lists is to be replaced; zero if none says.
func (r *Revocations) NextUpdate() (first time.Time) {
	for _, some := range *r.lists.Load() {
		for _, l := range some {
			if !l.NextUpdate.IsZero() && (first.IsZero() || l.NextUpdate.Before(first)) {
				first = l.NextUpdate
			}
		}
	}
	return first
}

func readRevocations(file string) (lists []*revocationList, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := []*pem.Block{{Type: "X509 CRL", Bytes: data}}
	if isPEM(data) {
		if all, err = blocks(data); err != nil {
			return nil, err
		}
	}
	for _, b := range all {
		if b.Type != "X509 CRL" {
			return nil, fmt.Errorf("there's a %s in it", b.Type)
		}
		list, err := x509.ParseRevocationList(b.Bytes)
		if err != nil {
			return nil, err
		}
		l := &revocationList{RevocationList: list, serials: map[string]struct{}{}}
		for _, e := range list.RevokedCertificateEntries {
			l.serials[e.SerialNumber.String()] = struct{}{}
		}
		lists = append(lists, l)
	}
	return lists, nil
}

// ErrRevoked ends a handshake with a peer whose certificate was taken back.
var ErrRevoked = errors.New("secure: the certificate was revoked")

// check looks for the certificates of a chain. The signature of a list is looked at only
// where it matters: where it has the certificate.
func (r *Revocations) check(chain []*x509.Certificate, verified bool) error {
	if r == nil {
		return nil
	}
	lists := *r.lists.Load()
	for i, c := range chain {
		for _, l := range lists[string(c.RawIssuer)] {
			if _, listed := l.serials[c.SerialNumber.String()]; !listed {
				continue
			}
			issuer := chain[min(i+1, len(chain)-1)]
			if verified && issuer.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature) != nil {
				continue // an issuer of the same name
			}
			return fmt.Errorf("%w: serial number %v of %v", ErrRevoked, c.SerialNumber, c.Issuer)
		}
	}
	return nil
}
