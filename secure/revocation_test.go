package secure_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
)

// revoke makes a revocation list of an authority's, as DER.
func (id *identity) revoke(t testing.TB, some ...*identity) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(serials.Add(1)), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range some {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: list.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, id.Certificate, id.key)
	must(t, err)
	return der
}

func crlPEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }

// Contract: rSetSocketCerts(…, revocation list): a server refuses a client whose certificate
// was taken back, also one that resumes a session from before.
func TestRevokedClients(t *testing.T) {
	ca := authority(t, "revoking")
	good, bad := ca.leaf(t, "another", "good"), ca.leaf(t, "another", "bad")
	file := filepath.Join(t.TempDir(), "crl.pem")
	write(t, file, crlPEM(ca.revoke(t)))
	for _, auth := range []tls.ClientAuthType{tls.RequestClientCert, tls.RequireAndVerifyClientCert} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			write(t, file, crlPEM(ca.revoke(t)))
			revoked, err := secure.LoadRevocations(file)
			must(t, err)
			x := newContext(t, secure.Config{
				Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}, ClientAuth: auth, ClientCAs: ca.pool(), Revoked: revoked,
			})
			at := serve(t, echo{}, x)
			configs := map[*identity]*tls.Config{}
			for _, id := range []*identity{good, bad} {
				configs[id] = trusting(ca, "a.test")
				configs[id].MaxVersion, configs[id].Certificates, configs[id].ClientSessionCache = version, []tls.Certificate{*id.pair()}, tls.NewLRUClientSessionCache(0)
			}
			must(t, dial(at[0], configs[good]).err)
			must(t, dial(at[0], configs[bad]).err)
			write(t, file, crlPEM(ca.revoke(t, bad)))
			must(t, x.Reload())
			if o := dial(at[0], configs[good]); o.err != nil || !o.state.DidResume {
				t.Errorf("%v, %s: the good client: resumed: %v, %v", auth, tls.VersionName(version), o.state.DidResume, o.err)
			}
			if o := dial(at[0], configs[bad]); o.err == nil {
				t.Errorf("%v, %s: the bad client may resume its session", auth, tls.VersionName(version))
			}
			configs[bad].ClientSessionCache = nil
			if o := dial(at[0], configs[bad]); o.err == nil {
				t.Errorf("%v, %s: the bad client may connect", auth, tls.VersionName(version))
			}
		}
	}
}

// The same for a client, by each verification: without a verified chain the issuer's name
// and the serial number are enough.
func TestRevokedServers(t *testing.T) {
	ca := authority(t, "revoking")
	namesake := issue(t, nil, "another", x509.Certificate{Subject: ca.Subject, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign})
	id := ca.leaf(t, "RSA", "a.test")
	dir := t.TempDir()
	list := func(name string, p []byte) string {
		write(t, filepath.Join(dir, name), p)
		return filepath.Join(dir, name)
	}
	other, calls := authority(t, "other"), newCaller(t)
	for _, tt := range []struct {
		list                 string
		verified, unverified bool // it's refused
	}{
		{list("other's.pem", crlPEM(other.revoke(t, id))), false, false},
		{list("namesake's.pem", crlPEM(namesake.revoke(t, id))), false, true},
		{list("own.pem", crlPEM(ca.revoke(t, id))), true, true},
		{list("own.der", ca.revoke(t, id)), true, true},
		{list("several.pem", bytes.Join([][]byte{crlPEM(other.revoke(t)), crlPEM(namesake.revoke(t, id)), crlPEM(ca.revoke(t, id))}, nil)), true, true},
	} {
		revoked, err := secure.LoadRevocations(tt.list)
		must(t, err)
		for verify, want := range map[secure.Verification]bool{
			secure.VerifyAll: tt.verified, secure.VerifyPeer: tt.unverified, secure.VerifyNone: tt.unverified,
		} {
			x := newContext(t, secure.Config{Roots: ca.pool(), Verify: verify, Revoked: revoked})
			l := listen(t)
			served := make(chan outcome, 1)
			go func() {
				served <- accept(l, &tls.Config{Certificates: []tls.Certificate{*id.pair()}})
			}()
			err := calls.dial(x, l.Addr().String(), "a.test")
			<-served
			if errors.Is(err, secure.ErrRevoked) != want || !want && err != nil {
				t.Errorf("%s, Verify %d: %v, want it refused: %v", filepath.Base(tt.list), verify, err, want)
			}
		}
	}
}

func TestLoadRevocations(t *testing.T) {
	ca := authority(t, "lists")
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	write(t, good, crlPEM(ca.revoke(t)))
	for name, p := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "half": crlPEM(ca.revoke(t))[:100], "a certificate": ca.certPEM(),
	} {
		write(t, bad, p)
		if _, err := secure.LoadRevocations(good, bad); err == nil || !strings.Contains(err.Error(), "revocation list "+bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := secure.LoadRevocations(filepath.Join(dir, "none")); err == nil {
		t.Error("there's no such file")
	}
	r, err := secure.LoadRevocations(good)
	must(t, err)
	if next := r.NextUpdate(); time.Until(next) > time.Hour || time.Until(next) < 0 {
		t.Errorf("NextUpdate is %v", next)
	}
	none, err := secure.LoadRevocations()
	must(t, err)
	if !none.NextUpdate().IsZero() {
		t.Error("nothing is to be updated")
	}
}
