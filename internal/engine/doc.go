// Package engine is the connection itself: a stream socket on a reactor, with its
// state, its reads, its output, its references and its end. Package conn gives it two
// faces; package server and the ISocket layer are its [Consumer]s.
//
// # The way of a byte
//
// The reactor calls [Conn.OnEvent]; the events become flags; dispatch asks nextLocked
// what to do, again and again, and does it: serve the oldest read, call the consumer,
// flush what the consumer wrote, look at how it may end. One dispatch, one connection,
// downward and back once.
//
// # One lock
//
// Conn.mu guards everything that isn't immutable, atomic or the loop's own. It's never
// held while consumer code runs, and never long: at most one system call of 256 KiB.
//
//   - Only the loop calls the consumer, closes the descriptor and dispatches. Others
//     change state under the lock and, if that made work, kick: they post the
//     connection to its loop.
//   - nextLocked is the one predicate. It tells a dispatch what to do next and when to
//     end, and an outsider whether to kick. A dispatch ends in the critical section in
//     which nextLocked said that there's nothing left, so no change falls between.
//   - dispatching: the loop is in this connection; whoever changes state now need not
//     kick, for the loop will ask nextLocked again.
//   - kicked: a kick is posted and hasn't run; only the kick clears it.
//   - The loop doesn't wait for a holder of the lock: it leaves the events in pending
//     and goes on. Whoever unlocks looks at pending and kicks. A kick itself locks.
//   - Two connections' locks are never held together.
//
// # Readiness
//
// Registered once, edge-triggered. readable and writable are set by events and cleared
// by EAGAIN. Events are hints: only SO_ERROR, an errno or a read of 0 ends a stream.
//
// # Lifetime
//
// A Conn is open while its descriptor is; it's released when, after that, no user
// reference is left. With no user reference and nothing pending an open one closes by
// itself, gracefully. Conns are never reused.
//
// # Reading order
//
// consumer.go, conn.go, state.go, reason.go, next.go, dispatch.go, open.go, read.go, recv.go,
// write.go, close.go, flow.go, deadline.go, oob.go, session.go, upgrade.go, accept.go,
// connect.go; then what stands by itself: mux.go, shard.go, timer.go, muxtimer.go, slots.go,
// rawconn.go, registry.go, share.go, gauges.go, logger.go, describe.go.
package engine
