// Package framing finds the messages in a stream of bytes, and writes them so that the
// other end can.
//
// # What there is
//
// A [Framing] says where a message ends: [Length] by a number in front of it,
// [Delimiter] and [Line] by what follows it, [Fixed] by its size. A [Reader] applies one
// to what a connection reads and calls back once for each message. An [Encoder], which
// each of the four is too, says what stands around a message, and a [Writer] writes it,
// all in one piece.
//
//	length, err := framing.NewLength(framing.LengthConfig{Max: 64 << 10})
//	...
//	r := framing.NewReader(length, allocator)
//
// and in the callbacks of that connection
//
//	OnReadCompleted:         if err := r.Feed(b, handle); err != nil { c.Abort(err) } else { c.Read() }
//	OnConnectionClientClose: if err := r.Close(); err != nil { c.Abort(err) }
//	OnConnectionClosed:      r.Close()
//
// A protocol with a framing of its own implements Framing, and Encoder if it likes.
//
// # Who owns what
//
// Messages are lent as a callback's buffers are: one is valid until the function that
// got it returns, and AddRef keeps it longer. A message that came in one piece is a view
// of the read's memory, so one that is kept keeps all that was read with it; Compact
// helps if it's kept long. What came in several pieces is put together in memory of the
// Reader's allocator. A Reader holds memory only while it waits for the rest of a
// message, and Close gives that back. A Writer holds none.
//
// # Bounds
//
// A peer makes a Reader take memory only by sending: it keeps at most twice what has come
// of a message (and 512 bytes at least), whatever that one's header claims. A message
// that's longer than the framing's Max is refused as soon as that can be known, by a
// [TooLongError], before any of it is kept. That's final: where the next message begins
// is only known by those who read this one.
//
// # Threading
//
// A Reader belongs to one goroutine at a time, as the callbacks of its connection do.
// The four framings don't change and hold no state, so that any number of Readers and
// Writers may share one; a Writer can be used from any goroutine.
//
// # Non-goals
//
// What the bytes mean; compression, checksums and multiplexing; messages larger than
// memory, which are better read piece by piece; and blocking calls.
//
// # Reading order
//
// framing.go (the seam), length.go, delimiter.go, line.go, fixed.go, reader.go,
// writer.go, errors.go.
package framing
