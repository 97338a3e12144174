package secure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
)

// check refuses what can't work, or isn't what anybody can have meant.
func (c *Config) check() error {
	for _, v := range []struct {
		field string
		value uint16
	}{{"MinVersion", c.MinVersion}, {"MaxVersion", c.MaxVersion}} {
		if v.value != 0 && v.value != tls.VersionTLS12 && v.value != tls.VersionTLS13 {
			return fmt.Errorf("secure: Config.%s is %s: want tls.VersionTLS12 or tls.VersionTLS13", v.field, tls.VersionName(v.value))
		}
	}
	if c.MaxVersion != 0 && c.MinVersion > c.MaxVersion {
		return errors.New("secure: Config.MinVersion is above MaxVersion")
	}
	if err := checkCipherSuites(c.CipherSuites); err != nil {
		return fmt.Errorf("secure: Config.CipherSuites: %w", err)
	}
	if c.Verify > VerifyNone {
		return fmt.Errorf("secure: Config.Verify is %d: want VerifyAll, VerifyPeer or VerifyNone", c.Verify)
	}
	switch c.ClientAuth {
	case tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert:
	case tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert:
		if c.ClientCAs == nil && len(c.ClientCAFiles) == 0 { // crypto/tls would take anybody whom a public authority knows
			return fmt.Errorf("secure: Config.ClientAuth is %v: want ClientCAs or ClientCAFiles, whose clients are trusted", c.ClientAuth)
		}
	default:
		return fmt.Errorf("secure: Config.ClientAuth is %d: want one of crypto/tls's", int(c.ClientAuth))
	}
	if err := checkALPN(c.ALPN); err != nil {
		return fmt.Errorf("secure: Config.ALPN: %w", err)
	}
	if c.NoTickets && len(c.TicketKeys) > 0 {
		return errors.New("secure: Config.TicketKeys with NoTickets")
	}
	if err := checkTicketKeys(c.TicketKeys); err != nil {
		return fmt.Errorf("secure: Config.TicketKeys: %w", err)
	}
	return nil
}

func checkCipherSuites(suites []uint16) error {
	all := tls.CipherSuites()
	for _, id := range suites {
		i := slices.IndexFunc(all, func(s *tls.CipherSuite) bool { return s.ID == id })
		switch {
		case i < 0:
			return fmt.Errorf("%#04x (%s) isn't among tls.CipherSuites()", id, tls.CipherSuiteName(id))
		case !slices.Contains(all[i].SupportedVersions, tls.VersionTLS12):
			return fmt.Errorf("%s is of TLS 1.3, whose suites can't be chosen", all[i].Name)
		}
	}
	return nil
}

func checkALPN(protocols []string) error {
	for _, p := range protocols {
		if len(p) == 0 || len(p) > 255 {
			return fmt.Errorf("%q has %d bytes: want 1 to 255", p, len(p))
		}
	}
	return nil
}

func checkTicketKeys(keys [][32]byte) error {
	if slices.Contains(keys, [32]byte{}) {
		return errors.New("a key is all zeros: want 32 random bytes")
	}
	return nil
}
