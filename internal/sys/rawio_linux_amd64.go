package sys

import "unsafe"

// rawIO is recvfrom or sendto without an address: the count, or the negative errno. It's
// syscall.RawSyscall6 without the calls in between: the way back from the kernel is one that
// the processor can't predict, for it forgets on purpose where its calls return to.
//
//go:noescape
func rawIO(call uintptr, fd int, p unsafe.Pointer, n, flags int) int
