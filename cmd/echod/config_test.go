package main

import (
	"crypto/tls"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/sluice-net/sluice/server"
)

// TestPrecedence holds the rule that a flag wins over its variable, and both over the
// default.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	defaults := config{
		Listen:        listeners{{Network: "tcp", Address: "127.0.0.1:7007"}, {Network: "tls", Address: "127.0.0.1:7443"}},
		Admin:         "127.0.0.1:7070",
		TLSMinVersion: tls.VersionTLS12,
		DrainTimeout:  duration(10 * time.Second),
		LogLevel:      level(slog.LevelInfo),
		LogFormat:     formatText,
	}
	everywhere := map[string]string{
		"ECHOD_LISTEN":          "tcp4://0.0.0.0:1,unix:///run/e.sock,tls://:3",
		"ECHOD_TLS_CERT":        "a.pem, b.pem",
		"ECHOD_TLS_KEY":         "a.key,b.key",
		"ECHOD_TLS_CLIENT_CA":   "ca.pem",
		"ECHOD_TLS_MIN_VERSION": "1.3",
		"ECHOD_ALPN":            "x,y",
		"ECHOD_ADMIN":           ":2",
		"ECHOD_REACTORS":        "3",
		"ECHOD_MAX_CONNECTIONS": "4",
		"ECHOD_MAX_PER_ADDRESS": "41",
		"ECHOD_ACCEPT_RATE":     "42",
		"ECHOD_IDLE_TIMEOUT":    "5s",
		"ECHOD_DRAIN_TIMEOUT":   "6s",
		"ECHOD_LOG_LEVEL":       "warn",
		"ECHOD_LOG_FORMAT":      "json",
		"ECHOD_PPROF":           "true",
	}
	fromEverywhere := config{
		Listen:         listeners{{Network: "tcp4", Address: "0.0.0.0:1"}, {Network: "unix", Address: "/run/e.sock"}, {Network: "tls", Address: ":3"}},
		TLSCert:        files{"a.pem", "b.pem"},
		TLSKey:         files{"a.key", "b.key"},
		TLSClientCA:    "ca.pem",
		TLSMinVersion:  tls.VersionTLS13,
		ALPN:           protocols{"x", "y"},
		Admin:          ":2",
		Reactors:       3,
		MaxConnections: 4,
		MaxPerAddress:  41,
		AcceptRate:     42,
		IdleTimeout:    duration(5 * time.Second),
		DrainTimeout:   duration(6 * time.Second),
		LogLevel:       level(slog.LevelWarn),
		LogFormat:      formatJSON,
		Pprof:          true,
	}
	with := func(c config, change func(*config)) config {
		change(&c)
		return c
	}
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want config
	}{
		{name: "nothing", want: defaults},
		{name: "environment", env: everywhere, want: fromEverywhere},
		{name: "other variables", env: map[string]string{"LISTEN": "x", "ECHOD_HELP": "1", "ECHOD_VERSION": "1", "ECHOD_CHECK_CONFIG": "1", "ECHOD_PRINT_CONFIG": "1"}, want: defaults},
		{name: "flags over environment", env: everywhere,
			args: []string{
				"--listen", "tcp6://[::1]:10", "--listen=tls://:30", "--admin=:20", "--reactors=30", "--max-connections", "40",
				"--max-per-address=401", "--accept-rate", "402",
				"--idle-timeout=50s", "--drain-timeout", "1m", "--log-level=debug", "--log-format=text",
				"--pprof=false", "--tls-cert=c.pem", "--tls-cert", "d.pem,e.pem", "--tls-key=", "--tls-client-ca=", "--tls-min-version=1.2", "--alpn=z",
			},
			want: config{
				Listen:         listeners{{Network: "tcp6", Address: "[::1]:10"}, {Network: "tls", Address: ":30"}},
				TLSCert:        files{"c.pem", "d.pem", "e.pem"},
				TLSKey:         files{},
				TLSMinVersion:  tls.VersionTLS12,
				ALPN:           protocols{"z"},
				Admin:          ":20",
				Reactors:       30,
				MaxConnections: 40,
				MaxPerAddress:  401,
				AcceptRate:     402,
				IdleTimeout:    duration(50 * time.Second),
				DrainTimeout:   duration(time.Minute),
				LogLevel:       level(slog.LevelDebug),
				LogFormat:      formatText,
			}},
		{name: "a switch", args: []string{"--pprof", "--reactors=1"},
			want: with(defaults, func(c *config) { c.Pprof, c.Reactors = true, 1 })},
		{name: "one flag over environment", env: everywhere, args: []string{"--reactors=0"},
			want: with(fromEverywhere, func(c *config) { c.Reactors = 0 })},
		{name: "a bad variable below a flag", env: map[string]string{"ECHOD_REACTORS": "x"}, args: []string{"--reactors=1"},
			want: with(defaults, func(c *config) { c.Reactors = 1 })},
		{name: "listen repeated", args: []string{"--listen", "tcp://:1", "--listen=unix://@e"},
			want: with(defaults, func(c *config) {
				c.Listen = listeners{{Network: "tcp", Address: ":1"}, {Network: "unix", Address: "@e"}}
			})},
		{name: "listen with commas", args: []string{"--listen", "tcp://:1, tcp://:2"},
			want: with(defaults, func(c *config) {
				c.Listen = listeners{{Network: "tcp", Address: ":1"}, {Network: "tcp", Address: ":2"}}
			})},
		{name: "no admin by flag", env: map[string]string{"ECHOD_ADMIN": ":1"}, args: []string{"--admin="},
			want: with(defaults, func(c *config) { c.Admin = "" })},
		{name: "no admin by an empty argument", args: []string{"--admin", ""},
			want: with(defaults, func(c *config) { c.Admin = "" })},
		{name: "no admin by environment", env: map[string]string{"ECHOD_ADMIN": ""},
			want: with(defaults, func(c *config) { c.Admin = "" })},
		{name: "the last one wins", args: []string{"--reactors=1", "--reactors=2"},
			want: with(defaults, func(c *config) { c.Reactors = 2 })},
		{name: "no time", args: []string{"--drain-timeout=0", "--idle-timeout=0"},
			want: with(defaults, func(c *config) { c.DrainTimeout = 0 })},
		{name: "port 0 of both", args: []string{"--listen=tcp://127.0.0.1:0", "--admin=127.0.0.1:0"},
			want: with(defaults, func(c *config) {
				c.Listen, c.Admin = listeners{{Network: "tcp", Address: "127.0.0.1:0"}}, "127.0.0.1:0"
			})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(process{args: tt.args, lookupEnv: lookupIn(tt.env), stdout: io.Discard, stderr: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestUsageErrors holds that a mistake is answered by one line, which names it and says
// what would be right, and by exit code 2.
func TestUsageErrors(t *testing.T) {
	t.Parallel()
	const (
		wantURL   = `want a URL such as tcp://127.0.0.1:7007, tls://127.0.0.1:7443 or unix:///run/echod.sock`
		wantCount = `want a whole number, 0 or more`
		wantTime  = `want a time such as 500ms, 10s, 1m30s or 0`
		wantAdmin = `want host:port such as 127.0.0.1:7070, or nothing (--admin=) for none`
		wantLevel = `want debug, info, warn or error`
		wantPairs = `want as many, in the same order, or no key if the certificates' files have them`
		noTLS     = `nothing listens with TLS: add --listen tls://127.0.0.1:7443, say`
		seeHelp   = ` (echod --help lists the flags)`
	)
	_, badPort := server.ParseListener("tcp://:99999") // in whatever words
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{name: "unknown flag", args: []string{"--bogus"}, want: `unknown flag --bogus` + seeHelp},
		{name: "misspelt flag", args: []string{"--lisen=x"}, want: `unknown flag --lisen, did you mean "--listen"?` + seeHelp},
		{name: "an argument", args: []string{"7007"}, want: `unexpected argument 7007` + seeHelp},
		{name: "not a URL", args: []string{"--listen=7007"}, want: `--listen: listener "7007": ` + wantURL},
		{name: "not a URL, second", args: []string{"--listen=tcp://:1,:2"}, want: `--listen: listener ":2": ` + wantURL},
		{name: "not a URL, variable", env: map[string]string{"ECHOD_LISTEN": "x"}, want: `--listen: listener "x": ` + wantURL + ` (in $ECHOD_LISTEN)`},
		{name: "no URL", args: []string{"--listen"}, want: `--listen: there's no value: ` + wantURL},
		{name: "empty URL", args: []string{"--listen="}, want: `--listen: listener "": ` + wantURL},
		{name: "unknown network", args: []string{"--listen=udp://:1"}, want: `--listen: listener "udp://:1": unknown network "udp": want tcp, tcp4, tcp6, tls or unix`},
		{name: "bad port", args: []string{"--listen=tcp://:99999"}, want: `--listen: ` + badPort.Error()},
		{name: "listen twice", args: []string{"--listen=tcp://:1", "--listen=tcp://:1"}, want: `--listen: tcp://:1 is there twice: remove one`},
		{name: "listen and admin", args: []string{"--listen=tcp://:1", "--admin=:1"}, want: `--admin: :1 is also in --listen: choose another address for one of them`},
		{name: "bad admin", args: []string{"--admin=7070"}, want: `--admin: "7070": ` + wantAdmin},
		{name: "bad admin port", args: []string{"--admin", "localhost:http"}, want: `--admin: "localhost:http": ` + wantAdmin},
		{name: "forgotten admin", args: []string{"--admin"}, want: `--admin: there's no value: ` + wantAdmin},
		{name: "negative reactors", args: []string{"--reactors", "-1"}, want: `--reactors: "-1": ` + wantCount},
		{name: "reactors in words", env: map[string]string{"ECHOD_REACTORS": "many"}, want: `--reactors: "many": ` + wantCount + ` (in $ECHOD_REACTORS)`},
		{name: "empty variable", env: map[string]string{"ECHOD_REACTORS": ""}, want: `--reactors: "": ` + wantCount + ` (in $ECHOD_REACTORS)`},
		{name: "too many connections", args: []string{"--max-connections=99999999999"}, want: `--max-connections: "99999999999": ` + wantCount},
		{name: "time without a unit", args: []string{"--idle-timeout=10"}, want: `--idle-timeout: "10": ` + wantTime},
		{name: "negative time", args: []string{"--drain-timeout", "-1s"}, want: `--drain-timeout: "-1s": ` + wantTime},
		{name: "level", args: []string{"--log-level=loud"}, want: `--log-level: "loud": ` + wantLevel},
		{name: "neither on nor off", args: []string{"--pprof=maybe"}, want: `--pprof: "maybe": want true or false`},
		{name: "a switch, variable", env: map[string]string{"ECHOD_PPROF": "1"}, want: `--pprof: "1": want true or false (in $ECHOD_PPROF)`},
		{name: "format", env: map[string]string{"ECHOD_LOG_FORMAT": "xml"}, want: `--log-format: "xml": want text or json (in $ECHOD_LOG_FORMAT)`},
		{name: "a version that's gone", args: []string{"--tls-min-version=1.1"}, want: `--tls-min-version: "1.1": want 1.2 or 1.3`},
		{name: "a protocol without a name", args: []string{"--alpn=x,,y"}, want: `--alpn: "x,,y": want protocols of 1 to 255 bytes, such as echo/2,echo/1`},
		{name: "a certificate without a file", args: []string{"--tls-cert"}, want: `--tls-cert: there's no value: want a file, such as cert.pem`},
		{name: "more keys than certificates", args: []string{"--tls-cert=a.pem", "--tls-key=a.key,b.key"}, want: `--tls-key: 2 keys for 1 certificate: ` + wantPairs},
		{name: "a key alone", args: []string{"--tls-key=a.key"}, want: `--tls-key: 1 key for 0 certificates: ` + wantPairs},
		{name: "a certificate for nobody", args: []string{"--listen=tcp://:1", "--tls-cert=a.pem"}, want: `--tls-cert: ` + noTLS},
		{name: "an authority for nobody", args: []string{"--listen=tcp://:1", "--tls-client-ca=a.pem"}, want: `--tls-client-ca: ` + noTLS},
		{name: "a version for nobody", args: []string{"--listen=tcp://:1", "--tls-min-version=1.3"}, want: `--tls-min-version: ` + noTLS},
		{name: "a protocol for nobody", args: []string{"--listen=tcp://:1", "--alpn=x"}, want: `--alpn: ` + noTLS},
		{name: "a line break in it", args: []string{"--bogus\nflag"}, want: `unknown flag --bogus; flag` + seeHelp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := launch(t, tt.env, tt.args...)
			r.mustEnd(t, exitUsage)
			if got, want := r.log.String(), "echod: "+tt.want+"\n"; got != want {
				t.Errorf("got  %swant %s", got, want)
			}
		})
	}
}
