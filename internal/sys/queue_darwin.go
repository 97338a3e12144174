package sys

import "golang.org/x/sys/unix"

// AcceptQueue implements Kernel: macOS doesn't tell.
func (*OS) AcceptQueue(int) (length, limit int, errno Errno) { return 0, 0, unix.ENOTSUP }
