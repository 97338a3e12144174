package result

import (
	"maps"
	"time"
)

// An Interval is a piece of the run: a second, unless it was asked otherwise.
type Interval struct {
	Phase  Phase         `json:"phase"`
	Start  time.Duration `json:"start_ns"` // since Result.Started
	Length time.Duration `json:"length_ns"`

	Counts

	// Histograms has the metrics that occurred.
	Histograms map[Metric]*Histogram `json:"histograms,omitempty"`
	// Errors has the kinds that occurred.
	Errors map[ErrorKind]uint64 `json:"errors,omitempty"`
	// Hostile has, by kind of hostile client, how many connections were open at the end
	// of the interval.
	Hostile map[string]uint64 `json:"hostile,omitempty"`
}

// Phase is what part of the run an interval is of.
type Phase string

// The phases, in their order.
const (
	Connecting Phase = "connect" // connections are made, no messages are sent; the time doesn't count
	Warmup     Phase = "warmup"  // not in the totals
	Measure    Phase = "measure" // what counts
	Drain      Phase = "drain"   // no new messages; replies still count, the time doesn't
)

// Counts are what happened in an interval.
type Counts struct {
	Planned  uint64 `json:"planned,omitempty"` // messages that an open loop's schedule had
	Sent     uint64 `json:"sent"`              // messages
	Received uint64 `json:"received"`          // replies, complete and right

	BytesSent     uint64 `json:"bytes_sent"`
	BytesReceived uint64 `json:"bytes_received"`

	Connected uint64 `json:"connected"` // connections made, with their handshake
	Closed    uint64 `json:"closed"`    // connections ended, however
	Open      uint64 `json:"open"`      // connections at the end of the interval

	ClientCPU time.Duration `json:"client_cpu_ns"` // of the client's processes, user and system
}

// Add adds all that can be summed over time. Open can't: it's that of the later interval.
func (c *Counts) Add(o Counts) {
	c.Planned += o.Planned
	c.Sent += o.Sent
	c.Received += o.Received
	c.BytesSent += o.BytesSent
	c.BytesReceived += o.BytesReceived
	c.Connected += o.Connected
	c.Closed += o.Closed
	c.ClientCPU += o.ClientCPU
}

// Metric names what the values of a histogram are the times of.
type Metric string

// The metrics. What is corrected counts from the time at which a message was planned to be
// sent, so that a server that stands still isn't forgiven the messages that it kept from
// being sent; in a closed loop nothing is planned, and both figures are the same. What the client
// itself was late by is Lag, and in nothing else.
const (
	Connect              Metric = "connect"
	HandshakeFull        Metric = "handshake_full"
	HandshakeResumed     Metric = "handshake_resumed"
	FirstByte            Metric = "first_byte"             // of a reply; corrected
	RoundTrip            Metric = "round_trip"             // corrected
	RoundTripUncorrected Metric = "round_trip_uncorrected" // from when it was sent
	Lag                  Metric = "lag"                    // by how much the client woke too late
)

// Metrics are all of them, in the order in which they're shown.
var Metrics = []Metric{Connect, HandshakeFull, HandshakeResumed, FirstByte, RoundTrip, RoundTripUncorrected, Lag}

// ErrorKind names a way in which a connection or a message has failed. The set is
// open to readers: later versions may have more.
type ErrorKind string

// The kinds. Those of [ErrorKind.Fault] are what verification finds.
const (
	ConnectRefused   ErrorKind = "connect_refused"
	ConnectTimeout   ErrorKind = "connect_timeout"
	ConnectFailed    ErrorKind = "connect_failed"
	HandshakeFailed  ErrorKind = "handshake_failed"
	HandshakeTimeout ErrorKind = "handshake_timeout"
	NoDescriptors    ErrorKind = "no_descriptors"
	NoPorts          ErrorKind = "no_ports"
	PeerClosed       ErrorKind = "closed_by_server" // with replies outstanding
	PeerReset        ErrorKind = "reset_by_server"
	ReplyTimeout     ErrorKind = "reply_timeout"
	WriteTimeout     ErrorKind = "write_timeout"
	IOFailed         ErrorKind = "io_failed"

	Lost        ErrorKind = "lost"        // the server has answered later messages and not this one
	Duplicated  ErrorKind = "duplicated"  // a reply that had come before
	Reordered   ErrorKind = "reordered"   // a reply that came after a later one
	Corrupted   ErrorKind = "corrupted"   // a reply with a wrong byte
	CrossTalk   ErrorKind = "cross_talk"  // a reply that belongs to another connection
	Unsolicited ErrorKind = "unsolicited" // bytes that are no reply to anything
)

// Fault reports whether the server gave other bytes than it should have.
func (k ErrorKind) Fault() bool {
	switch k {
	case Lost, Duplicated, Reordered, Corrupted, CrossTalk, Unsolicited:
		return true
	case ConnectRefused, ConnectTimeout, ConnectFailed, HandshakeFailed, HandshakeTimeout,
		NoDescriptors, NoPorts, PeerClosed, PeerReset, ReplyTimeout, WriteTimeout, IOFailed:
		return false
	default:
		return false
	}
}

// Absorb adds what another process counted in the same piece of time.
func (i *Interval) Absorb(o Interval) {
	i.Add(o.Counts)
	i.Open += o.Open
	i.Length = max(i.Length, o.Length)
	i.Histograms = addHistograms(i.Histograms, o.Histograms)
	i.Errors = addCounts(i.Errors, o.Errors)
	i.Hostile = addCounts(i.Hostile, o.Hostile)
}

// clone is deep.
func (i Interval) clone() Interval {
	i.Histograms = maps.Clone(i.Histograms)
	for m, h := range i.Histograms {
		i.Histograms[m] = h.clone()
	}
	i.Errors = maps.Clone(i.Errors)
	i.Hostile = maps.Clone(i.Hostile)
	return i
}

func addHistograms(to, from map[Metric]*Histogram) map[Metric]*Histogram {
	for m, h := range from {
		if to == nil {
			to = map[Metric]*Histogram{}
		}
		if to[m] == nil {
			to[m] = NewHistogram()
		}
		to[m].Merge(h)
	}
	return to
}

func addCounts[K comparable](to, from map[K]uint64) map[K]uint64 {
	for k, n := range from {
		if to == nil {
			to = map[K]uint64{}
		}
		to[k] += n
	}
	return to
}
