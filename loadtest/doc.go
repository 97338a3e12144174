// Package loadtest makes load on a connection server, and measures it: how long replies
// take, how much gets through, and whether every byte is right. It speaks raw TCP, TLS and
// Unix-domain sockets.
//
// Purpose: whoever builds such a server needs to know how it behaves with many thousand
// connections before its users do. cmd/loadtest is this package with flags; a test may call
// [Run] itself, with a [Codec] of its own.
//
//	target, err := loadtest.ParseTarget("tcp://127.0.0.1:7007")
//	...
//	r, err := loadtest.Run(ctx, loadtest.Load{Targets: []loadtest.Target{target}, Rate: 1000})
//	...
//	p99 := r.Total().Histograms[result.RoundTrip].Percentile(99)
//
// # Closed and open loops
//
// In a closed loop a message waits for a reply, so a slow server is asked less: that finds
// its capacity. In an open loop messages have planned times whatever the server does, as
// with independent clients: that finds what these would see. A latency counts from the
// planned time (corrected), and, beside it, from when the message was sent (uncorrected); a
// server that stands still shows in the first, and hides in the second. If a message left late
// because this process woke up late, that's in neither: it's the client's lag, which is
// measured apart, and marks the result if it's large.
//
// # Verification
//
// Each message's bytes follow from the numbers of its connection and of itself, so each
// reply is compared in full, and a wrong one is named: lost, duplicated, reordered,
// corrupted, cross-talk, or unsolicited, with the connection, the message and the byte. A
// connection with a wrong reply sends nothing more; it's read to its end for the name, and
// another one takes its place. At every end our direction is ended first, so that what is
// missing or too much shows.
//
// # Threads
//
// A connection is one goroutine, which sends and receives in turn, and two if messages may
// be sent while replies are due (open loops with several in flight, and what doesn't
// fit into socket buffers). What they count goes into as many shards as can run at a time.
// One goroutine, Run's, takes the intervals. All have ended when Run returns.
//
// # Ownership
//
// A Load is only read. Its Codec is called from all connections at once. The result is the
// caller's.
//
// # What it costs
//
// A connection holds a small buffer, and one to build its requests in only while it does.
// A Run judges itself too: being late, processors that are busy or that others have, and
// failures for want of ports or descriptors mark the result ([result.Saturation]), as it then
// says nothing about the server.
//
// # Non-goals
//
// Nothing of the framework is in here: no bug can hide by being on both ends, and other
// servers are measured alike. No HTTP, no scripting language: a protocol is a [Codec].
//
// Reading order: load.go, run.go, session.go, verdict.go, codec.go, payload.go; then dial.go,
// schedule.go, recorder.go, saturation.go, hostile.go.
package loadtest
