// Package conn is the connection as its users see it, in two views of one engine.
//
// [Stream] is a server's view of a stream connection: asynchronous reads and writes
// with pooled buffers, flow control, references, and a cause for every end. Its
// callbacks belong to package server.
//
// [Socket] is the seeds' ISocket: a [Provider] makes it, Connect or Bind decide what it is,
// Recv fills the caller's memory, and its [User] is called back.
//
// [Mux] is the group of event loops that both live on (the seeds' IIoMux).
//
// # Threads
//
// Every method of Stream and Socket may be called from any goroutine, inside any callback, and
// after the connection's end, when it returns [ErrClosed] (addresses, ID, Cause, AddRef
// and Release go on working). A connection's callbacks run on its event loop, one at a
// time; connections on different loops run in parallel. A completion never comes on the
// caller's stack, and never before the current callback has returned; to a caller on
// another goroutine it may come before the call has returned.
//
// # Lifetime
//
// A stream that nobody references and that has nothing pending closes by itself,
// gracefully: issue a read or a write before a callback returns, or hold a reference
// (AddRef). Streams are never reused, so a stale pointer never reaches another
// connection. A socket ends the same way with its last reference; whoever made it, or was
// given it by SocketAcceptComplete, has one.
//
// # Non-goals
//
// Blocking calls, and reading ahead of what was asked for.
//
// Reading order: stream.go, errors.go, slots.go, mux.go; then user.go, provider.go,
// socket.go, listening.go, view.go.
package conn
