package sys

import "unsafe"

// rawIO is recvfrom or sendto without an address: the count, or the negative errno. It's
// syscall.RawSyscall6 without the calls in between, whose returns, right behind the kernel's,
// are where profiles of an echo had many of their samples.
//
//go:noescape
func rawIO(call uintptr, fd int, p unsafe.Pointer, n, flags int) int
