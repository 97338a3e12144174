package layers

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link       = regexp.MustCompile(`\[([^\]\n]+)\]\(([^)\s]+)\)`)
	identifier = regexp.MustCompile("^`([A-Za-z_][A-Za-z0-9_]*)`$")
)

// Documentation that points at code must point at code that's there: every relative
// link in a Markdown file leads to a file, and one whose text is a name in backquotes
// leads to a Go file (or folder) that declares the name.
func TestLinksInDocs(t *testing.T) {
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".md"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if problem := checkLink(filepath.Dir(path), m[1], m[2]); problem != "" {
				t.Errorf("%s: [%s](%s): %s", path, m[1], m[2], problem)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkLink(dir, text, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "#") {
		return ""
	}
	target, _, _ = strings.Cut(target, "#")
	target = filepath.Join(dir, filepath.FromSlash(target))
	if _, err := os.Stat(target); err != nil {
		return "no such file"
	}
	name := identifier.FindStringSubmatch(text)
	if name == nil || !strings.HasSuffix(target, ".go") {
		return ""
	}
	source, err := os.ReadFile(target)
	if err != nil {
		return err.Error()
	}
	declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |var |const |\t)` + name[1] + `\b`)
	if !declared.Match(source) {
		return "the file doesn't declare it"
	}
	return ""
}

// The check has teeth.
func TestLinkCheckFindsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("package a\n\nfunc (c *T) Here() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, target string
		ok           bool
	}{
		{"`Here`", "a.go", true},
		{"`Gone`", "a.go", false},
		{"words", "a.go", true},
		{"words", "b.go", false},
		{"words", "https://example.com", true},
	} {
		if problem := checkLink(dir, c.text, c.target); (problem == "") != c.ok {
			t.Errorf("[%s](%s): %q", c.text, c.target, problem)
		}
	}
}
