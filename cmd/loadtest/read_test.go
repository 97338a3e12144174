package main

import (
	"os"
	"strings"
	"testing"
)

// Whatever is given to the commands in place of a result is refused in one line, with the
// file's name and what's wrong with it.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile(constant(t, 10, nil))
	if err != nil {
		t.Fatal(err)
	}
	without := func(field string) string { return strings.Replace(string(whole), `"`+field+`"`, `"x"`, 1) }
	tests := []struct{ name, text, want string }{
		{"empty", "", "it's empty"},
		{"blank", " \n", "it's empty"},
		{"only a version", `{"version":1}`, "it has no started, ended, targets, load, clients, intervals"},
		{"another program's", `{"requests":{"average":3}}`, "it has no version, started,"},
		{"a list", `[1,2]`, "[ is where { should be"},
		{"a page", "<!doctype html>", "no JSON: invalid character '<'"},
		{"a later version", `{"version":2,"runs":[]}`, "unknown version 2; this program reads up to 1: use a newer one"},
		{"no version", `{"version":0}`, "0 is no version"},
		{"a word", `{"version":"1"}`, `"1" is no version`},
		{"cut off in the head", string(whole[:60]), "it's cut off"},
		{"cut off in the intervals", string(whole[:len(whole)*2/3]), "it's cut off"},
		{"cut off before its end", string(whole[:len(whole)-3]), "it's cut off"},
		{"two", string(whole) + string(whole), "there's more behind its end"},
		{"without its load", without("load"), "it has no load"},
		{"without its intervals", without("intervals"), "it has no intervals"},
		{"without its mode", without("mode"), `its load's mode is ""`},
		{"without its length", without("interval_ns"), "its load has no interval_ns"},
		{"without a phase", without("phase"), `interval 0: there's no phase ""`},
		{"a text for a number", strings.Replace(string(whole), `"sent":10`, `"sent":"10"`, 1), "cannot unmarshal string"},
		{"backwards", strings.Replace(string(whole), `"length_ns":1`, `"length_ns":-1`, 1), "interval 0: it's -1s long after 0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := temporary(t, "part.json")
			if err := os.WriteFile(name, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"merge", name}, {"report", name, "-o", name + ".html"}, {"compare", name, name}} {
				r := invoke(t, args...)
				r.must(t, exitFailure, "loadtest: "+name+": ", tt.want)
				if r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
					t.Errorf("%s: more than a line: %s%s", args[0], r.stdout, r.stderr)
				}
			}
		})
	}
	folder := t.TempDir()
	if r := invoke(t, "merge", folder); r.code != exitFailure || r.stderr != "loadtest: read "+folder+": is a directory\n" {
		t.Errorf("a folder: %d, %s", r.code, r.stderr)
	}
}
