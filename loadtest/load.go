package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// Load is what [Run] does. Only Targets has no default.
type Load struct {
	// Targets are shared out to the connections in turn.
	Targets []Target

	// Connections is how many are open at a time; 0 is 10.
	Connections int
	// ConnectRate is how many are opened in a second at the beginning, while those that are
	// open make load already. 0 is as many as can be, before there's any load.
	ConnectRate float64
	// Sources are the local addresses of TCP connections, in turn; empty leaves them to
	// the system.
	Sources Sources

	// InFlight is how many messages of a connection may wait for a reply at a time; 0 is 1.
	InFlight int
	// Rate makes an open loop: that many messages per second are planned, of all
	// connections together. 0 is a closed loop.
	Rate float64
	// Poisson spaces the planned messages as independent clients would; otherwise they come
	// at equal distances.
	Poisson bool
	// Offset delays all messages that come at equal distances, so that those of several
	// processes can fall between each other.
	Offset time.Duration
	// Think is the time between a reply and the next message of a closed loop with InFlight
	// 1.
	Think time.Duration

	// Lifetime is the age at which a connection is replaced by a new one, and Churn the
	// number of messages after which it is; 0 is never.
	Lifetime time.Duration
	Churn    uint64

	// WarmUp is how long the load is on before it counts.
	WarmUp time.Duration
	// Duration is how long it counts; 0 is 10 s, unless Messages is there.
	Duration time.Duration
	// Messages ends the run when so many have been sent after the warm-up; 0 is no limit.
	// The replies to those that are under way when it ends count, too.
	Messages uint64

	// Codec is the protocol; nil is [Echo] with binary payloads.
	Codec Codec
	Sizes Sizes
	// Unverified is only noted in the result: what is verified is the Codec's to decide.
	Unverified bool

	// TLS is for targets with TLS; nil has the defaults. Its session cache is ignored.
	TLS *tls.Config
	// Resume is the part of TLS connections that resume an earlier session, 0 to 1.
	Resume float64

	// Hostile are clients that misbehave beside those that are measured.
	Hostile map[HostileKind]int

	// Timeout is how long to wait for a connection, a handshake, a reply; 0 is 5 s.
	Timeout time.Duration
	// Interval is the length of the result's intervals; 0 is 1 s.
	Interval time.Duration
	// MaxLag is by how much this process may be late at the 99th percentile, of its own
	// accord, before it's called saturated; 0 is 10 ms. In a closed loop it has to be more than
	// half of the round trip's 99th percentile, too.
	MaxLag time.Duration

	// StartAt is when the run begins, on several hosts at once; in the past it begins at
	// once. Once all are connected it waits for the next whole Interval.
	StartAt time.Time
	// Gate, if there is one, is called once all are connected, or, with a ConnectRate, before any
	// is. It returns when messages may be sent, and intervals begin: processes that make
	// a load together agree on a time by it, whatever StartAt is. It has to return when ctx
	// ends.
	Gate func(ctx context.Context) time.Time
	// Seed numbers the run, and is in each connection's number; 0 is random. Runs beside
	// each other need different ones for cross-talk between them to be seen.
	Seed uint32

	// OnInterval, if there is one, is called with each interval as it ends, one call at a
	// time. The interval is the callee's to keep but not to change.
	OnInterval func(result.Interval)
}

// The defaults.
const (
	defaultConnections = 10
	defaultDuration    = 10 * time.Second
	defaultTimeout     = 5 * time.Second
	defaultInterval    = time.Second
	defaultMaxLag      = 10 * time.Millisecond
)

// mostInFlight bounds what a connection keeps of its messages: 1 MB.
const mostInFlight = 1 << 16

// How many messages can be planned for a connection in a second. With more, a schedule would
// take longer to compute than to keep, and end nowhere once its times are equal; with less
// than one in a year, its times don't fit into a time.Duration.
const (
	mostPlanned  = 1e6
	leastPlanned = 1.0 / (365 * 24 * 60 * 60)
)

// Check says what is wrong with the load itself, as [Run] would before it does anything.
func (l Load) Check() error {
	_, err := l.check()
	return err
}

// check returns the load with its defaults, or what is wrong with it.
func (l Load) check() (Load, error) {
	if len(l.Targets) == 0 {
		return l, errors.New("there's no target: " + targetWant)
	}
	for _, problem := range []struct {
		bad  bool
		text string
	}{
		{l.Connections < 0, "Connections is negative"},
		{!(l.ConnectRate >= 0), "ConnectRate is negative, or no number"},
		{l.InFlight < 0, "InFlight is negative"},
		{l.InFlight > mostInFlight, fmt.Sprintf("InFlight is %d, and at most %d: use more connections", l.InFlight, mostInFlight)},
		{!(l.Rate >= 0), "Rate is negative, or no number"},
		{l.Offset < 0 || l.Think < 0 || l.Lifetime < 0 || l.WarmUp < 0 || l.Duration < 0 || l.Timeout < 0 || l.MaxLag < 0, "a time is negative"},
		{l.Interval != 0 && l.Interval < time.Millisecond, "Interval is below 1 ms"},
		{l.Think > 0 && l.Rate > 0, "Think is for closed loops: an open loop's Rate says when messages are sent"},
		{l.Think > 0 && l.InFlight > 1, "Think needs InFlight 1: nobody thinks about several messages at a time"},
		{l.Poisson && l.Rate == 0, "Poisson needs a Rate"},
		{!(l.Resume >= 0 && l.Resume <= 1), "Resume is a part, from 0 to 1"},
	} {
		if problem.bad {
			return l, errors.New(problem.text)
		}
	}
	for kind, n := range l.Hostile {
		if err := l.checkHostile(kind, n); err != nil {
			return l, err
		}
	}
	if l.Connections == 0 {
		l.Connections = defaultConnections
	}
	if per := l.Rate / float64(l.Connections); l.Rate > 0 && (per > mostPlanned || per < leastPlanned) {
		return l, fmt.Errorf("Rate is %g, and with %d connections it's from %.1g to %.1g: choose another, or more connections",
			l.Rate, l.Connections, leastPlanned*float64(l.Connections), mostPlanned*float64(l.Connections))
	}
	if l.InFlight == 0 {
		l.InFlight = 1
	}
	if l.Duration == 0 && l.Messages == 0 {
		l.Duration = defaultDuration
	}
	if l.Timeout == 0 {
		l.Timeout = defaultTimeout
	}
	if l.Interval == 0 {
		l.Interval = defaultInterval
	}
	if l.MaxLag == 0 {
		l.MaxLag = defaultMaxLag
	}
	if l.Codec == nil {
		l.Codec = Echo{}
	}
	if c, ok := l.Codec.(limited); ok && l.Sizes.largest() > c.MaxSize() {
		return l, fmt.Errorf("messages have up to %d bytes, and with codec %v %d at most: choose smaller ones, or another codec",
			l.Sizes.largest(), l.Codec, c.MaxSize())
	}
	if l.Seed == 0 {
		l.Seed = rand.Uint32()
	}
	return l, nil
}

func (l Load) checkHostile(kind HostileKind, n int) error {
	if n < 0 {
		return fmt.Errorf("%s: a negative number of clients", kind)
	}
	return kind.check()
}

// describe is the load in the words of a result.
func (l Load) describe() result.Load {
	d := result.Load{
		Mode:        result.ClosedLoop,
		Connections: l.Connections,
		ConnectRate: l.ConnectRate,
		InFlight:    l.InFlight,
		Think:       l.Think,
		Lifetime:    l.Lifetime,
		Churn:       l.Churn,
		Resume:      l.Resume,
		Timeout:     l.Timeout,
		Sizes:       l.Sizes.String(),
		Codec:       l.Codec.String(),
		Verified:    !l.Unverified,
		Interval:    l.Interval,
	}
	for kind, n := range l.Hostile {
		if d.Hostile == nil {
			d.Hostile = map[string]uint64{}
		}
		d.Hostile[string(kind)] = uint64(n)
	}
	if l.Rate > 0 {
		d.Mode, d.Rate, d.Arrival = result.OpenLoop, l.Rate, "constant"
		if l.Poisson {
			d.Arrival = "poisson"
		}
	}
	return d
}
