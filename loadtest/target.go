package loadtest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// A Target is where connections go.
type Target struct {
	Network string // "tcp" or "unix"
	Address string // host:port, a path, or @name for Linux's abstract sockets
	TLS     bool
}

const targetWant = "want tcp://host:port, tls://host:port or unix:///path"

// ParseTarget reads a URL such as tcp://127.0.0.1:7007, tls://example.com:7443,
// unix:///run/echod.sock or unix://@name.
func ParseTarget(text string) (Target, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Target{}, fmt.Errorf("%q isn't a URL: %s", text, targetWant)
	}
	switch scheme {
	case "unix":
		if rest == "" {
			return Target{}, fmt.Errorf("%q has no path: %s", text, targetWant)
		}
		return Target{Network: "unix", Address: rest}, nil
	case "tcp", "tls":
		u, err := url.Parse(text)
		if err != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
			return Target{}, fmt.Errorf("%q is more than an address: %s", text, targetWant)
		}
		if u.Port() == "" {
			return Target{}, fmt.Errorf("%q has no port: %s", text, targetWant)
		}
		return Target{Network: "tcp", Address: net.JoinHostPort(u.Hostname(), u.Port()), TLS: scheme == "tls"}, nil
	default:
		return Target{}, fmt.Errorf("%q: %s is unknown: %s", text, scheme, targetWant)
	}
}

func (t Target) String() string {
	if t.TLS {
		return "tls://" + t.Address
	}
	return t.Network + "://" + t.Address
}
