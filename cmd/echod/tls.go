package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sluice-net/sluice/secure"
)

// selfSignedLifetime is how long a certificate lasts that's made at the start.
const selfSignedLifetime = 365 * 24 * time.Hour

// hasTLS reports whether a listener speaks TLS.
func (c config) hasTLS() bool {
	return slices.ContainsFunc(c.Listen, isTLS)
}

// checkTLS finds what's wrong with the TLS flags together.
func (c config) checkTLS() error {
	certs, keys := len(c.TLSCert), len(c.TLSKey)
	if keys > 0 && keys != certs {
		return fmt.Errorf("--tls-key: %s for %s: want as many, in the same order, or no key if the certificates' files have them",
			counted(keys, "key"), counted(certs, "certificate"))
	}
	if c.hasTLS() {
		return nil
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"--tls-cert", certs > 0},
		{"--tls-client-ca", c.TLSClientCA != ""},
		{"--tls-min-version", c.TLSMinVersion != tls.VersionTLS12},
		{"--alpn", len(c.ALPN) > 0},
	} {
		if f.set {
			return fmt.Errorf("%s: nothing listens with TLS: add --listen tls://127.0.0.1:7443, say", f.name)
		}
	}
	return nil
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// tlsContext is what the TLS listeners share; nil if there are none.
func (c config) tlsContext(log *slog.Logger) (*secure.Context, error) {
	if !c.hasTLS() {
		return nil, nil
	}
	settings := secure.Config{ALPN: c.ALPN, MinVersion: uint16(c.TLSMinVersion), Logger: log}
	if c.TLSClientCA != "" {
		settings.ClientCAFiles, settings.ClientAuth = []string{string(c.TLSClientCA)}, tls.RequireAndVerifyClientCert
	}
	for i, cert := range c.TLSCert {
		pair := secure.Certificate{CertFile: cert, KeyFile: cert}
		if len(c.TLSKey) > 0 {
			pair.KeyFile = c.TLSKey[i]
		}
		settings.Certificates = append(settings.Certificates, pair)
	}
	if len(c.TLSCert) == 0 {
		own, err := secure.SelfSigned(selfSignedLifetime, "localhost", "127.0.0.1", "::1")
		if err != nil {
			return nil, err
		}
		settings.Certificates = []secure.Certificate{own}
	}
	x, err := secure.NewContext(settings)
	if err != nil {
		return nil, c.blame(err)
	}
	return x, nil
}

// blame says which flag certificates were refused for. The error itself names the file.
func (c config) blame(err error) error {
	var file *fs.PathError
	switch missing := errors.As(err, &file); {
	case errors.Is(err, secure.ErrAuthorities) && missing:
		return fmt.Errorf("--tls-client-ca: %w: want a file that echod may read", err)
	case errors.Is(err, secure.ErrAuthorities):
		return fmt.Errorf("--tls-client-ca: %w", err)
	case !missing:
		return fmt.Errorf("--tls-cert, --tls-key: %w (want certificates, and the keys that belong to them in the same order)", err)
	case slices.Contains(c.TLSKey, file.Path) && !slices.Contains(c.TLSCert, file.Path):
		return fmt.Errorf("--tls-key: %w: want a file that echod may read", err)
	default:
		return fmt.Errorf("--tls-cert: %w: want a file that echod may read", err)
	}
}

// logCertificate tells what the clients are shown.
func (d *daemon) logCertificate() {
	if d.tls == nil {
		return
	}
	message := "certificates loaded"
	if len(d.config.TLSCert) == 0 {
		message = "a self-signed certificate was made for this run: clients know it by its fingerprint"
	}
	d.log.Info(message, d.certificate()...)
}

// reload reads the certificates and the clients' authorities again. What can't be read stays.
func (d *daemon) reload(signal string) {
	if d.tls == nil || len(d.config.TLSCert) == 0 && d.config.TLSClientCA == "" {
		d.log.Info("there's nothing to reload", "signal", signal)
		return
	}
	if err := d.tls.Reload(); err != nil {
		d.log.Error("certificates that can't be reloaded stay as they were", "signal", signal, "error", err)
		return
	}
	d.log.Info("certificates reloaded", append(d.certificate(), "signal", signal)...)
}

// certificate is the default one, and when the first of them expires.
func (d *daemon) certificate() []any {
	return []any{"sha256", d.tls.CertificateFingerprint(""), "not_after", d.tls.NotAfter().UTC().Format(time.RFC3339)}
}

// texts are a flag's values, of which there may be several. Each use of it adds to them.
type texts []string

func (t *texts) decode(c *kong.DecodeContext, want string, good func(string) bool) error {
	return decode(c, want, func(text string) bool {
		if text == "" {
			return true // none
		}
		for one := range strings.SplitSeq(text, ",") {
			one = strings.TrimSpace(one)
			if !good(one) {
				return false
			}
			*t = append(*t, one)
		}
		return true
	})
}

func (t texts) String() string { return strings.Join(t, ",") }

// files are those of --tls-cert and --tls-key.
type files []string

// Decode implements kong.MapperValue.
func (f *files) Decode(c *kong.DecodeContext) error {
	return (*texts)(f).decode(c, "a file, such as cert.pem", func(path string) bool { return path != "" })
}

func (f files) String() string { return texts(f).String() }

// file is one, or none.
type file string

// Decode implements kong.MapperValue.
func (f *file) Decode(c *kong.DecodeContext) error {
	return decode(c, "a file, such as ca.pem", func(text string) bool {
		*f = file(text)
		return true
	})
}

// protocols are those of --alpn.
type protocols []string

// Decode implements kong.MapperValue.
func (p *protocols) Decode(c *kong.DecodeContext) error {
	return (*texts)(p).decode(c, "protocols of 1 to 255 bytes, such as echo/2,echo/1", func(name string) bool {
		return name != "" && len(name) <= 255
	})
}

func (p protocols) String() string { return texts(p).String() }

// tlsVersion is one of TLS.
type tlsVersion uint16

// Decode implements kong.MapperValue.
func (v *tlsVersion) Decode(c *kong.DecodeContext) error {
	return decode(c, "1.2 or 1.3", func(text string) bool {
		versions := map[string]tlsVersion{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
		*v = versions[text]
		return *v != 0
	})
}

func (v tlsVersion) String() string { return strings.TrimPrefix(tls.VersionName(uint16(v)), "TLS ") }
