// Package process runs a server as a child process on a CPU of its own and
// reads what the kernel says about it: CPU time, idle time of that CPU, resident
// memory.
//
// A Process is ended through its own handle only and is always reaped: by Stop,
// by the end of the context it was started with, or by the kernel when the
// parent dies. Its methods may be called from any goroutine.
//
// The figures are for one process: a server that forks isn't measured in full.
//
// Non-goals: other systems than Linux.
//
// Reading order: process.go, usage.go, affinity.go.
package process
