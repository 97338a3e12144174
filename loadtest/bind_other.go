//go:build !linux

package loadtest

import "syscall"

// lateBind is Linux's.
func lateBind(_, _ string, _ syscall.RawConn) error { return nil }
