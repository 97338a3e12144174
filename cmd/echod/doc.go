// Echod is the echo daemon: it sends back every byte to whoever sent it, over TCP, TLS
// and Unix-domain sockets. It's the framework put together as a process to be operated:
// flags and environment, certificates, log, signals, drain, and an HTTP listener for probes
// and metrics.
//
// # Threads
//
// main's goroutine parses, starts, waits for signals and tears down. The echo runs on
// the event loops; the admin listener on net/http's goroutines, which only ask. While draining,
// Shutdown has a goroutine of its own, so that a second signal is heard.
//
// # Ownership
//
// A daemon owns its event loops, its server and its admin listener. They're made in the
// order admin socket, listeners, accepting; if a step fails what was made before is
// undone. They end in the order server, admin, loops, so that the probes tell the truth
// to the last.
//
// # Non-goals
//
// Forking, PID files, log files and changing users: the service manager does these.
//
// Reading order: main.go, config.go, daemon.go, tls.go, admin.go; what admin
// serves is in package metrics.
package main
