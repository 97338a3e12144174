//go:build unix

package loadtest

import (
	"syscall"
	"time"
)

// The ends that the system can have for a connection.
const (
	errRefused     = syscall.ECONNREFUSED
	errReset       = syscall.ECONNRESET
	errPipe        = syscall.EPIPE
	errNoPort      = syscall.EADDRNOTAVAIL
	errPortTaken   = syscall.EADDRINUSE
	errDescriptors = syscall.EMFILE
	errFiles       = syscall.ENFILE
)

// processTime is the processor time that this process has had.
func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// descriptorLimit is how many descriptors this process may have, or 0.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}
