// Package server is the connection manager: it listens, accepts within limits, calls
// back, and ends well.
//
// # Use
//
// Embed [BaseCallback] in a type of your own, implement the callbacks you need, and give
// it to [New]. OnConnectionEstablished issues the first read or write; OnReadCompleted
// the next. That's already bounded in memory, drained at Shutdown and safe from any
// goroutine.
//
// # Threads
//
// A connection's callbacks run on its event loop, one at a time; those of connections
// on other loops at the same time. They must not block: a callback that takes long is
// reported with its stack. The callbacks of the server as a whole (AcceptCallback,
// LifecycleCallback) come one at a time from a goroutine of their own. Server's methods
// may be called from any goroutine; the ones that wait return conn.ErrOnLoop inside a
// callback.
//
// # Order
//
// Per connection: OnSocketCreated, OnPreOutgoingConnect for one of our own making (both
// again for each address tried), OnConnectionEstablished, then reads, writes, flow and
// OnConnectionClientClose as they come, then the failures of what was pending,
// OnConnectionReset if the peer or the network ended it, OnConnectionClosure,
// OnConnectionClosed, OnSocketReleased. One that fails before it's established gets
// OnOutgoingConnectionFailed, if AsyncConnect began it, and OnSocketReleased.
//
// # Non-goals
//
// No protocol, no routing, no HTTP. Blocking handlers belong on goroutines of their own.
//
// Reading order: server.go, callback.go, endpoint.go, outgoing.go, drain.go.
package server
