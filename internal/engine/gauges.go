package engine

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// Phase is a part of an open connection's life, as the statistics tell them apart.
type Phase uint8

// The phases.
const (
	PhaseHandshaking Phase = iota // connecting, or its session isn't ready
	PhaseEstablished
	PhaseDraining // shut down, and not closed yet
	phaseNone     // not open
)

// Phases is the number of phases.
const Phases = int(phaseNone)

func (p Phase) String() string {
	switch p {
	case PhaseHandshaking:
		return "handshaking"
	case PhaseEstablished:
		return "established"
	case PhaseDraining:
		return "draining"
	case phaseNone:
		return "none"
	default:
		return "unknown"
	}
}

// lifeBounds are the classes of how long connections live.
var lifeBounds = []time.Duration{
	10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second,
	time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour,
}

// handshakeBounds are the classes of how long sessions take until they're ready.
var handshakeBounds = []time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// gauges are the part of a shard's statistics that an echo doesn't touch. What changes
// them does so at once, and from any goroutine, but for the histograms, which are the
// loop's.
type gauges struct {
	phases     [phaseNone + 1]atomic.Int64
	buffered   atomic.Int64 // output, in bytes
	blocked    atomic.Int64 // connections whose output is above High
	errors     [len(acceptErrnos) + 1]atomic.Uint64
	lives      *reactor.Histogram
	handshakes *reactor.Histogram
	calls      *reactor.Histogram
}

func newGauges() gauges {
	return gauges{
		lives: reactor.NewHistogram(lifeBounds), handshakes: reactor.NewHistogram(handshakeBounds), calls: reactor.NewHistogram(reactor.CallBounds),
	}
}

// phaseLocked is computed rather than kept: it follows from the state.
func (c *Conn) phaseLocked() Phase {
	switch c.state {
	case Connecting:
		return PhaseHandshaking
	case Open, ReadClosed, WriteClosed:
		if c.flags.has(established) {
			return PhaseEstablished
		}
		return PhaseHandshaking
	case Draining:
		return PhaseDraining
	case Idle, Closed, Released:
	}
	return phaseNone
}

// leftLocked counts a move from a phase. The new one is counted first, so that nobody
// sees fewer connections than there are.
func (c *Conn) leftLocked(old Phase) {
	if now := c.phaseLocked(); now != old {
		g := &c.shard.gauges
		g.phases[now].Add(1)
		g.phases[old].Add(-1)
	}
}

// reportOutputLocked brings what the shard has of the output's length up to date. What's
// sent at once never shows there.
func (c *Conn) reportOutputLocked() {
	n := c.out.Len()
	if c.ext != nil && c.ext.session != nil {
		n += c.ext.session.wire.Len()
	}
	if now := uint32(min(uint64(n), math.MaxUint32)); now != c.offLoop.left {
		c.shard.gauges.buffered.Add(int64(now) - int64(c.offLoop.left))
		c.offLoop.left = now
	}
}

// beginCall and endCall are around each call of the consumer, of which one in so many is
// timed.
func (s *Shard) beginCall() {
	if s.untimed--; s.untimed == 0 {
		s.began = s.r.Clock()
	}
}

func (s *Shard) endCall() {
	if s.untimed == 0 {
		s.untimed = reactor.SampleEvery
		s.gauges.calls.Observe(s.r.Clock() - s.began)
	}
}

// acceptErrnos are the failures to accept that are counted by name.
var acceptErrnos = [...]sys.Errno{
	unix.EBADF, unix.ECONNABORTED, unix.EINVAL, unix.EMFILE, unix.ENETDOWN, unix.ENFILE,
	unix.ENOBUFS, unix.ENOMEM, unix.EPERM, unix.EPROTO,
}

func (s *Shard) countAcceptError(errno sys.Errno) {
	s.add(CountAcceptErrors, 1)
	i := 0
	for i < len(acceptErrnos) && acceptErrnos[i] != errno {
		i++
	}
	s.gauges.errors[i].Add(1)
}

// Gauges are what an Env's connections are doing, and what became of them, beyond the
// Counts.
type Gauges struct {
	Phases       [Phases]int64     // connections in each
	Buffered     int64             // output not sent yet, in bytes
	Blocked      int64             // connections whose output rose above Flow.High
	AcceptErrors map[string]uint64 // by errno, all of the names; "other"
	Lives        reactor.Durations // of connections that were established, until they closed
	Handshakes   reactor.Durations // of sessions, from their start until they were ready
	Calls        reactor.Durations // of the consumer: of one in reactor.SampleEvery
}

// Gauges sums the shards.
func (e *Env) Gauges() Gauges {
	sum := Gauges{AcceptErrors: map[string]uint64{}}
	for _, s := range e.shards {
		g := &s.gauges
		for p := range sum.Phases {
			sum.Phases[p] += g.phases[p].Load()
		}
		sum.Buffered += g.buffered.Load()
		sum.Blocked += g.blocked.Load()
		for i, errno := range acceptErrnos {
			sum.AcceptErrors[unix.ErrnoName(errno)] += g.errors[i].Load()
		}
		sum.AcceptErrors["other"] += g.errors[len(acceptErrnos)].Load()
		sum.Lives = sum.Lives.Plus(g.lives.Durations())
		sum.Handshakes = sum.Handshakes.Plus(g.handshakes.Durations())
		sum.Calls = sum.Calls.Plus(g.calls.Durations())
	}
	return sum
}
