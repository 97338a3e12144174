package engine

import "fmt"

// State is where a connection is in its life.
type State uint8

// The states. ReadClosed and WriteClosed are Open with one half closed.
const (
	Idle        State = iota // made, not registered
	Connecting               // outgoing, and not accepted yet
	Open                     // bytes may flow
	ReadClosed               // the peer has ended its side
	WriteClosed              // we have ended ours
	Draining                 // shut down: flushing, discarding input, waiting for the peer's end
	Closed                   // the descriptor is closed
	Released                 // nobody holds it
)

func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Connecting:
		return "connecting"
	case Open:
		return "open"
	case ReadClosed:
		return "read-closed"
	case WriteClosed:
		return "write-closed"
	case Draining:
		return "draining"
	case Closed:
		return "closed"
	case Released:
		return "released"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}

// flags are the yes-or-no part of a connection's state, guarded by its lock.
type flags uint32

const (
	// Readiness.
	readable flags = 1 << iota // a receive may find something
	writable                   // a send may find room
	hadPri                     // out-of-band data was announced: neither a short read nor EAGAIN proves anything any more
	hadHup                     // RDHUP, HUP or an error was seen: a short read proves nothing any more
	errDue                     // ask for SO_ERROR
	oobDue                     // fetch the out-of-band byte

	// Halves.
	eof       // the peer's end was read
	eofTold   // … and the consumer knows
	finWanted // send FIN once output is empty
	finSent
	probed // a peek found unread data behind a hang-up; look again after a read

	// Scheduling.
	dispatching // the loop is in this connection
	connectDue  // something may have become of a connect
	kicked      // posted to the loop, to be cleared by the post alone
	posted      // this dispatch has run the posts that there were
	hearFirst   // the last dispatch ended over budget: input has the first turn in the next

	// The consumer.
	inbound
	starting    // the creator's reference hasn't been consumed
	established // Established was called, or will be before anything else
	inRead      // the loop is in the consumer's Read
	gated       // own output is above High: reads wait until it's down at Low
	blocked     // WriteBlocked was called, WriteReady wasn't
	refused     // a write was refused for want of room: WriteReady must follow
	readFailed  // MayContinue was asked for a read
	writeFailed // MayContinue was asked for a write
	aborted     // Abort was called: nothing more is read, whatever the cause is

	// Time.
	idleTimed  // ext has an idle deadline
	writeTimed // ext has a write deadline for the present output
	lastTry    // the write deadline is over; the next EAGAIN ends it
	lingerTimed
	readTimed // ext has a deadline for the oldest read
	moved     // bytes moved since the drain looked
)

func (f *flags) set(bits flags)     { *f |= bits }
func (f *flags) clear(bits flags)   { *f &^= bits }
func (f flags) has(bits flags) bool { return f&bits == bits }
func (f flags) hasAny(b flags) bool { return f&b != 0 }

// becomeLocked moves to a state; an illegal move is a bug of ours.
func (c *Conn) becomeLocked(s State) {
	legal := false
	switch s {
	case Connecting:
		legal = c.state == Idle
	case Open:
		legal = c.state == Idle || c.state == Connecting
	case Draining:
		legal = c.state == Open
	case Closed:
		legal = c.state == Idle || c.state == Connecting || c.state == Open || c.state == Draining
	case Released:
		legal = c.state == Closed
	case Idle, ReadClosed, WriteClosed:
	}
	if !legal {
		panic(fmt.Sprintf("sluice: connection %d: illegal move from %v to %v", c.id, c.state, s))
	}
	old := c.phaseLocked()
	c.state = s
	c.leftLocked(old)
}
