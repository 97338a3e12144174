//go:build linux

package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

// Nothing is built or begun for what can't be measured.
func TestRunRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"extra":       `unexpected argument "extra"`,
		"-reps 0":     "at least 1",
		"-conns 0":    "at least 1",
		"-duration 0": "at least 1",
		"-size -1":    "at least 8",
	} {
		err := run(t.Context(), append([]string{"-dir", t.TempDir()}, strings.Fields(args)...), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	if err := run(t.Context(), []string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
