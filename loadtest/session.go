package loadtest

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// request is a message that was sent. Times count from the start of the run.
type request struct {
	planned, sent time.Duration
}

// A session is one connection, from its first message to its last reply. One goroutine
// sends and receives in turn (session.alternate), unless messages may be sent while
// replies are due (session.duplex): then a second one sends.
type session struct {
	// Fixed when it's made.
	run    *run
	shard  *shard
	conn   net.Conn
	number uint64 // of the connection
	ends   time.Duration

	// Of whoever sends.
	schedule *schedule // nil: a closed loop
	sent     uint64    // messages
	cutShort bool      // the message after those couldn't be sent as a whole
	pace     sleeper
	writeBy  time.Duration

	// pending are the messages that wait for their replies, in order.
	pending chan request

	// Of whoever receives.
	received uint64 // replies, right ones
	readBy   time.Duration
	buf      []byte
	from, to int           // of buf that isn't consumed
	read     time.Duration // when the last bytes came
}

// The read buffer grows from small to large as long as reads fill it; a reply that is
// longer gets what it needs.
const (
	smallBuffer = 512
	largeBuffer = 64 << 10
	// alternating is how many bytes may be under way in both directions while nobody
	// reads: whatever system it is, they fit into socket buffers.
	alternating = 16 << 10
)

// errDone ends a session that has sent all that it should.
var errDone = errors.New("all is sent")

// live sends and receives until the connection has reached its age or the run its end. It
// returns nil if all replies came, and else why it has ended.
func (s *session) live() error {
	l := &s.run.load
	inFlight := l.InFlight * (l.Sizes.largest() + 64)
	if inFlight <= alternating && (s.schedule == nil || l.InFlight == 1) {
		return s.alternate()
	}
	return s.duplex()
}

func (s *session) alternate() error {
	for {
		for len(s.pending) < cap(s.pending) {
			planned, err := s.next()
			if errors.Is(err, errDone) {
				if len(s.pending) == 0 {
					return nil
				}
				break
			}
			if err := s.send(planned); err != nil {
				return err
			}
		}
		if err := s.receive(<-s.pending); err != nil {
			return err
		}
		if !s.think() {
			return nil
		}
	}
}

func (s *session) duplex() error {
	window := make(chan struct{}, cap(s.pending)) // has the messages without a complete reply
	stop := make(chan struct{})
	var sender sync.WaitGroup
	var failed error
	sender.Go(func() {
		defer close(s.pending)
		failed = s.sendAll(window, stop)
	})
	var err error
	for r := range s.pending {
		if err = s.receive(r); err != nil {
			break
		}
		<-window
	}
	close(stop)
	if err != nil {
		_ = s.conn.SetWriteDeadline(time.Unix(1, 0)) // the sender's
	}
	sender.Wait()
	if err != nil {
		return err // and the sender's is its consequence
	}
	return failed
}

// sendAll sends until nothing more should be sent, which is no error.
func (s *session) sendAll(window chan<- struct{}, stop <-chan struct{}) error {
	for {
		select {
		case window <- struct{}{}:
		case <-stop:
			return nil
		}
		planned, err := s.next()
		if errors.Is(err, errDone) {
			return nil
		}
		select {
		case <-stop:
			return nil
		default:
		}
		if err := s.send(planned); err != nil {
			return err
		}
	}
}

// next waits until a message should be sent, and returns from when its latency counts: from
// the planned time, if the connection was waiting for the server then. In a closed loop
// there's no such time. errDone is the only error.
func (s *session) next() (time.Duration, error) {
	r := s.run
	if s.ends > 0 && r.now() >= s.ends || r.load.Churn > 0 && s.sent >= r.load.Churn {
		return 0, errDone
	}
	if s.schedule == nil {
		if !r.maySend() {
			return 0, errDone
		}
		return 0, nil
	}
	planned := s.schedule.next
	if now := r.now(); now < planned {
		until := planned
		if s.ends > 0 {
			until = min(planned, s.ends) // it's kept to its age, whether it's used or not
		}
		if !s.pace.sleep(r.soft, until-now) || until < planned {
			return 0, errDone
		}
		// What the timer was late by is the client's, and counted as such: from here on the
		// server could have been asked.
		woke := r.now()
		s.shard.record(meterLag, woke-planned)
		planned = woke
	}
	if !r.maySend() {
		return 0, errDone
	}
	s.schedule.advance()
	s.shard.planned(1)
	return planned, nil
}

// think waits between a reply and the next message. It reports whether there should be one.
func (s *session) think() bool {
	t := s.run.load.Think
	return t == 0 || s.pace.sleep(s.run.soft, t)
}

// buffers has what requests are built in.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (s *session) message(sequence uint64) Message {
	return Message{Connection: s.number, Sequence: sequence, Size: s.run.load.Sizes.of(s.number, sequence)}
}

func (s *session) send(planned time.Duration) error {
	b := buffers.Get().(*[]byte)
	*b = s.run.load.Codec.AppendRequest((*b)[:0], s.message(s.sent))
	now := s.run.now()
	if s.schedule == nil {
		planned = now
	}
	if by := now + s.run.load.Timeout; by > s.writeBy {
		s.writeBy = by + s.run.load.Timeout/2
		_ = s.conn.SetWriteDeadline(s.run.began.Add(s.writeBy))
	}
	s.sent++
	// Before the first byte is out: the reply may be here before Write returns.
	s.pending <- request{planned, now}
	n, err := s.conn.Write(*b)
	buffers.Put(b)
	if err != nil {
		s.sent--
		s.cutShort = true
		return &writeFailed{err}
	}
	s.shard.sent(n)
	return nil
}

// receive reads the reply to a request.
func (s *session) receive(r request) error {
	m := s.message(s.received)
	started := s.to > s.from // of the reply there are bytes already, which came with the last
	first := s.read
	for {
		n, err := s.run.load.Codec.CheckReply(m, s.buf[s.from:s.to])
		if err != nil {
			return &wrongReply{err}
		}
		if n > 0 {
			s.from += n
			s.received++
			s.shard.answered(r, first, s.read, n)
			return nil
		}
		if err := s.fill(r); err != nil {
			return err
		}
		if !started {
			started, first = true, s.read
		}
	}
}

// fill reads more bytes. The deadline that a connection has is moved only now and then,
// as that costs as much as a small message does.
func (s *session) fill(r request) error {
	timeout := s.run.load.Timeout
	if by := r.sent + timeout; by > s.readBy {
		s.readBy = by + timeout/2
		_ = s.conn.SetReadDeadline(s.run.began.Add(s.readBy))
	}
	s.makeRoom()
	// With messages in flight there's always a reply to read: without a wait the others would
	// get their turn, and be late by it, when the scheduler takes the processor away.
	if s.run.load.InFlight > 1 {
		runtime.Gosched()
	}
	n, err := s.conn.Read(s.buf[s.to:])
	s.to += n
	s.read = s.run.now()
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (s *session) makeRoom() {
	switch {
	case s.from == s.to:
		full := s.to == len(s.buf) && s.to > 0
		s.from, s.to = 0, 0
		if s.buf == nil {
			s.buf = make([]byte, smallBuffer)
		} else if full && len(s.buf) < largeBuffer {
			s.buf = make([]byte, 2*len(s.buf))
		}
	case s.to < len(s.buf):
	case s.from >= len(s.buf)/2:
		s.to = copy(s.buf, s.buf[s.from:s.to])
		s.from = 0
	default:
		larger := make([]byte, 2*len(s.buf))
		s.to = copy(larger, s.buf[s.from:s.to])
		s.from, s.buf = 0, larger
	}
}

// wrongReply wraps what a Codec has against a reply.
type wrongReply struct{ cause error }

func (e *wrongReply) Error() string { return e.cause.Error() }
func (e *wrongReply) Unwrap() error { return e.cause }

// writeFailed wraps the error of a request that couldn't be sent, at least not all of it.
type writeFailed struct{ cause error }

func (e *writeFailed) Error() string { return e.cause.Error() }
func (e *writeFailed) Unwrap() error { return e.cause }

// The last words: for how long the server may take to end its direction once we've ended
// ours, and how many bytes it may still send.
const (
	lastWait  = time.Second
	lastBytes = 16 << 20
)

// halfCloser is what connections have whose directions end one at a time.
type halfCloser interface{ CloseWrite() error }

// end is the connection's end, whatever the cause; nil is that all has come. Our direction
// is ended, so that a server that was asked to do nothing more tells by its own end
// what is missing, and what is too much.
func (s *session) end(cause error) {
	ended := errors.Is(cause, io.EOF)
	if cause == nil || errors.As(cause, new(*wrongReply)) || errors.Is(cause, os.ErrDeadlineExceeded) {
		ended = s.readRest()
	}
	if s.run.hard.Err() != nil {
		return // it was cut off, so nothing is known
	}
	v := newVerdict(s, cause, ended)
	v.walk(s.buf[s.from:s.to])
	v.report()
}

// readRest reads to the end of the server's direction. It reports whether that came.
func (s *session) readRest() bool {
	half, ok := s.conn.(halfCloser)
	if !ok || half.CloseWrite() != nil {
		return false
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(min(lastWait, s.run.load.Timeout)))
	for s.to-s.from < lastBytes {
		s.makeRoom()
		n, err := s.conn.Read(s.buf[s.to:])
		s.to += n
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
	return false
}

// fail counts why the session has ended.
func (s *session) fail(kind result.ErrorKind, text string) {
	s.run.recorder.fail(kind, s.run.now(), text)
}
