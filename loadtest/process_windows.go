package loadtest

import (
	"syscall"
	"time"
)

// The ends that the system can have for a connection, in Winsock's numbers.
const (
	errRefused     = syscall.Errno(10061) // WSAECONNREFUSED
	errReset       = syscall.WSAECONNRESET
	errPipe        = syscall.WSAECONNABORTED
	errNoPort      = syscall.Errno(10049) // WSAEADDRNOTAVAIL
	errPortTaken   = syscall.Errno(10048) // WSAEADDRINUSE
	errDescriptors = syscall.Errno(10024) // WSAEMFILE
	errFiles       = syscall.Errno(10055) // WSAENOBUFS
)

// processTime is the processor time that this process has had.
func processTime() time.Duration {
	process, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0
	}
	var created, ended, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(process, &created, &ended, &kernel, &user) != nil {
		return 0
	}
	return fileTime(kernel) + fileTime(user)
}

// fileTime is a length of time, which Windows has in units of 100 ns.
func fileTime(f syscall.Filetime) time.Duration {
	return time.Duration(int64(f.HighDateTime)<<32|int64(f.LowDateTime)) * 100
}

// descriptorLimit is unknown: handles are limited by memory alone.
func descriptorLimit() int { return 0 }
