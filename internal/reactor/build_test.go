package reactor_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// peers, gnet's pkg/netpoll: its signatures change under the build tag poll_opt, so the
// build stops with a message that names it.
func TestBuildTagIsRefused(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		if os.Getenv("SLUICE_CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	out, err := exec.CommandContext(t.Context(), tool, "build", "-tags", "poll_opt", "-o", filepath.Join(t.TempDir(), "out"), ".").CombinedOutput()
	if err == nil {
		t.Error("it built")
	}
	if !strings.Contains(string(out), "poll_opt_is_not_supported") {
		t.Errorf("the message doesn't name the tag:\n%s", out)
	}
}
