// Package sys makes the system calls on sockets, and nothing else does.
//
// [Kernel] is the contract: every call that Sluice makes on a socket, with its
// non-blocking semantics spelled out. [OS] is the real thing; a simulated kernel
// implements the same interface in tests.
//
// # Rules
//
// The calls that move bytes (Recv, Peek, Send, Sendv and their out-of-band forms)
// never block and never raise SIGPIPE: they pass MSG_DONTWAIT and MSG_NOSIGNAL
// themselves rather than rely on O_NONBLOCK, which belongs to the open file
// description and therefore to everybody who holds a duplicate of the descriptor.
// They move at most [MaxIO] bytes a call. On Linux they skip the Go scheduler's
// bookkeeping (RawSyscall, rawIO), because a call that can't block needs no second thread
// to stand in; the length bound keeps that true. So do the other calls that each
// connection needs: Accept, as listening sockets are non-blocking, SocketError,
// SetLinger, and Close, which blocks only on a connected socket with SO_LINGER set:
// whoever closes one sets that first.
//
// The race detector doesn't see memory that a raw call touches, so race builds
// announce the ranges by hand (race.go).
//
// A result is a count and an [Errno]; errno 0 is success. EINTR is retried here and
// never seen by a caller.
//
// # Threads
//
// OS has no state. Any goroutine may call any method; who may use a descriptor when
// is the caller's business (internal/engine serialises it by the connection's lock).
//
// # Non-goals
//
// No policy: no retries other than EINTR, no logging, no limits.
//
// Reading order: kernel.go, io_linux.go, listen.go, addr.go.
package sys
