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
// OnOutgoingConnectionFailed, if AsyncConnect began it, and OnSocketReleased; the former
// comes behind an OnPreOutgoingConnect even if there was nothing to connect to.
//
// # Limits
//
// At Config.MaxConnections and Listener.MaxConnections accepting pauses, and whoever comes
// waits in the kernel's queue. Above Listener.MaxPerAddress and Listener.AcceptRate
// connections are reset, and counted in ListenerStats.Rejected; no callback hears of them.
// All hold together. Connections of the server's own making take places of the server's,
// but aren't held to any limit.
//
// # The end
//
// Shutdown drains in phases, which Stats.Drain shows: grace, in which connections are served
// on and quiet ones are shut down; evicting, in which the rest are, a few at a time;
// aborting, when the time is over.
//
// # Non-goals
//
// No protocol, no routing, no HTTP. Blocking handlers belong on goroutines of their own.
//
// Reading order: server.go, callback.go, endpoint.go, places.go, rejection.go, secure.go,
// handshakes.go, outgoing.go, drain.go.
package server
