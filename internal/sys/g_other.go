//go:build !amd64 && !arm64

package sys

import (
	"bytes"
	"runtime"
	"strconv"
)

// G identifies the calling goroutine by its number, which is slow: a port to
// another architecture wants three lines of assembly (g_amd64.s).
func G() uintptr {
	var buf [64]byte
	fields := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(fields) < 2 {
		return 0
	}
	n, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return uintptr(n)
}
