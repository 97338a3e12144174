//go:build linux && !amd64

package sys

import (
	"syscall"
	"unsafe"
)

// rawIO is recvfrom or sendto without an address: the count, or the negative errno.
func rawIO(call uintptr, fd int, p unsafe.Pointer, n, flags int) int {
	r, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(p), uintptr(n), uintptr(flags), 0, 0)
	if errno != 0 {
		return -int(errno)
	}
	return int(r)
}
