// Package echo is the load: a closed-loop echo client that believes nothing.
//
// A Client owns a number of TCP connections, each with one request in flight.
// Every connection has a pattern of its own with a sequence number in each 64
// bytes, and every byte of every reply is compared with what was asked. A wrong
// byte, a byte too many, an early end or a reply that doesn't come is an error
// that ends the run: a server that loses data has no result.
//
// Threading: a Client belongs to one goroutine. It is one edge-triggered epoll
// loop on raw system calls and allocates nothing while it runs, so that one core
// of client can saturate one core of server.
//
// The same Client publishes to a fan-out server, and a Churn makes connections that live
// for one echo. Both verify as much.
//
// Latencies are those of a closed loop: under full load they are the number of connections
// over the throughput, and what's above that. Nothing is known of a server that isn't
// saturated, but for the latency of one connection.
//
// Non-goals: open-loop load, IPv6, other systems than Linux.
//
// Reading order: client.go, message.go, socket.go; publish.go, churn.go.
package echo
