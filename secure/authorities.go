package secure

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// authorities are whom one end trusts: those that were given in memory, and those of files.
type authorities struct {
	given  *x509.CertPool // nil: none
	files  []string
	byFile map[string][]*x509.Certificate // what was last read
}

// ErrAuthorities is in the errors about Config.RootFiles and ClientCAFiles.
var ErrAuthorities = errors.New("authorities")

var errNoAuthority = errors.New("there's no certificate in it: want those of the authorities, as PEM")

// reload reads the files. One that can't be read stays as it was; the error names it.
func (a *authorities) reload() error {
	var errs []error
	for _, file := range a.files {
		some, err := readAuthorities(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrAuthorities, file, err))
			continue
		}
		if a.byFile == nil {
			a.byFile = map[string][]*x509.Certificate{}
		}
		a.byFile[file] = some
	}
	return errors.Join(errs...)
}

// pool is all of them; nil: none were given.
func (a *authorities) pool() *x509.CertPool {
	if len(a.files) == 0 {
		return a.given
	}
	all := x509.NewCertPool()
	if a.given != nil {
		all = a.given.Clone()
	}
	for _, some := range a.byFile {
		for _, c := range some {
			all.AddCert(c)
		}
	}
	return all
}

func readAuthorities(file string) (all []*x509.Certificate, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	some, err := blocks(data)
	if err != nil {
		return nil, err
	}
	for _, b := range some {
		if b.Type != "CERTIFICATE" {
			continue // its key, say, of which nothing is wanted
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errNoAuthority
	}
	return all, nil
}
