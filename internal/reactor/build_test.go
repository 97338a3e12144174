package reactor_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/internal/testenv"
)

// peers, gnet's pkg/netpoll: its signatures change under the build tag poll_opt, so the
// build stops with a message that names it.
func TestBuildTagIsRefused(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), testenv.Tool(t, "go"), "build", "-tags", "poll_opt", "-o", filepath.Join(t.TempDir(), "out"), ".").CombinedOutput()
	if err == nil {
		t.Error("it built")
	}
	if !strings.Contains(string(out), "poll_opt_is_not_supported") {
		t.Errorf("the message doesn't name the tag:\n%s", out)
	}
}
