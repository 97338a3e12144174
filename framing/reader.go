package framing

import (
	"fmt"

	"github.com/sluice-net/sluice/buffers"
)

// A Reader finds the messages in what one connection reads. It belongs to one goroutine
// at a time: use it in that connection's callbacks.
type Reader struct {
	// Immutable.
	framing Framing
	alloc   *buffers.Allocator

	// Owned by the goroutine that has the Reader.
	state readerState
	cause error           // why it's closed; nil: between two messages, or by each
	tail  *buffers.Buffer // what came of a message whose rest hasn't; else nil
	frame Frame           // what's known of that message
}

type readerState uint8

const (
	readerReady readerState = iota
	readerFeeding
	readerClosed
)

func (s readerState) String() string {
	switch s {
	case readerReady:
		return "ready"
	case readerFeeding:
		return "feeding"
	case readerClosed:
		return "closed"
	default:
		return "unknown"
	}
}

// become changes the state. Feeding is left by the end of the Feed that began it, or by a
// Close inside that.
func (r *Reader) become(next readerState) {
	legal := false
	switch r.state {
	case readerReady:
		legal = next != readerReady
	case readerFeeding:
		legal = next != readerFeeding
	case readerClosed:
	}
	if !legal {
		panic(fmt.Sprintf("framing: illegal move of a Reader from %v to %v (a Feed inside a Feed?)", r.state, next))
	}
	r.state = next
}

// NewReader makes a Reader for one connection. Messages that come in pieces are put
// together in memory of a, such as the server's.
func NewReader(f Framing, a *buffers.Allocator) *Reader {
	if f == nil || a == nil {
		panic("framing: NewReader needs a Framing and an Allocator")
	}
	return &Reader{framing: f, alloc: a}
}

// Feed takes what was read next, and calls each once for every message that it
// completes, in order. b remains the caller's and isn't to be changed meanwhile; no
// reference to it is kept. Messages are lent: AddRef keeps one, and the memory that it
// shares.
//
// each may do what a callback may, and that includes ending the connection and closing
// the Reader, but not Feed. If it returns an error, that's what Feed returns, without
// another call. Any error of Feed is final: the Reader is closed with it, what was left
// is dropped, and each later Feed returns it again (ErrClosed behind a Close without an
// error). Abort the connection with it:
//
//	if err := r.Feed(b, each); err != nil {
//		c.Abort(err)
//	}
func (r *Reader) Feed(b *buffers.Buffer, each func(msg *buffers.Buffer) error) error {
	if r.state == readerClosed {
		return r.closedBy()
	}
	r.become(readerFeeding)
	err := errPanicked // unless feed returns
	defer func() { r.fed(err) }()
	err = r.feed(b, each)
	return err
}

// fed ends a Feed.
func (r *Reader) fed(err error) {
	switch {
	case r.state == readerClosed: // by each
	case err != nil:
		r.end(err)
	default:
		r.become(readerReady)
	}
}

func (r *Reader) feed(b *buffers.Buffer, each func(*buffers.Buffer) error) error {
	p := b.Bytes()
	at := 0
	if r.tail != nil {
		n, err := r.join(b, each)
		if err != nil {
			return err
		}
		at = n
	}
	for at < len(p) {
		f, err := r.next(p[at:], 0)
		if err != nil {
			return err
		}
		if !f.Settled || f.Need > len(p)-at {
			r.tail, r.frame = r.alloc.Copy(p[at:]), f
			return nil
		}
		if err := r.deliver(b.Slice(at+f.Start, at+f.End), each); err != nil {
			return err
		}
		at += f.Need
	}
	return nil
}

// join adds what b has of the message that the tail began, and delivers it if that is
// all of it. It returns how many bytes of b belong to that message.
func (r *Reader) join(b *buffers.Buffer, each func(*buffers.Buffer) error) (int, error) {
	p := b.Bytes()
	before := r.tail.Len() // where p begins, counted from the frame's first byte
	if err := r.settle(p, before); err != nil {
		return 0, err
	}
	f := r.frame
	if !f.Settled || f.Need > before+len(p) {
		r.tail.Append(p[r.tail.Len()-before:])
		return len(p), nil
	}
	// The framing may have been split while the message is not.
	var msg *buffers.Buffer
	if f.Start >= before {
		msg = b.Slice(f.Start-before, f.End-before)
	} else {
		if f.End > r.tail.Len() {
			r.tail.Append(p[r.tail.Len()-before : f.End-before])
		}
		msg = r.tail.Slice(f.Start, f.End)
	}
	r.drop()
	return f.Need - before, r.deliver(msg, each)
}

// lookAhead is how many bytes more than were asked for settle puts to the tail.
const lookAhead = 64

// settle copies from p, which begins at before, until it's known where the frame ends or
// p is used up. Nobody knows how far a delimiter is, so each step takes as much as came
// before: copying and asking stay linear, and what's copied in vain stays less than the
// message. It's still in p for the messages behind.
func (r *Reader) settle(p []byte, before int) error {
	for !r.frame.Settled {
		seen := r.tail.Len()
		rest := p[seen-before:]
		missing := r.frame.Need - seen
		if missing > len(rest) {
			return nil
		}
		r.tail.Append(rest[:min(max(missing, seen, lookAhead), len(rest))])
		f, err := r.next(r.tail.Bytes(), seen)
		if err != nil {
			return err
		}
		r.frame = f
	}
	return nil
}

func (r *Reader) next(p []byte, seen int) (Frame, error) {
	f, err := r.framing.Next(p, seen)
	if err == nil {
		f.check(len(p))
	}
	return f, err
}

// deliver lends msg to each, and gives it back.
func (r *Reader) deliver(msg *buffers.Buffer, each func(*buffers.Buffer) error) error {
	defer msg.Release()
	if err := each(msg); err != nil {
		return err
	}
	if r.state == readerClosed {
		return r.closedBy()
	}
	return nil
}

// Need is how many bytes must come, at least, before there can be another message, or
// before more is known of it: 1 or more, and 0 once the Reader is closed. A connection
// that reads no further ahead than this asks for
//
//	c.ReadFull(min(r.Need(), limit))
//
// where limit is at most its Flow.MaxRead. Headers and messages then come in reads of
// their own, and a message up to limit always in one piece. Inside each it's 0.
func (r *Reader) Need() int {
	if r.state != readerReady {
		return 0
	}
	if r.tail != nil {
		return r.frame.Need - r.tail.Len()
	}
	f, err := r.next(nil, 0)
	if err != nil {
		return 1 // Feed reports it
	}
	return f.Need
}

// Close tells the Reader that no more will come, and gives its memory back. It returns
// nil if the stream ended between two messages, an *IncompleteError
// (io.ErrUnexpectedEOF) if it ended within one, and the error of Feed behind one. Call
// it when the peer has ended its side, and in any case when the connection has closed:
// again it returns the same and does nothing. Inside each it returns nil: what was read
// and not yet delivered is dropped.
func (r *Reader) Close() error {
	switch r.state {
	case readerReady:
		var err error
		if r.tail != nil {
			err = &IncompleteError{Have: r.tail.Len(), Need: r.frame.Need}
		}
		r.end(err)
	case readerFeeding:
		r.end(nil)
	case readerClosed:
	}
	return r.cause
}

// end closes the Reader; the first cause sticks.
func (r *Reader) end(cause error) {
	r.become(readerClosed)
	r.cause = cause
	r.drop()
}

// drop lets the tail go.
func (r *Reader) drop() {
	if r.tail != nil {
		r.tail.Release()
		r.tail = nil
	}
}

func (r *Reader) closedBy() error {
	if r.cause != nil {
		return r.cause
	}
	return ErrClosed
}
