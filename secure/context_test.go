package secure_test

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
)

// What can't work is refused, by the field's name.
func TestBadConfigs(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    secure.Config
		want string
	}{
		{"MinVersion", secure.Config{MinVersion: tls.VersionTLS10}, "Config.MinVersion is TLS 1.0: want"},
		{"MaxVersion", secure.Config{MaxVersion: 0x0305}, "Config.MaxVersion is 0x0305: want"},
		{"versions", secure.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}, "Config.MinVersion is above MaxVersion"},
		{"insecure suite", secure.Config{CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}, "Config.CipherSuites: 0x0005 (TLS_RSA_WITH_RC4_128_SHA) isn't"},
		{"suite of 1.3", secure.Config{CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256}}, "Config.CipherSuites: TLS_AES_128_GCM_SHA256 is of TLS 1.3"},
		{"Verify", secure.Config{Verify: secure.VerifyNone + 1}, "Config.Verify is 3: want"},
		{"ClientAuth", secure.Config{ClientAuth: 17}, "Config.ClientAuth is 17: want"},
		{"ClientCAs", secure.Config{ClientAuth: tls.RequireAndVerifyClientCert}, "Config.ClientAuth is RequireAndVerifyClientCert: want ClientCAs"},
		{"ALPN", secure.Config{ALPN: []string{"h2", ""}}, `Config.ALPN: "" has 0 bytes`},
		{"TicketKeys", secure.Config{TicketKeys: [][32]byte{{}}}, "Config.TicketKeys: a key is all zeros"},
		{"NoTickets", secure.Config{NoTickets: true, TicketKeys: [][32]byte{{1}}}, "Config.TicketKeys with NoTickets"},
	} {
		if _, err := secure.NewContext(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	x := newContext(t, secure.Config{NoTickets: true})
	if err := x.SetSessionTicketKeys(); err == nil {
		t.Error("no ticket keys at all")
	}
	if err := x.SetSessionTicketKeys([32]byte{1}); err == nil {
		t.Error("ticket keys with NoTickets")
	}
	if err := newContext(t, secure.Config{}).SetSessionTicketKeys([32]byte{}); err == nil {
		t.Error("a ticket key of zeros")
	}
	if err := x.SetALPNProtocols(strings.Repeat("x", 256)); err == nil {
		t.Error("a protocol of 256 bytes")
	}
}

// Contract: SetServerCertificate(cert, hostName): served by SNI. faults.md, TLS: unknown SNI.
func TestServerNames(t *testing.T) {
	ca := authority(t, "names")
	leaf := func(names ...string) *identity { return ca.leaf(t, "ECDSA", names...) }
	first, exact, wild, address := leaf("first.test"), leaf("A.test", "www.a.test"), leaf("*.a.test"), leaf("127.0.0.1", "::1")
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{
		first.certificate(), exact.certificate(), wild.certificate(), address.certificate(),
	}})
	set, setWild := leaf("set.test"), leaf("*.b.test")
	must(t, x.SetServerCertificate(set.certificate(), "Set.Test."))
	must(t, x.SetServerCertificate(setWild.certificate(), "*.b.test"))
	at := serve(t, echo{}, x)
	for name, want := range map[string]*identity{
		"a.test": exact, "A.TEST": exact, "www.a.test": exact, "other.a.test": wild, "two.labels.a.test": first,
		"first.test": first, "unknown.test": first, "set.test": set, "sET.test": set, "c.b.test": setWild, "b.test": first,
		"": address, "localhost": first, "test": first, "*.a.test": wild,
	} {
		o := dial(at[0], &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if o.err != nil || !o.state.PeerCertificates[0].Equal(want.Certificate) {
			t.Errorf("%q gets %v, %v, want %v", name, o.state.PeerCertificates, o.err, want.Subject)
		}
		if name != "" && x.CertificateFingerprint(name) != secure.Fingerprint(want.Certificate) {
			t.Errorf("the fingerprint for %q isn't that of %v", name, want.Subject)
		}
	}
	// The forms that don't come in a ClientHello.
	for name, want := range map[string]*identity{"a.test.": exact, "127.0.0.1": address, "[::1]": address, "::ffff:127.0.0.1": address, "0:0:0::1": address, "": first, "10.0.0.1": first} {
		if x.CertificateFingerprint(name) != secure.Fingerprint(want.Certificate) {
			t.Errorf("the fingerprint for %q isn't that of %v", name, want.Subject)
		}
	}
}

// faults.md, TLS: unknown SNI. A server without a certificate refuses all; one that has only
// some for certain names refuses the others, by an alert.
func TestNoCertificate(t *testing.T) {
	ca := authority(t, "none")
	x := newContext(t, secure.Config{})
	if x.CertificateFingerprint("a.test") != "" {
		t.Error("a fingerprint of nothing")
	}
	if _, err := x.NewSession(conn.Server, ""); !errors.Is(err, secure.ErrNoCertificate) {
		t.Errorf("a server without a certificate: %v", err)
	}
	if _, err := x.NewSession(conn.Client, "a.test"); err != nil {
		t.Errorf("a client needs none: %v", err)
	}
	at := serve(t, echo{}, x)
	if o := dial(at[0], trusting(ca, "a.test")); o.err == nil {
		t.Error("it answers")
	}
	must(t, x.SetServerCertificate(ca.leaf(t, "ECDSA", "a.test").certificate(), "a.test"))
	must(t, dial(at[0], trusting(ca, "a.test")).err)
	for _, name := range []string{"b.test", ""} {
		o := dial(at[0], &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if o.err == nil || !strings.Contains(o.err.Error(), "unrecognized name") {
			t.Errorf("for %q: %v", name, o.err)
		}
	}
}

// Contract: SetServerCertificate: live connections keep the old certificate, new ones get
// the new one.
func TestSetServerCertificate(t *testing.T) {
	ca := authority(t, "set")
	first, second := ca.leaf(t, "ECDSA", "a.test"), ca.leaf(t, "RSA", "a.test")
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{first.certificate()}})
	at := serve(t, echo{}, x)
	live, err := tls.Dial("tcp", at[0], trusting(ca, "a.test"))
	must(t, err)
	defer live.Close()
	must(t, x.SetServerCertificate(second.certificate(), "a.test"))
	must(t, x.Reload()) // doesn't undo it
	o := dial(at[0], trusting(ca, "a.test"))
	if must(t, o.err); !o.state.PeerCertificates[0].Equal(second.Certificate) {
		t.Error("a new connection gets the old certificate")
	}
	if x.CertificateFingerprint("a.test") != secure.Fingerprint(second.Certificate) {
		t.Error("the fingerprint is the old one's")
	}
	_, err = io.WriteString(live, said)
	must(t, err)
	p := make([]byte, len(said))
	if _, err := io.ReadFull(live, p); err != nil || string(p) != said {
		t.Errorf("the live connection: %q, %v", p, err)
	}
}

// Contract: SetClientCertificate(cert, hostName), DisableClientCertificate: for new
// connections, also where sessions are resumed.
func TestSetClientCertificate(t *testing.T) {
	ca := authority(t, "set")
	leaf := func(name string) *identity { return ca.leaf(t, "another", name) }
	calls := newCaller(t)
	forAll, forOne, instead := leaf("all"), leaf("one"), leaf("instead")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := &tls.Config{
			Certificates: []tls.Certificate{*ca.leaf(t, "ECDSA", "a.test", "b.test").pair()}, ClientAuth: tls.RequestClientCert, MaxVersion: version,
		}
		c := forAll.certificate()
		x := newContext(t, secure.Config{Roots: ca.pool(), Client: &c})
		l := listen(t)
		see := func(name, want string, resumed bool) {
			t.Helper()
			served := make(chan outcome, 1)
			go func() { served <- accept(l, server) }()
			err := calls.dial(x, l.Addr().String(), name)
			o := <-served
			must(t, errors.Join(err, o.err))
			got := "none"
			if len(o.state.PeerCertificates) > 0 {
				got = o.state.PeerCertificates[0].Subject.CommonName
			}
			if got != want || o.state.DidResume != resumed {
				t.Errorf("%s: %s sees the certificate %q, resumed: %v; want %q, %v", tls.VersionName(version), name, got, o.state.DidResume, want, resumed)
			}
		}
		see("a.test", "all", false)
		see("a.test", "all", true)
		must(t, x.SetClientCertificate(forOne.certificate(), "B.test."))
		see("b.test", "one", false)
		see("a.test", "all", false)
		must(t, x.Reload())
		see("a.test", "all", true)
		must(t, x.SetClientCertificate(instead.certificate(), ""))
		see("a.test", "instead", false)
		x.DisableClientCertificate()
		see("a.test", "none", false)
		see("b.test", "none", false)
		must(t, x.Reload())
		see("a.test", "none", true)
		must(t, x.SetClientCertificate(forAll.certificate(), ""))
		see("b.test", "all", false)
	}
}

// Contract: SetALPNProtocols: in order of preference, for new connections.
func TestSetALPNProtocols(t *testing.T) {
	ca := authority(t, "ALPN")
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}})
	at := serve(t, echo{}, x)
	see := func(want string, offered ...string) {
		t.Helper()
		config := trusting(ca, "a.test")
		config.NextProtos = offered
		if o := dial(at[0], config); o.err != nil || o.state.NegotiatedProtocol != want {
			t.Errorf("%q, %v, want %q", o.state.NegotiatedProtocol, o.err, want)
		}
	}
	see("", "one", "two")
	protocols := []string{"two", "one"}
	must(t, x.SetALPNProtocols(protocols...))
	protocols[0] = "three" // it's not ours to look at any more
	see("two", "one", "two")
	see("one", "one")
	see("")
	must(t, x.SetALPNProtocols())
	see("", "one", "two")
}

// Config.MinVersion, MaxVersion and CipherSuites are kept to.
func TestVersionsAndSuites(t *testing.T) {
	ca := authority(t, "versions")
	c := []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}
	suite := tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
	at := serve(t, echo{},
		newContext(t, secure.Config{Certificates: c}),
		newContext(t, secure.Config{Certificates: c, MinVersion: tls.VersionTLS13}),
		newContext(t, secure.Config{Certificates: c, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}))
	for _, tt := range []struct {
		server   int
		min, max uint16
		suites   []uint16
		want     uint16 // 0: it fails
	}{
		{0, tls.VersionTLS10, tls.VersionTLS11, nil, 0},
		{0, 0, tls.VersionTLS12, nil, tls.VersionTLS12},
		{0, 0, 0, nil, tls.VersionTLS13},
		{1, 0, tls.VersionTLS12, nil, 0},
		{1, 0, 0, nil, tls.VersionTLS13},
		{2, tls.VersionTLS13, 0, nil, 0},
		{2, 0, 0, nil, tls.VersionTLS12},
		{2, 0, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, 0},
	} {
		config := trusting(ca, "a.test")
		config.MinVersion, config.MaxVersion, config.CipherSuites = tt.min, tt.max, tt.suites
		o := dial(at[tt.server], config)
		if (o.err == nil) != (tt.want != 0) || o.err == nil && o.state.Version != tt.want {
			t.Errorf("%+v: %s, %v", tt, tls.VersionName(o.state.Version), o.err)
		}
		if o.err == nil && tt.server == 2 && o.state.CipherSuite != suite {
			t.Errorf("%+v: %s", tt, tls.CipherSuiteName(o.state.CipherSuite))
		}
	}
}

// Session tickets: of the process's own keys, of shared ones, after rotation, and none; also
// with ALPN, and when that changes.
func TestTickets(t *testing.T) {
	ca := authority(t, "tickets")
	c := secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}, ALPN: []string{"x"}}
	own, shared, none := c, c, c
	shared.TicketKeys = [][32]byte{{1}}
	none.NoTickets = true
	contexts := []*secure.Context{newContext(t, own), newContext(t, own), newContext(t, shared), newContext(t, shared), newContext(t, none)}
	at := serve(t, echo{}, contexts...)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		resumes := func(servers ...int) (got []bool) {
			t.Helper()
			config := trusting(ca, "a.test")
			config.NextProtos, config.MaxVersion, config.ClientSessionCache = []string{"x"}, version, tls.NewLRUClientSessionCache(0)
			for _, i := range servers {
				o := dial(at[i], config)
				must(t, o.err)
				got = append(got, o.state.DidResume)
			}
			return got
		}
		for _, tt := range []struct {
			servers []int
			want    []bool
		}{
			{[]int{0, 0, 0}, []bool{false, true, true}},
			{[]int{0, 1, 1, 0}, []bool{false, false, true, false}},
			{[]int{2, 3, 2}, []bool{false, true, true}},
			{[]int{4, 4}, []bool{false, false}},
		} {
			if got := resumes(tt.servers...); !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v: resumed: %v, want %v", tls.VersionName(version), tt.servers, got, tt.want)
			}
		}
		// While keys are rotated, old tickets are opened as long as their key is there.
		config := trusting(ca, "a.test")
		config.NextProtos, config.MaxVersion, config.ClientSessionCache = []string{"x"}, version, tls.NewLRUClientSessionCache(0)
		must(t, contexts[2].SetALPNProtocols("x", "y"))
		see := func(want bool) {
			t.Helper()
			if o := dial(at[2], config); o.err != nil || o.state.DidResume != want {
				t.Errorf("%s: resumed: %v, %v, want %v", tls.VersionName(version), o.state.DidResume, o.err, want)
			}
		}
		see(false)
		see(true)
		must(t, contexts[2].SetSessionTicketKeys([32]byte{2}, [32]byte{1}))
		see(true)
		must(t, contexts[2].SetSessionTicketKeys([32]byte{3}))
		see(false)
		must(t, contexts[2].SetSessionTicketKeys([32]byte{1}))
	}
}

// KeyLog gets the secrets, and the log says so.
func TestKeyLog(t *testing.T) {
	ca := authority(t, "secrets")
	var log, secrets book
	x := newContext(t, secure.Config{
		Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()},
		KeyLog:       &secrets, Logger: log.logger(),
	})
	must(t, dial(serve(t, echo{}, x)[0], trusting(ca, "a.test")).err)
	if !strings.Contains(secrets.String(), "SERVER_HANDSHAKE_TRAFFIC_SECRET ") {
		t.Errorf("%q", secrets.String())
	}
	if !strings.Contains(log.String(), "level=WARN msg=\"TLS secrets are being logged") {
		t.Errorf("the log has no warning: %s", log.String())
	}
}

// Config.ClientAuth's modes, with each kind of client.
func TestClientAuth(t *testing.T) {
	ca := authority(t, "clients")
	good, bad := ca.leaf(t, "another", "c"), authority(t, "others").leaf(t, "another", "c")
	var all []*secure.Context
	modes := []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert, tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert}
	for _, mode := range modes {
		// A server doesn't hold its own Verify, nor the name it's asked for, against clients.
		all = append(all, newContext(t, secure.Config{
			Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}, ClientAuth: mode, ClientCAs: ca.pool(), Verify: secure.VerifyPeer,
		}))
	}
	at := serve(t, echo{}, all...)
	for who, tt := range map[string]struct {
		shows *identity
		works [5]bool
	}{
		"none": {nil, [5]bool{true, true, false, true, false}},
		"good": {good, [5]bool{true, true, true, true, true}},
		"bad":  {bad, [5]bool{true, true, true, false, false}},
	} {
		for i, mode := range modes {
			config := trusting(ca, "a.test")
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if tt.shows == nil {
					return &tls.Certificate{}, nil
				}
				return tt.shows.pair(), nil
			}
			if o := dial(at[i], config); (o.err == nil) != tt.works[i] {
				t.Errorf("%v, %s: %v", mode, who, o.err)
			}
		}
	}
}

// Contract: rSetSocketVerify(verifyPeer, verifyIssuer), Config.Verify: for the first
// connection and for those that are resumed.
func TestVerification(t *testing.T) {
	ca, stranger := authority(t, "known"), authority(t, "unknown")
	old := issue(t, stranger, "ECDSA", expired(named("a.test", "127.0.0.1")))
	servers := map[string]*identity{
		"known": ca.leaf(t, "ECDSA", "a.test", "127.0.0.1"), "unknown": stranger.leaf(t, "ECDSA", "a.test", "127.0.0.1"),
		"expired": old, "another": stranger.leaf(t, "ECDSA", "b.test", "127.0.0.2"),
	}
	accepts := map[secure.Verification][]string{
		secure.VerifyAll: {"known"}, secure.VerifyPeer: {"known", "unknown"}, secure.VerifyNone: {"known", "unknown", "expired", "another"},
	}
	calls := newCaller(t)
	for verify, good := range accepts {
		for server, id := range servers {
			for _, name := range []string{"a.test", "A.test.", "127.0.0.1", "[127.0.0.1]"} {
				x := newContext(t, secure.Config{Roots: ca.pool(), Verify: verify})
				l := listen(t)
				config := &tls.Config{Certificates: []tls.Certificate{*id.pair()}}
				works := slices.Contains(good, server)
				for i := range 2 {
					served := make(chan outcome, 1)
					go func() { served <- accept(l, config) }()
					err := calls.dial(x, l.Addr().String(), name)
					o := <-served
					var verification *tls.CertificateVerificationError
					if (err == nil) != works || err != nil && !errors.As(err, &verification) {
						t.Errorf("Verify %d, %s server, name %s: %v", verify, server, name, err)
					}
					if works && o.state.DidResume != (i == 1 && server != "expired") {
						t.Errorf("Verify %d, %s server, name %s, connection %d: resumed: %v", verify, server, name, i, o.state.DidResume)
					}
				}
			}
		}
	}
	for verify, want := range map[secure.Verification]bool{secure.VerifyAll: false, secure.VerifyPeer: false, secure.VerifyNone: true} {
		x := newContext(t, secure.Config{Verify: verify})
		if _, err := x.NewSession(conn.Client, ""); (err == nil) != want {
			t.Errorf("Verify %d without a name: %v", verify, err)
		}
	}
}
