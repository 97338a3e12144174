package loadtest

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluice-net/sluice/loadtest/result"
)

// A verdict says what was wrong with a connection, by name: it goes through all that came
// after the last right reply, and tries which message's reply each piece is.
type verdict struct {
	s     *session
	cause error // of the session's end
	ended bool  // the server has ended its direction: nothing is under way any more

	seen      map[uint64]bool // of the messages that were outstanding
	last      uint64          // the latest of them that was seen, plus 1; 0: none was
	displaced int             // replies that took the place of others
	lostTrack bool            // bytes that are nobody's, so those behind them are too
	faults    int
}

// before is how many earlier messages a reply is compared with, to see if it comes again.
const before = 1024

func newVerdict(s *session, cause error, ended bool) *verdict {
	return &verdict{s: s, cause: cause, ended: ended, seen: map[uint64]bool{}}
}

// outstanding calls f with each message that has no reply yet, until f returns false.
func (v *verdict) outstanding(f func(sequence uint64) bool) {
	for q := v.s.received; q < v.s.sent; q++ {
		if !v.seen[q] && !f(q) {
			return
		}
	}
}

// next is the message whose reply is due.
func (v *verdict) next() (due uint64, expected bool) {
	v.outstanding(func(q uint64) bool {
		due, expected = q, true
		return false
	})
	return due, expected
}

func (v *verdict) walk(b []byte) {
	for len(b) > 0 && !v.lostTrack {
		n := v.piece(b)
		if n == 0 {
			return // an incomplete reply
		}
		b = b[min(n, len(b)):]
	}
}

// piece names what is at the beginning of b, and returns its length, or 0 if it's
// incomplete.
func (v *verdict) piece(b []byte) int {
	codec := v.s.run.load.Codec
	size, incomplete := 0, false
	v.outstanding(func(q uint64) bool {
		n, err := codec.CheckReply(v.s.message(q), b)
		incomplete = incomplete || n == 0 && err == nil
		if n == 0 || err != nil {
			return true
		}
		size = n
		v.found(q)
		return false
	})
	if size > 0 {
		return size
	}
	if n := v.repeated(b); n > 0 {
		return n
	}
	if incomplete {
		return 0
	}
	return v.strange(b)
}

// found is the reply to an outstanding message.
func (v *verdict) found(q uint64) {
	v.seen[q] = true
	if q+1 < v.last {
		v.fault(result.Reordered, "the reply to message %d came after that to message %d", q, v.last-1)
	}
	v.last = max(v.last, q+1)
}

// repeated looks for a reply that has come before, the latest first.
func (v *verdict) repeated(b []byte) int {
	for q, tried := v.s.sent, 0; q > 0 && tried < before; tried++ {
		q--
		if q >= v.s.received && !v.seen[q] {
			continue
		}
		n, err := v.s.run.load.Codec.CheckReply(v.s.message(q), b)
		if n > 0 && err == nil {
			v.fault(result.Duplicated, "the reply to message %d came again", q)
			return n
		}
	}
	return 0
}

// strange is a piece that is no reply to this connection's messages.
func (v *verdict) strange(b []byte) int {
	due, expected := v.next()
	m := v.s.message(due)
	if !expected {
		m = v.s.message(v.s.sent)
	}
	_, err := v.s.run.load.Codec.CheckReply(m, b)
	var mismatch *Mismatch
	size := len(v.s.run.load.Codec.AppendRequest(nil, m)) // a guess; of an echo it's right
	switch {
	case errors.As(err, &mismatch) && mismatch.Known && mismatch.Other.Connection != v.s.number:
		o := mismatch.Other
		v.fault(result.CrossTalk, "in place of the reply to message %d came that to message %d of connection %s",
			m.Sequence, o.Sequence, connectionName(o.Connection))
		size = len(v.s.run.load.Codec.AppendRequest(nil, Message{o.Connection, o.Sequence, v.s.run.load.Sizes.of(o.Connection, o.Sequence)}))
		v.displaced++
	case !expected && v.s.cutShort && err == nil:
		v.lostTrack = true // a reply to the beginning of a request
	case !expected:
		v.fault(result.Unsolicited, "%d bytes that nobody asked for, beginning with %q", len(b), b[:min(len(b), 32)])
		v.lostTrack = true
	default:
		v.corrupted(due, err, b)
	}
	return size
}

// corrupted is a reply in its place with something wrong in it. If it's followed by
// something as strange, the rest is out of step, and the first place is all there is to say.
func (v *verdict) corrupted(q uint64, err error, b []byte) {
	v.seen[q] = true
	v.fault(result.Corrupted, "the reply to message %d: %v", q, err)
	n := len(v.s.run.load.Codec.AppendRequest(nil, v.s.message(q)))
	if len(b) <= n {
		return
	}
	rest := b[n:]
	understood := false
	v.outstanding(func(later uint64) bool {
		_, err := v.s.run.load.Codec.CheckReply(v.s.message(later), rest)
		understood = understood || err == nil
		return !understood
	})
	v.lostTrack = !understood
}

func (v *verdict) fault(kind result.ErrorKind, format string, args ...any) {
	v.faults++
	v.s.fail(kind, fmt.Sprintf("connection %s (%s): ", connectionName(v.s.number), describeEnds(v.s.conn))+fmt.Sprintf(format, args...))
}

// report names what is missing, and the cause of the end if nothing else has explained it.
func (v *verdict) report() {
	var missing []uint64
	// A request that is only half sent has no reply to be missed.
	timedOut := errors.Is(v.cause, os.ErrDeadlineExceeded) && !errors.As(v.cause, new(*writeFailed))
	v.outstanding(func(q uint64) bool {
		overtaken := q < v.last
		// After the server's own end nothing comes. But an end that we didn't wait for may
		// be one in haste, which loses what's under way, and says so by its name.
		if !v.lostTrack && (overtaken || v.ended && (timedOut || errors.As(v.cause, new(*wrongReply)))) {
			missing = append(missing, q)
		}
		return true
	})
	for _, q := range missing[min(v.displaced, len(missing)):] {
		v.fault(result.Lost, "the reply to message %d never came, but later ones did or the server has ended", q)
	}
	if v.faults > 0 || v.cause == nil {
		return
	}
	due, _ := v.next()
	kind := ioKind(v.cause)
	v.s.fail(kind, fmt.Sprintf("connection %s (%s), message %d, of %d that wait for a reply: %v",
		connectionName(v.s.number), describeEnds(v.s.conn), due, v.s.sent-v.s.received, plain(v.cause)))
}
