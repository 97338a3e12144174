package layers_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestModuleKeepsToTheTable(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	pkgs, err := readSources(root)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(pkgs, func(p source) bool { return p.pkg == "internal/layers" }) {
		t.Fatalf("found %d packages and not this one: nothing was checked", len(pkgs))
	}
	for _, message := range check(pkgs) {
		t.Error(message)
	}
}

// TestTableIsWellFormed holds what the table's comments promise.
func TestTableIsWellFormed(t *testing.T) {
	var above []string
	for _, row := range layers {
		if row.why == "" {
			t.Errorf("%s: a rule without a reason", row.pkg)
		}
		for _, target := range row.may {
			if !slices.Contains(above, target) {
				t.Errorf("%s may import %s, which is in no row above it", row.pkg, target)
			}
		}
		if slices.Contains(above, row.pkg) {
			t.Errorf("%s: a second row", row.pkg)
		}
		above = append(above, row.pkg)
	}
	for _, b := range bans {
		if b.why == "" {
			t.Errorf("%s: a ban without a reason", b.path)
		}
		if b.test == (len(b.only) > 0) {
			t.Errorf("%s: either for test files or for some packages", b.path)
		}
		for _, pattern := range b.only {
			if !slices.ContainsFunc(above, func(pkg string) bool { return matches(pattern, pkg) }) {
				t.Errorf("%s is for %s, which is in no row", b.path, pattern)
			}
		}
	}
}

// TestCheckHasTeeth feeds the check made-up packages: it must name the place,
// both packages and the reason, and must leave legal imports alone.
func TestCheckHasTeeth(t *testing.T) {
	ours := func(pkg string) string { return module + "/" + pkg }
	tests := []struct {
		name string
		pkg  string
		path string
		test bool
		want []string // parts of the only message; none: legal
	}{
		{name: "downward", pkg: "server", path: ours("buffers")},
		{name: "std", pkg: "buffers", path: "sync"},
		{name: "third party without a ban", pkg: "internal/sys", path: "golang.org/x/sys/unix"},
		{name: "below a pattern", pkg: "examples/chat", path: ours("server")},
		{name: "upward from a test", pkg: "buffers", path: ours("server"), test: true},
		{name: "only a common prefix", pkg: "server", path: "github.com/panjf2000/gnetwork"},
		{name: "gnet where it belongs", pkg: "internal/reactor", path: "github.com/panjf2000/gnet/v2/pkg/netpoll"},
		{name: "Prometheus in a command", pkg: "cmd/echod", path: "github.com/prometheus/client_golang/prometheus/promhttp"},
		{name: "goleak in a test", pkg: "conn", path: "go.uber.org/goleak", test: true},

		{name: "upward", pkg: "internal/engine", path: ours("conn"),
			want: []string{"at.go:1", "internal/engine may not import conn\n", "it may import: buffers, internal/lock, internal/sys, internal/reactor\n", "one consumer"}},
		{name: "bottom", pkg: "buffers", path: ours("internal/sys"),
			want: []string{"may not import internal/sys", "nothing of this module", "memory is the bottom"}},
		{name: "itself under another name", pkg: "conn", path: module,
			want: []string{"conn may not import .\n"}},
		{name: "another module below ours", pkg: "server", path: ours("bench/peers"),
			want: []string{"server may not import bench/peers"}},
		{name: "load generator", pkg: "loadtest", path: ours("conn"),
			want: []string{"loadtest may not import conn", "on both ends"}},
		{name: "load generator's command", pkg: "cmd/loadtest", path: ours("buffers"),
			want: []string{"cmd/loadtest may not import buffers", "it may import: loadtest/result, loadtest, loadtest/report, loadtest/compare\n"}},
		{name: "internals in an example", pkg: "examples/chat", path: ours("internal/engine"),
			want: []string{"examples/chat may not import internal/engine", "a user cannot"}},
		{name: "unknown package", pkg: "util", path: "sync",
			want: []string{"util: a package without a rule", "add it to the table", "with a reason"}},
		{name: "gnet", pkg: "server", path: "github.com/panjf2000/gnet/v2",
			want: []string{"server may not import github.com/panjf2000/gnet/v2", "only for: internal/reactor\n", "only the poller"}},
		{name: "gnet in a test", pkg: "conn", path: "github.com/panjf2000/gnet/v2/pkg/socket", test: true,
			want: []string{"conn may not import github.com/panjf2000/gnet/v2/pkg/socket"}},
		{name: "pool", pkg: "internal/engine", path: "github.com/valyala/bytebufferpool",
			want: []string{"internal/engine may not import github.com/valyala/bytebufferpool", "in no budget"}},
		{name: "Prometheus", pkg: "server", path: "github.com/prometheus/client_golang/prometheus",
			want: []string{"server may not import", "only for: metrics, cmd/...\n", "another metrics system"}},
		{name: "flags", pkg: "server", path: "github.com/alecthomas/kong",
			want: []string{"server may not import github.com/alecthomas/kong", "takes a Config"}},
		{name: "goleak", pkg: "server", path: "go.uber.org/goleak",
			want: []string{"only for: test files\n", "tests alone"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := check([]source{{pkg: tt.pkg, imports: []imported{{path: tt.path, at: "at.go:1", test: tt.test}}}})
			if len(tt.want) == 0 {
				if len(got) != 0 {
					t.Fatalf("legal, yet: %q", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("got %d messages, want 1: %q", len(got), got)
			}
			for _, part := range tt.want {
				if !strings.Contains(got[0], part) {
					t.Errorf("%q does not say %q", got[0], part)
				}
			}
		})
	}
}

// TestReadSources proves that nothing can hide from the check: not in the file
// of another OS, not behind a tag, not in a test.
func TestReadSources(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                "module example.com/m\n",
		"a/a.go":                "package a\n\nimport \"sync\"\n",
		"a/a_plan9.go":          "package a\n\nimport (\n\t\"fmt\"\n\tx \"os\"\n)\n",
		"a/a_test.go":           "package a_test\n\nimport \"testing\"\n",
		"a/gen.go":              "//go:build ignore\n\npackage main\n\nimport \"log\"\n",
		"a/b/empty.go":          "package b\n",
		"a/testdata/x.go":       "package x\n\nimport \"net\"\n",
		"_old/x.go":             "package x\n\nimport \"net\"\n",
		".tools/x.go":           "package x\n\nimport \"net\"\n",
		"a/_x.go":               "not Go",
		"other/go.mod":          "module example.com/other\n",
		"other/deeper/other.go": "package deeper\n\nimport \"net\"\n",
		"docs/readme.md":        "no package here",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []source{
		{pkg: "a", imports: []imported{
			{path: "sync", at: "a/a.go:3"},
			{path: "fmt", at: "a/a_plan9.go:4"},
			{path: "os", at: "a/a_plan9.go:5"},
			{path: "testing", at: "a/a_test.go:3", test: true},
			{path: "log", at: "a/gen.go:5"},
		}},
		{pkg: "a/b"},
	}
	got, err := readSources(root)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
