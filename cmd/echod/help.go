package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// help is what --help shows. It's written by hand, to be read by people; a test holds
// it to the flags and their defaults.
const help = `Usage: echod [flags]

Sends back every byte to whoever sent it, over TCP, TLS and Unix-domain
sockets.

Addresses
  --listen URL         Serve clients at tcp://host:port, tls://host:port or
                       unix:///path. Repeat it, or put commas between, for
                       several.
                       [tcp://127.0.0.1:7007,tls://127.0.0.1:7443,
                       $ECHOD_LISTEN]
  --admin HOST:PORT    Serve those who operate it over HTTP; --admin= is off.
                       /metrics  Figures for Prometheus.
                       /healthz  503 when an event loop is stuck: restart it.
                       /readyz   503 from the first moment of draining.
                       /drain    POST: stop accepting, and drain, as TERM does.
                       [127.0.0.1:7070, $ECHOD_ADMIN]
  --pprof              There, serve /debug/pprof/ too: profiles and traces.
                       [false, $ECHOD_PPROF]

TLS, for the addresses with tls://
  --tls-cert FILE      A certificate, and those that lead to its root, as PEM.
                       Repeat it for several: a client gets the one with the
                       name that it asks for, or else the first. Without any,
                       a self-signed one is made, and its fingerprint logged.
                       [none, $ECHOD_TLS_CERT]
  --tls-key FILE       Its key; as many as certificates, in the same order. With
                       none, the certificates' files have the keys in them.
                       [none, $ECHOD_TLS_KEY]
  --tls-client-ca FILE Serve only clients with a certificate that one of these
                       authorities has signed, as PEM.
                       [none, $ECHOD_TLS_CLIENT_CA]
  --tls-min-version V  1.2 or 1.3: the oldest version that's spoken.
                       [1.2, $ECHOD_TLS_MIN_VERSION]
  --alpn PROTOCOLS     Application protocols that are agreed to, the preferred
                       first: echo/2,echo/1.
                       [none, $ECHOD_ALPN]

Limits
  --reactors N         Event loops; 0 is one per processor.
                       [0, $ECHOD_REACTORS]
  --max-connections N  Connections at a time, the rest wait; 0 is no limit.
                       [0, $ECHOD_MAX_CONNECTIONS]
  --max-per-address N  Connections of one client at a time, by IP address (IPv6:
                       by /64 network); it's refused more. 0 is no limit.
                       [0, $ECHOD_MAX_PER_ADDRESS]
  --accept-rate N      New connections in a second at each address of --listen;
                       more are refused. 0 is no limit.
                       [0, $ECHOD_ACCEPT_RATE]
  --idle-timeout TIME  Close connections without a byte for so long; 0 is never.
                       [0, $ECHOD_IDLE_TIMEOUT]
  --drain-timeout TIME Once told to stop, let connections end by themselves for
                       so long; 0 is not at all.
                       [10s, $ECHOD_DRAIN_TIMEOUT]

Log, to standard error
  --log-level LEVEL    debug, info, warn or error.
                       [info, $ECHOD_LOG_LEVEL]
  --log-format FORMAT  text or json.
                       [text, $ECHOD_LOG_FORMAT]

  --check-config       Say whether the configuration is good, and end.
  --print-config       Print it as an environment, and end.
  -h, --help           Show this.
  --version            Show the version.

In brackets: the default, and the environment variable that replaces it. A flag
wins over its variable. A TIME is 500ms, 10s or 1m30s.

Examples
  echod
  echod --listen tcp://:7007 --listen unix:///run/echod.sock
  ECHOD_LISTEN=tcp://:0,unix://@echo ECHOD_LOG_FORMAT=json echod --admin=
  printf hello | nc -N 127.0.0.1 7007
  openssl s_client -connect 127.0.0.1:7443
  echod --listen tls://:7443 --tls-cert cert.pem --tls-key key.pem

Signals
  TERM, INT            Stop accepting, and drain; again: abort what's left.
  HUP                  Read the certificates, keys and authorities again; what
                       can't be used stays as it was.

Exit codes
  0  Ended, and every connection ended by itself.
  1  Couldn't start, or couldn't end properly.
  2  Wrong flag, or wrong value in a flag or variable.
  3  Ended, but connections had to be aborted; the log says how many.
`

// helpFlag is --help. Like versionFlag it answers before anything else is looked at, so
// that a wrong value in the environment can't keep the help from being read.
type helpFlag bool

// BeforeReset is called by kong when the flag is there. Whoever has read enough of it
// (| head) has made no mistake, so a failure to write is none.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	_, _ = io.WriteString(ctx.Stdout, help)
	return errAnswered
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset is called by kong when the flag is there.
func (versionFlag) BeforeReset(ctx *kong.Context) error {
	_, _ = fmt.Fprintln(ctx.Stdout, "echod", version(debug.ReadBuildInfo()), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return errAnswered
}

// version is this module's. A build from a checkout has its revision in it, unless the
// build was told to leave it out.
func version(info *debug.BuildInfo, ok bool) string {
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
