// Package reactor runs the event loops: it waits for readiness, finds whom it
// concerns, and calls them on the loop's goroutine.
//
// # Threads
//
// A [Group] has a number of [Reactor]s, each with one goroutine. What a [Handler] or
// [Task] is called for happens there, one call at a time; so do Register, Deregister,
// Arm and Disarm, which only the loop may call. Post, Now and the counters are for
// any goroutine.
//
// # Ways onto a loop
//
//   - An event of a registered descriptor: Handler.OnEvent. Registration is
//     edge-triggered, for everything, once; it's never modified. Events are hints: a
//     handler must cope with one that is late, repeated, or meant for an earlier
//     owner of the descriptor number.
//   - A posted [Task]: intrusive, so that posting allocates nothing. Tasks run in
//     order, in snapshots: what is posted while a snapshot runs waits for the next
//     turn of the poller, so a task that posts itself for ever starves nobody.
//   - A [Timer]: kept in a hierarchical wheel that sleeps until its next slot is due.
//     A connection without a timer costs the wheel nothing.
//
// A handler that has more to do than its budget posts itself; the descriptors that
// are ready go first.
//
// # Stopping
//
// Refusing posts and the last snapshot happen in one critical section, which also
// guards the wake descriptor: nobody writes to it after it has been closed, and
// nothing that was accepted is forgotten. A refused post is the poster's to clean up.
//
// # Panics
//
// A panic in a handler or task is given to that handler or task, and the loop goes on.
// runtime.Goexit would end the loop without a trace, so it's turned into a panic that
// nobody recovers.
//
// # Non-goals
//
// No knowledge of connections, bytes or protocols; the descriptor table holds small
// interfaces.
//
// The poller is gnet's (epoll, kqueue), behind [Poller]; ADR 1 says why its task queue
// isn't. Only this package imports gnet.
//
// Reading order: events.go, reactor.go, post.go, wheel.go, group.go, turns.go, histogram.go,
// watchdog.go.
package reactor
