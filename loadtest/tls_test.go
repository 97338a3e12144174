package loadtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"sync/atomic"
	"testing"

	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// tlsServer is an echo with TLS, and what a client needs to trust it.
type tlsServer struct {
	target      loadtest.Target
	certificate tls.Certificate
	roots       *x509.CertPool
}

func startTLS(t *testing.T, change func(*tls.Config)) tlsServer {
	t.Helper()
	own := testenv.Certificate(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "server"}
		c.DNSNames = []string{"server.test"}
	})
	s := tlsServer{certificate: own, roots: x509.NewCertPool()}
	s.roots.AddCert(own.Leaf)
	config := &tls.Config{Certificates: []tls.Certificate{s.certificate}, ClientCAs: s.roots, NextProtos: []string{"echo/1"}}
	if change != nil {
		change(config)
	}
	s.target = serve(t, tls.NewListener(listen(t), config), echo)
	s.target.TLS = true
	return s
}

// Handshakes in full and resumed ones are measured apart, in the parts that were asked for.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	server := startTLS(t, nil)
	for name, resume := range map[string]float64{"full": 0, "resumed": 1, "half": 0.5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const connections, messages = 40, 200
			r, total := run(t, loadtest.Load{
				Targets:     []loadtest.Target{server.target},
				Connections: 2,
				Churn:       messages / connections,
				Messages:    messages,
				TLS:         &tls.Config{RootCAs: server.roots},
				Resume:      resume,
				Seed:        1,
			})
			mustBeRight(t, r, messages)
			full, resumed := total.Histograms[result.HandshakeFull].Count(), total.Histograms[result.HandshakeResumed].Count()
			if full+resumed != total.Connected || total.Histograms[result.Connect].Count() != total.Connected {
				t.Errorf("%d full, %d resumed, %d connections", full, resumed, total.Connected)
			}
			switch {
			case resume == 0 && resumed > 0, resume == 1 && full > 2, resume == 0.5 && (full < 5 || resumed < 5):
				t.Errorf("%d full, %d resumed", full, resumed)
			}
		})
	}
}

// Name, protocol and certificate are those that were asked for.
func TestTLSConfig(t *testing.T) {
	t.Parallel()
	var seen atomic.Pointer[tls.ConnectionState]
	server := startTLS(t, func(c *tls.Config) {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.VerifyConnection = func(s tls.ConnectionState) error {
			seen.Store(&s)
			return nil
		}
	})
	r, _ := run(t, loadtest.Load{
		Targets:  []loadtest.Target{server.target},
		Messages: 50,
		TLS: &tls.Config{
			RootCAs:      server.roots,
			ServerName:   "server.test",
			NextProtos:   []string{"echo/1"},
			Certificates: []tls.Certificate{server.certificate},
		},
	})
	mustBeRight(t, r, 50)
	if s := seen.Load(); s.ServerName != "server.test" || s.NegotiatedProtocol != "echo/1" || len(s.PeerCertificates) != 1 {
		t.Errorf("name %q, protocol %q, %d certificates", s.ServerName, s.NegotiatedProtocol, len(s.PeerCertificates))
	}
}
