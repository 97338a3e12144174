// Package sim is a simulated machine for the framework to run on: a kernel with sockets,
// an epoll, time, and one goroutine at a time.
//
// Purpose: what goes wrong in a server goes wrong in the order of events, and a real
// machine shows few of those orders and none of them twice. Here everything that could be
// otherwise (which goroutine runs, how much a send takes, which error comes, when a
// segment or an alarm arrives) is chosen by a number, the seed; a seed that fails fails
// again, with a trace of every call.
//
// How it works: the program under test is the framework's own code, from reactor to
// server, unchanged. It comes here through its seams: sys.Kernel, reactor.Poller,
// reactor.Clock, reactor.Config.Spawn and, for goroutines that wait for one another, the
// lock of internal/lock. At each call of a seam, and before each lock, the caller may have
// to stop and let another go on. A world runs in a bubble of testing/synctest, so that
// goroutines that stop by other means (channels, timers) are noticed too; such a one, woken
// by another, stops at its next seam until its turn comes.
//
// Invariants: only the goroutine whose turn it is uses the world, and it was spawned by it;
// a use of a descriptor that isn't open, a close of one that's registered, and the like,
// are failures of the world and not errors for the program.
//
// How to change it: what a kernel may do belongs into kernel.go and stream.go, with the
// reason why it may; what a program must hold, into life_test.go. A seed that failed goes
// to testdata/seeds.txt. Adding a choice changes what all seeds mean.
//
// Non-goals: speed of the network, congestion, IPv4 and IPv6. Data races: one goroutine
// at a time has none; the tests on real sockets look for them.
//
// Reading order: world.go (whose turn it is), stream.go (one end of a connection),
// kernel.go, connect.go and poller.go (the seams), clock.go, peer.go (the other end),
// trace.go; of the tests program_test.go, life_test.go (what must hold), client_test.go,
// random_test.go; story_test.go and testdata/stories are lives with a script.
package sim
