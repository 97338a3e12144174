package secure

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync/atomic"
)

// Revocations are certificates that their issuers have taken back (the certificate
// revocation lists of rSetSocketCerts). Any goroutine may use and reload them.
type Revocations struct {
	files []string
	lists atomic.Pointer[[]*x509.RevocationList]
}

// LoadRevocations reads lists, PEM or DER, from files.
func LoadRevocations(files ...string) (*Revocations, error) {
	r := &Revocations{files: files}
	return r, r.Reload()
}

// Reload reads the files again. If one can't be read nothing changes.
func (r *Revocations) Reload() error {
	var lists []*x509.RevocationList
	for _, file := range r.files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("secure: revocation list: %w", err)
		}
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes
		}
		list, err := x509.ParseRevocationList(data)
		if err != nil {
			return fmt.Errorf("secure: revocation list %s: %w", file, err)
		}
		lists = append(lists, list)
	}
	r.lists.Store(&lists)
	return nil
}

// ErrRevoked ends a handshake with a peer whose certificate was taken back.
var ErrRevoked = errors.New("secure: the certificate was revoked")

// check looks for each certificate of a verified chain in the lists of the one that has
// issued it. A list that somebody else has signed says nothing.
func (r *Revocations) check(chains [][]*x509.Certificate) error {
	if r == nil {
		return nil
	}
	for _, chain := range chains {
		for i := range len(chain) - 1 {
			for _, list := range *r.lists.Load() {
				if list.CheckSignatureFrom(chain[i+1]) == nil && revokes(list, chain[i].SerialNumber) {
					return fmt.Errorf("%w: serial number %v of %v", ErrRevoked, chain[i].SerialNumber, chain[i].Issuer)
				}
			}
		}
	}
	return nil
}

func revokes(list *x509.RevocationList, serial *big.Int) bool {
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(serial) == 0 {
			return true
		}
	}
	return false
}
