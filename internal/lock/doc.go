// Package lock has the mutex of what several goroutines of the framework share.
//
// Purpose: it is a sync.Mutex, at the price of one more load, but for one thing: a
// simulation can watch it. That's the seam by which one that runs a goroutine at a time,
// and stops goroutines inside of system calls, learns who waits for whom, and at which it
// may let another goroutine come first. docs/adr/0007 has the alternatives.
//
// Threading model and ownership: any goroutine may use a Mutex. Watch is for a simulation,
// once, before it begins.
//
// How to change it: a lock that's held while a system call, the poller or the clock is
// called must be of this kind, or a simulated goroutine that wants it waits for ever.
//
// Non-goals: readers and writers, deadlines, fairness.
package lock
