package main

import (
	"bytes"
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
	for _, flag := range flags {
		if !strings.Contains(help, "--"+flag.Name+" ") {
			t.Errorf("--%s isn't in the help", flag.Name)
		}
		if name := envName(flag.Value); name != "" {
			if brackets := "[" + flag.Default + ", $" + name + "]\n"; !strings.Contains(help, brackets) {
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
