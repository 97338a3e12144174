package secure_test

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-net/sluice/secure"
)

// Contract: ours: Reload takes other authorities of clients from files; whose was taken away
// isn't let in any more, nor by a session that began with it. What's given in memory stays, and
// a file that's no good changes nothing.
func TestReloadOfClientCAs(t *testing.T) {
	ca, given := authority(t, "server"), authority(t, "in memory")
	first, second := authority(t, "first"), authority(t, "second")
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, first.certPEM())
	x := newContext(t, secure.Config{
		Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()},
		ClientCAs:    given.pool(), ClientCAFiles: []string{file}, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	at := serve(t, echo{}, x)
	look := secure.Watching(x)
	clients := map[string]*identity{"in memory": given, "first": first, "second": second}
	sessions := map[string]tls.ClientSessionCache{}
	see := func(when string, welcome map[string]bool) {
		t.Helper()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for name, by := range clients {
				key := name + tls.VersionName(version)
				if sessions[key] == nil {
					sessions[key] = tls.NewLRUClientSessionCache(1)
				}
				config := trusting(ca, "a.test")
				config.MaxVersion, config.ClientSessionCache = version, sessions[key]
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return by.leaf(t, "another", "client").pair(), nil
				}
				if o := dial(at[0], config); (o.err == nil) != welcome[name] {
					t.Errorf("%s: %s, %s: %v, want it to work: %t", when, name, tls.VersionName(version), o.err, welcome[name])
				}
			}
		}
	}
	look()
	see("at first", map[string]bool{"in memory": true, "first": true})
	must(t, x.SetALPNProtocols("echo"))
	write(t, file, append(first.certPEM(), second.certPEM()...))
	look()
	see("with another", map[string]bool{"in memory": true, "first": true, "second": true})
	write(t, file, second.certPEM())
	look()
	see("without the first", map[string]bool{"in memory": true, "second": true})
	for what, text := range map[string][]byte{"half a file": first.certPEM()[:99], "another file": []byte("junk")} {
		write(t, file, text)
		if err := x.Reload(); !errors.Is(err, secure.ErrAuthorities) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, os.Remove(file))
	if err := x.Reload(); !errors.Is(err, secure.ErrAuthorities) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	see("with a file that's no good", map[string]bool{"in memory": true, "second": true})
	if _, err := secure.NewContext(secure.Config{ClientCAFiles: []string{file}}); !errors.Is(err, secure.ErrAuthorities) {
		t.Errorf("NewContext: %v", err)
	}
}

// The same of servers' authorities: with files alone, nobody whom the system trusts counts.
func TestReloadOfRoots(t *testing.T) {
	first, second := authority(t, "first"), authority(t, "second")
	file := filepath.Join(t.TempDir(), "roots.pem")
	write(t, file, first.certPEM())
	x := newContext(t, secure.Config{RootFiles: []string{file}})
	calls, l := newCaller(t), listen(t)
	see := func(by *identity, welcome bool) {
		t.Helper()
		served := make(chan outcome, 1)
		server := &tls.Config{Certificates: []tls.Certificate{*by.leaf(t, "ECDSA", "a.test").pair()}}
		go func() { served <- accept(l, server) }()
		err := calls.dial(x, l.Addr().String(), "a.test")
		<-served
		if (err == nil) != welcome {
			t.Errorf("%v: %v, want it to work: %t", by.Subject, err, welcome)
		}
	}
	see(first, true)
	see(second, false)
	write(t, file, second.certPEM())
	must(t, x.Reload())
	see(first, false)
	see(second, true)
}
