package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
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

// binary builds the program, the first time, and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "loadtest")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	path := filepath.Join(dir, "loadtest")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
	build.Stderr = os.Stderr
	return path, build.Run()
})
