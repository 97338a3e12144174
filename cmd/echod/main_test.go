package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if binaryDir != "" {
			_ = os.RemoveAll(binaryDir)
		}
		os.Exit(code)
	}))
}

var binaryDir string // of binary, once it's built

// binary builds the daemon, the first time, and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "echod")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	// One test runs it as a user who isn't this one.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "echod")
	args := []string{"build", "-buildvcs=false", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	build.Stderr = os.Stderr
	return path, build.Run()
})

// requireNetcat returns the path of the netcat that knows -N; there are others.
func requireNetcat(t *testing.T) string {
	t.Helper()
	path := testenv.Tool(t, "nc")
	help, _ := exec.Command(path, "-h").CombinedOutput()
	if !strings.Contains(string(help), "-N") {
		testenv.Missing(t, "OpenBSD's netcat")
	}
	return path
}
