package secure_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
)

// faults.md, TLS: half-written key, expired certificate: the last good one stays, and the error
// names the file; what's good beside it is taken.
func TestReloadKeepsTheLastGoodOne(t *testing.T) {
	ca := authority(t, "reload")
	dirs := map[string]string{"a.test": t.TempDir(), "b.test": t.TempDir(), "c.test": t.TempDir()}
	save := func(name string) *identity {
		id := ca.leaf(t, "ECDSA", name)
		id.save(t, dirs[name])
		return id
	}
	in := map[string]*identity{}
	var config []secure.Certificate
	for _, name := range []string{"a.test", "b.test"} {
		in[name] = ca.leaf(t, "ECDSA", name)
		config = append(config, in[name].save(t, dirs[name]))
	}
	crl := filepath.Join(t.TempDir(), "crl.pem")
	write(t, crl, crlPEM(ca.revoke(t)))
	revoked, err := secure.LoadRevocations(crl)
	must(t, err)
	x := newContext(t, secure.Config{Certificates: config, Revoked: revoked})
	in["c.test"] = ca.leaf(t, "ECDSA", "c.test")
	must(t, x.SetServerCertificate(in["c.test"].save(t, dirs["c.test"]), "c.test"))
	see := func(what string) {
		t.Helper()
		for name, want := range in {
			if x.CertificateFingerprint(name) != secure.Fingerprint(want.Certificate) {
				t.Errorf("%s: %s has another certificate", what, name)
			}
		}
	}
	see("at first")
	key, cert := filepath.Join(dirs["a.test"], "key.pem"), filepath.Join(dirs["a.test"], "cert.pem")
	for what, spoil := range map[string]func() string{
		"half a key":          func() string { write(t, key, in["a.test"].keyPEM(t)[:99]); return key },
		"an empty key":        func() string { write(t, key, nil); return key },
		"no key":              func() string { must(t, os.Remove(key)); return key },
		"another's key":       func() string { write(t, key, ca.leaf(t, "RSA", "a.test").keyPEM(t)); return key },
		"half a certificate":  func() string { write(t, cert, in["a.test"].certPEM()[:99]); return cert },
		"expired certificate": func() string { write(t, cert, issue(t, ca, "ECDSA", expired(named("a.test"))).certPEM()); return cert },
		"half a list":         func() string { write(t, crl, crlPEM(ca.revoke(t))[:99]); return crl },
	} {
		file := spoil()
		in["b.test"], in["c.test"] = save("b.test"), save("c.test")
		if err := x.Reload(); err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), dirs["b.test"]) {
			t.Errorf("%s: %v, want %s in it", what, err, file)
		}
		see(what)
		in["a.test"] = save("a.test")
		write(t, crl, crlPEM(ca.revoke(t)))
		if err := x.Reload(); err != nil {
			t.Errorf("after %s: %v", what, err)
		}
		see("after " + what)
	}
}

// An expired certificate is replaced by another that isn't valid yet, or any more: it's no
// worse.
func TestReloadOfExpired(t *testing.T) {
	ca := authority(t, "reload")
	dir := t.TempDir()
	c := issue(t, ca, "ECDSA", expired(named("a.test"))).save(t, dir)
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{c}})
	next := issue(t, ca, "ECDSA", expired(named("a.test")))
	next.save(t, dir)
	must(t, x.Reload())
	if x.CertificateFingerprint("") != secure.Fingerprint(next.Certificate) {
		t.Error("it wasn't replaced")
	}
}

// old sets the time of a file, so that it has been as it is for long.
func old(t *testing.T, file string, ago time.Duration) {
	t.Helper()
	at := time.Now().Add(-ago)
	must(t, os.Chtimes(file, at, at))
}

// Contract: ours: Watch takes what has changed, keeps the last good one, logs a failure once
// for each change, and takes the file when it's whole.
func TestWatch(t *testing.T) {
	ca := authority(t, "watch")
	dir := t.TempDir()
	first, second := ca.leaf(t, "ECDSA", "a.test"), ca.leaf(t, "RSA", "a.test")
	c := first.save(t, dir)
	crl := filepath.Join(t.TempDir(), "crl.pem")
	write(t, crl, crlPEM(ca.revoke(t)))
	revoked, err := secure.LoadRevocations(crl)
	must(t, err)
	var log book
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{c}, Revoked: revoked, Logger: log.logger()})
	tick := secure.Watching(x)
	see := func(what string, want *identity, failures int) {
		t.Helper()
		tick()
		if x.CertificateFingerprint("") != secure.Fingerprint(want.Certificate) {
			t.Errorf("%s: another certificate", what)
		}
		if got := strings.Count(log.String(), "level=ERROR"); got != failures {
			t.Errorf("%s: %d failures are logged, want %d:\n%s", what, got, failures, log.String())
		}
	}
	see("nothing has changed", first, 0)
	write(t, c.CertFile, second.certPEM())
	see("only one of two", first, 1)
	see("still only one", first, 1)
	must(t, os.WriteFile(c.KeyFile, second.keyPEM(t)[:100], 0o600))
	see("half a key", first, 2)
	see("still half a key", first, 2)
	must(t, os.WriteFile(c.KeyFile, second.keyPEM(t), 0o600))
	see("both", second, 2)
	must(t, os.Remove(c.KeyFile))
	see("no key", second, 3)
	see("still no key", second, 3)
	write(t, c.KeyFile, second.keyPEM(t))
	see("the key is back", second, 3)
	write(t, crl, []byte("garbage"))
	see("a list of garbage", second, 4)
	write(t, crl, crlPEM(ca.revoke(t)))
	see("a new list", second, 4)
	if got := strings.Count(log.String(), "can be read again"); got != 3 {
		t.Errorf("it says %d times that it can be read again, want 3", got)
	}

	// What has been the same for long isn't read again; what changes then is.
	for _, file := range []string{c.CertFile, c.KeyFile, crl} {
		old(t, file, time.Minute)
	}
	see("another time", second, 4)
	first.save(t, dir)
	must(t, os.Truncate(c.KeyFile, 100))
	see("half a key again", second, 5)
	write(t, c.KeyFile, first.keyPEM(t))
	see("and the other half", first, 5)
}

// A file may change without another time or size: soon after it has, because times come in
// steps, or because another is put in its place.
func TestWatchSameTimeAndSize(t *testing.T) {
	dir := t.TempDir()
	c := authority(t, "watch").leaf(t, "ECDSA", "a.test").save(t, dir)
	good, err := os.ReadFile(c.KeyFile)
	must(t, err)
	bad := bytes.Repeat([]byte("x"), len(good))
	var log book
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{c}, Logger: log.logger()})
	tick := secure.Watching(x)
	see := func(what string, failures, ends int) {
		t.Helper()
		tick()
		if f, e := strings.Count(log.String(), "level=ERROR"), strings.Count(log.String(), "can be read again"); f != failures || e != ends {
			t.Errorf("%s: %d failures and %d ends of them are logged, want %d and %d:\n%s", what, f, e, failures, ends, log.String())
		}
	}
	now, ago := time.Now(), time.Now().Add(-time.Minute)
	put := func(p []byte, at time.Time) {
		must(t, os.WriteFile(c.KeyFile, p, 0o600))
		must(t, os.Chtimes(c.KeyFile, at, at))
	}
	put(good, now)
	see("a good key", 0, 0)
	put(bad, now)
	see("a bad one at the same time", 1, 0)
	put(good, now)
	see("the good one again", 1, 1)
	old(t, c.CertFile, time.Minute)
	put(good, ago)
	see("a good one, a minute old", 1, 1)
	write(t, c.KeyFile+".other", bad)
	must(t, os.Chtimes(c.KeyFile+".other", ago, ago))
	must(t, os.Rename(c.KeyFile+".other", c.KeyFile))
	see("another file in its place", 2, 1)
}

// Watch looks at each tick, and ends with its context and with its ticks.
func TestWatchEnds(t *testing.T) {
	ca := authority(t, "watch")
	dir := t.TempDir()
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").save(t, dir)}})
	next := ca.leaf(t, "ECDSA", "a.test")
	next.save(t, dir)
	ticks := make(chan time.Time, 1)
	ticks <- time.Time{}
	close(ticks)
	x.Watch(t.Context(), ticks)
	if x.CertificateFingerprint("") != secure.Fingerprint(next.Certificate) {
		t.Error("it hasn't looked")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x.Watch(ctx, make(chan time.Time))
}

// faults.md, TLS: certificate rotation every 100 ms under load, half-written key: connections
// go on, none fails, each is shown one of the certificates with its own key. Rotation here is
// as fast as it can be; files are replaced one after the other, so that certificate and key
// don't fit in between.
func TestRotationUnderLoad(t *testing.T) {
	const rotations, clients = 12, 2
	ca := authority(t, "rotation")
	dir := t.TempDir()
	ids := []*identity{ca.leaf(t, "ECDSA", "a.test"), ca.leaf(t, "another", "a.test")}
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{ids[0].save(t, dir)}})
	at := serve(t, echo{}, x)
	tick := secure.Watching(x)

	over := make(chan struct{})
	var group sync.WaitGroup
	failures := make(chan error, 2*clients)
	for range clients {
		group.Go(func() { // new connections
			for {
				select {
				case <-over:
					return
				default:
				}
				if o := dial(at[0], trusting(ca, "a.test")); o.err != nil {
					failures <- o.err
					return
				}
			}
		})
		group.Go(func() { // one that goes on
			c, err := tls.Dial("tcp", at[0], trusting(ca, "a.test"))
			if err != nil {
				failures <- err
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(failSafe))
			p := make([]byte, len(said))
			for {
				select {
				case <-over:
					return
				default:
				}
				if _, err := io.WriteString(c, said); err != nil {
					failures <- err
					return
				}
				if _, err := io.ReadFull(c, p); err != nil || string(p) != said {
					failures <- errors.Join(err, errors.New("it isn't what was said"))
					return
				}
			}
		})
	}
	seen := map[string]bool{}
	for i := range rotations {
		id := ids[i%2]
		write(t, filepath.Join(dir, "cert.pem"), id.certPEM())
		tick()
		must(t, os.WriteFile(filepath.Join(dir, "key.pem"), id.keyPEM(t)[:90], 0o600))
		tick()
		write(t, filepath.Join(dir, "key.pem"), id.keyPEM(t))
		tick()
		o := dial(at[0], trusting(ca, "a.test"))
		must(t, o.err)
		if !o.state.PeerCertificates[0].Equal(id.Certificate) {
			t.Errorf("rotation %d: the old certificate is shown", i)
		}
		seen[secure.Fingerprint(o.state.PeerCertificates[0])] = true
	}
	close(over)
	group.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if len(seen) != 2 {
		t.Errorf("%d certificates were shown", len(seen))
	}
}
