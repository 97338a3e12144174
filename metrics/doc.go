// Package metrics shows servers to those who operate them: figures for Prometheus, and
// probes for whatever starts, stops and routes to the process.
//
// # Use
//
//	watched, err := metrics.NewCollector(srv)
//	...
//	http.Handle("/", metrics.Handler(metrics.Options{Collector: watched}))
//
// A program with a registry of its own registers the [Collector] there and leaves
// [Handler] alone. Nothing is registered anywhere else, and importing this package does
// nothing.
//
// # The figures
//
// All names begin with sluice_. Whatever has the label listener, which is the configured
// name and never a peer, has the label server too; event loops and buffers may belong to
// several servers and have neither. A Mux or an Allocator that servers share is counted
// once. The loops of several Muxes are numbered through, in the label reactor and in
// /healthz alike; buffers are summed over the Allocators. reactor is the only label
// whose values grow with the machine, and no label's values come from the network.
//
// Every series of a server is there from its Start on, at 0. (A TCP listener's accept
// queue is there while the listener accepts, on Linux and FreeBSD.) The figures are those
// of server.Stats at the time of the scrape: exact once all is quiet, but for the lengths
// of callbacks and turns and the busy time of loops, which are samples. A float64 holds
// numbers up to 2⁵³ exactly, which is 9 PB. docs/operations.md says what each means.
//
// # Threads
//
// Everything here may be called from any goroutine. A scrape reads atomic counters and
// waits for no event loop, so it answers when a loop is stuck. /healthz posts to each
// loop and waits for the answers, for Options.HealthTimeout at most; those who ask while
// a question is unanswered share it.
//
// # Ownership
//
// A Collector holds on to its servers until they're removed; it neither starts nor ends
// them.
//
// # Non-goals
//
// No HTTP listener (its address, its time-outs and its end are the program's), no push
// gateway, no figures per connection.
//
// Reading order: collector.go, series.go, loops.go, handler.go, health.go, profiles.go.
package metrics
