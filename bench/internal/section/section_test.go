package section_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-net/sluice/bench/internal/section"
)

func TestReplace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	const page = "before\n<!-- begin x -->\nold\n<!-- end x -->\nbetween\n<!-- begin y -->\n<!-- end y -->\nafter\n"
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again, it changes nothing
		if err := section.Replace(file, "x", "new"); err != nil {
			t.Fatal(err)
		}
	}
	if err := section.Replace(file, "y", "y"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = "before\n<!-- begin x -->\n\nnew\n<!-- end x -->\nbetween\n<!-- begin y -->\n\ny\n<!-- end y -->\nafter\n"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := section.Replace(file, "z", ""); err == nil {
		t.Error("no section z, and no error")
	}
	if err := section.Replace(file+".missing", "x", ""); err == nil {
		t.Error("no file, and no error")
	}
}
