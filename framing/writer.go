package framing

import (
	"sync"

	"github.com/sluice-net/sluice/buffers"
)

// Stream is what a Writer needs of a connection: *conn.Stream has it. Writev writes the
// buffers with nothing between them, or fails and writes none; it takes references of
// its own, and doesn't keep bs.
type Stream interface {
	Writev(bs ...*buffers.Buffer) error
}

// A Writer writes messages together with their framing. Nothing that others write to
// the same connection comes in between, and of a message that's refused nothing is
// written. A Writer may be shared by connections and used from any goroutine.
type Writer struct {
	// Immutable.
	encoder Encoder
	alloc   *buffers.Allocator
	spare   int // enough for what stands around a message, in most framings

	pieces sync.Pool // *[maxPieces]*buffers.Buffer: what goes into one Writev
}

// maxPieces are what precedes a message, the message, and what follows it.
const maxPieces = 3

// commonHead is no less than any head of this package.
const commonHead = 16

// NewWriter makes a Writer. The framing, and what Send copies, is in memory of a.
func NewWriter(e Encoder, a *buffers.Allocator) *Writer {
	if e == nil || a == nil {
		panic("framing: NewWriter needs an Encoder and an Allocator")
	}
	return &Writer{encoder: e, alloc: a, spare: commonHead + len(e.AppendTail(nil))}
}

// Write writes msg without copying it. It takes a reference of its own and never the
// caller's; as with Stream.Write, msg isn't to be changed until that has gone. Where
// completions are heard, what precedes msg, msg, and what follows it each have one, if
// they aren't nothing; only msg's has user data.
//
// The errors are the Encoder's, such as ErrTooLong and ErrUnframable, and Writev's, such
// as conn.ErrOutputFull.
func (w *Writer) Write(to Stream, msg *buffers.Buffer) error {
	around := w.alloc.Get(w.spare)
	defer around.Release()
	room := around.Reserve(around.Cap())
	p, err := w.encoder.AppendHead(room[:0], msg.Bytes())
	if err != nil {
		return err
	}
	headSize := len(p)
	p = w.encoder.AppendTail(p)
	if len(p) <= len(room) {
		around.Commit(copy(room, p)) // onto itself
	} else {
		around.Append(p)
	}

	if headSize == 0 {
		return w.writev(to, msg, around)
	}
	head := around.Split(headSize)
	defer head.Release()
	return w.writev(to, head, msg, around)
}

// Send writes a copy of msg, which for a short one costs less than Write. It has one
// completion, with the message and its framing in the buffer.
func (w *Writer) Send(to Stream, msg []byte) error {
	b := w.alloc.Get(len(msg) + w.spare)
	defer b.Release()
	room := b.Reserve(b.Cap())
	p, err := Append(w.encoder, room[:0], msg)
	if err != nil {
		return err
	}
	if len(p) <= len(room) {
		b.Commit(copy(room, p))
	} else {
		b.Append(p)
	}
	return w.writev(to, b)
}

// writev is one Writev of pieces, less the last if that's empty framing. They're copied
// so that the variadic slice of the caller needn't be in the heap.
func (w *Writer) writev(to Stream, pieces ...*buffers.Buffer) error {
	bs, _ := w.pieces.Get().(*[maxPieces]*buffers.Buffer)
	if bs == nil {
		bs = new([maxPieces]*buffers.Buffer)
	}
	n := copy(bs[:], pieces)
	if n > 1 && bs[n-1].Len() == 0 {
		n--
	}
	err := to.Writev(bs[:n]...)
	clear(bs[:])
	w.pieces.Put(bs)
	return err
}
