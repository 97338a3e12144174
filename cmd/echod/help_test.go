package main

import (
	"bytes"
	"cmp"
	"context"
	"os/exec"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestHelpIsComplete holds the text of --help to the flags as they are.
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	parser, err := newParser(new(config), process{lookupEnv: lookupIn(nil)})
	if err != nil {
		t.Fatal(err)
	}
	flags := parser.Model.Flags
	if want := reflect.TypeFor[config]().NumField(); len(flags) != want {
		t.Fatalf("%d flags for %d fields", len(flags), want)
	}
	words := strings.Join(strings.Fields(help), " ")
	for _, flag := range flags {
		if !strings.Contains(help, "--"+flag.Name+" ") {
			t.Errorf("--%s isn't in the help", flag.Name)
		}
		if name := envName(flag.Value); name != "" {
			if brackets := "[" + cmp.Or(flag.Default, "none") + ", $" + name + "]"; !strings.Contains(words, brackets) {
				t.Errorf("--%s: %s isn't in the help", flag.Name, brackets)
			}
		}
	}
	for line := range strings.Lines(help) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("wider than a terminal: %s", line)
		}
	}
}

// TestQuestions holds that --help and --version answer on standard output, whatever
// else is wrong, and start nothing.
func TestQuestions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string // the beginning
	}{
		{name: "help", args: []string{"--help"}, want: help},
		{name: "short", args: []string{"-h"}, want: help},
		{name: "help among others", args: []string{"--reactors=1", "--help", "--admin="}, want: help},
		{name: "help over a bad variable", env: map[string]string{"ECHOD_REACTORS": "x"}, args: []string{"--help"}, want: help},
		{name: "version", args: []string{"--version"}, want: "echod "},
		{name: "version over a bad variable", env: map[string]string{"ECHOD_LISTEN": "x"}, args: []string{"--version"}, want: "echod "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(context.Background(), process{args: tt.args, lookupEnv: lookupIn(tt.env), stdout: &stdout, stderr: &stderr})
			if code != exitClean || stderr.Len() > 0 || !strings.HasPrefix(stdout.String(), tt.want) {
				t.Errorf("exit code %d\nstdout: %s\nstderr: %s", code, &stdout, &stderr)
			}
		})
	}
}

// operations, A daemon: --print-config, whose output is an environment that gives the same
// configuration again.
func TestPrintConfig(t *testing.T) {
	t.Parallel()
	const want = `ECHOD_LISTEN=tcp://:1,unix:///run/e.sock
ECHOD_ADMIN=
ECHOD_PPROF=true
ECHOD_TLS_CERT=
ECHOD_TLS_KEY=
ECHOD_TLS_CLIENT_CA=
ECHOD_TLS_MIN_VERSION=1.2
ECHOD_ALPN=
ECHOD_REACTORS=3
ECHOD_MAX_CONNECTIONS=0
ECHOD_MAX_PER_ADDRESS=0
ECHOD_ACCEPT_RATE=0
ECHOD_IDLE_TIMEOUT=1m30s
ECHOD_DRAIN_TIMEOUT=10s
ECHOD_LOG_LEVEL=warn
ECHOD_LOG_FORMAT=json
`
	printed := func(env map[string]string, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		args = append(args, "--print-config")
		code := run(context.Background(), process{args: args, lookupEnv: lookupIn(env), stdout: &stdout, stderr: &stderr})
		if code != exitClean || stderr.Len() > 0 {
			t.Errorf("exit code %d: %s", code, &stderr)
		}
		return stdout.String()
	}
	env := map[string]string{"ECHOD_IDLE_TIMEOUT": "90s", "ECHOD_REACTORS": "2", "ECHOD_LOG_LEVEL": "warn"}
	got := printed(env, "--listen=tcp://:1", "--listen=unix:///run/e.sock", "--admin=", "--pprof", "--reactors=3", "--log-format=json")
	if got != want {
		t.Errorf("got\n%s", got)
	}
	again := map[string]string{}
	for line := range strings.Lines(got) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		again[name] = value
	}
	if got := printed(again); got != want {
		t.Errorf("of its own output it makes\n%s", got)
	}
}

// operations, A daemon: --check-config binds nothing, and answers by its exit code.
func TestCheckConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"good", nil, exitClean, "the configuration is good\n", ""},
		{"a bad value", []string{"--reactors=x"}, exitUsage, "", "echod: --reactors: \"x\": want a whole number, 0 or more\n"},
		{"bad as a whole", []string{"--listen=tcp://:1", "--admin=:1"}, exitUsage, "", "echod: --admin: :1 is also in --listen: choose another address for one of them\n"},
		{"bad for the server", []string{"--listen=unix:///" + strings.Repeat("x", 200)}, exitUsage, "", "echod: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(context.Background(), process{
				args: append(tt.args, "--check-config"), lookupEnv: lookupIn(nil), stdout: &stdout, stderr: &stderr,
			})
			if code != tt.code || stdout.String() != tt.stdout || !strings.HasPrefix(stderr.String(), tt.stderr) || stderr.Len() > 0 != (tt.stderr != "") {
				t.Errorf("exit code %d\nstdout: %s\nstderr: %s", code, &stdout, &stderr)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "(devel)"},
		{&debug.BuildInfo{}, "(devel)"},
		{&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
	}
	for _, tt := range tests {
		if got := version(tt.info, tt.info != nil); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "echod (devel) go") {
		t.Errorf("%q, %v", out, err)
	}
}
