package secure

import (
	"crypto/tls"
	"crypto/x509"
)

// Verification is how much a client demands of a server's certificate.
type Verification uint8

// The verifications (rSetSocketVerify's two flags).
const (
	VerifyAll  Verification = iota // peer and issuer: the name, the dates and who has signed
	VerifyPeer                     // the name and the dates; anybody may have signed, the server itself, too
	VerifyNone                     // neither: whoever is between can read and change all
)

// verifyClient is what a server demands of a client beyond crypto/tls's own verification;
// verifyServer is what a client demands. Both are called for resumed sessions, too, where
// crypto/tls verifies little again.
func (x *Context) verifyClient(s tls.ConnectionState) error { return x.checkRevoked(s) }

// The name is that which the client wants: in the state there's none for an IP address.
func (x *Context) verifyServer(s tls.ConnectionState, serverName string) error {
	if x.config.Verify == VerifyPeer {
		leaf := s.PeerCertificates[0]
		err := leaf.VerifyHostname(serverName)
		if err == nil {
			err = checkDates(leaf)
		}
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
	}
	return x.checkRevoked(s)
}

func (x *Context) checkRevoked(s tls.ConnectionState) error {
	chains, verified := s.VerifiedChains, true
	if len(chains) == 0 {
		chains, verified = [][]*x509.Certificate{s.PeerCertificates}, false
	}
	for _, chain := range chains {
		if err := x.config.Revoked.check(chain, verified); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
	}
	return nil
}
