package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/testenv"
)

// What is wrong with a server's certificate is said in one line, each with its own remedy,
// which helps.
func TestCertificates(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		change func(*x509.Certificate)
		trust  bool
		want   []string
		remedy []string // flags; nil: there's only --tls-insecure
	}{
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-day) }, true, []string{"expired", "clock"}, nil},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(day), time.Now().Add(2*day) }, true, []string{"not yet valid", "clock"}, nil},
		{"of another name", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.test"} }, true, []string{"127.0.0.1", "--tls-sni"}, []string{"--tls-sni", "other.test"}},
		{"of an unknown authority", nil, false, []string{"unknown authority", "--tls-ca"}, []string{"--tls-ca"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := testenv.Certificate(t, tt.change)
			url := strings.Replace(serve(t, overTLS(server)), "tcp", "tls", 1)
			authority := temporary(t, "ca.pem")
			if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]}), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"run", url, "-n", "10", "-q"}
			if tt.trust {
				args = append(args, "--tls-ca", authority)
			}
			r := invoke(t, args...)
			r.must(t, exitFailure, append(tt.want, "loadtest: "+url+": ", "--tls-insecure")...)
			if strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
				t.Errorf("not one line: %q, %q", r.stderr, r.stdout)
			}
			remedy := tt.remedy
			switch {
			case remedy == nil:
				remedy = []string{"--tls-insecure"}
			case !tt.trust:
				remedy = append(remedy, authority)
			}
			invoke(t, append(args, remedy...)...).must(t, exitClean, "10 replies")
		})
	}
}
