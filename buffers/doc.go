// Package buffers holds the bytes that move through Sluice: pooled memory with
// reference counts, views of it, and chains of views that wait to be sent.
//
// # What there is
//
// An [Allocator] hands out memory and takes it back. A [Buffer] is a view of
// some of that memory: a window with a start, a length and a reference count of
// its own. Several Buffers can look at the same memory, which goes back to the
// allocator when the last of them has been released. A [Chain] is a queue of
// such windows. A [Cache] is a free list in front of an Allocator that belongs
// to one goroutine, so that a busy one takes and returns memory without a
// locked instruction.
//
//	a := buffers.New(buffers.Config{})
//	b := a.Get(100)
//	defer b.Release()
//	b.Append([]byte("hello"))
//
// # Who owns what
//
// Get, Copy, Slice, Split and AddRef each give the caller one reference, to be
// given up by one Release. A Buffer that a callback receives is lent: it is valid
// until the callback returns, and AddRef keeps it longer. Whatever accepts a
// Buffer to keep it takes a reference of its own and never the caller's; a
// deferred Release is therefore always right.
//
// The slice that Bytes returns is valid until the last Release of the view, and
// until the next Append or Reserve, which may move the content.
//
// # Threading
//
// All methods of an Allocator may be called from any goroutine. A Buffer, as one
// view, belongs to one goroutine at a time; only AddRef and Release, and reading,
// may happen in several at once. Slice makes a view for another goroutine:
// different views of the same memory are independent of each other, and memory
// that more than one view can see is never written. A Chain and a Cache belong to
// one goroutine at a time, or are guarded by their owner's lock.
//
// # Misuse
//
// Releasing twice and using a Buffer after its last Release are mistakes of the
// program. With Config.Debug they panic, released memory is overwritten, and a
// write to it after its release is found later. Without it, those that can be
// recognised are counted in Stats.Misuses and otherwise do nothing; a released
// Buffer that has already been handed out again can't be recognised.
//
// Config.Leaks records where Buffers come from and reports those that were
// dropped without a Release.
//
// # Non-goals
//
// This package does no input or output, bounds no memory that is in use (its
// users have budgets for that; Stats.InUse is the figure to go by), and doesn't
// make a general-purpose byte string: content is contiguous, and the package
// moves it only in Append, Reserve and Compact.
//
// # Reading order
//
// classes.go (sizes), block.go (memory and its references), allocator.go (where
// blocks come from and go to), buffer.go and content.go (views), cache.go (the
// free lists) and quota.go (how they are kept small), segment.go and chain.go
// (queues); then debug.go, leak.go and stats.go, which watch all of that.
package buffers
