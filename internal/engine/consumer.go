package engine

import (
	"log/slog"
	"sync/atomic"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/reactor"
)

// Consumer is whom a connection works for. Everything is called on the connection's
// loop, one call at a time, without its lock. Buffers are lent: AddRef keeps them.
type Consumer interface {
	// Created comes first, before the descriptor is registered.
	Created(c *Conn, fd int)
	// Connecting: a connect to an address follows. With Created it comes for each
	// address that's tried.
	Connecting(c *Conn, to Addr)
	// ConnectFailed: an outgoing connection wasn't established. at is the last address
	// that was tried.
	ConnectFailed(c *Conn, at Addr, err error)
	// Established: reads and writes may begin.
	Established(c *Conn)
	// Upgraded: the session of an Upgrade is ready.
	Upgraded(c *Conn)
	// Read completes a read.
	Read(c *Conn, b *buffers.Buffer)
	// OutOfBand brings the out-of-band byte.
	OutOfBand(c *Conn, b *buffers.Buffer)
	// ClientClose: the peer won't send any more. Once, if at all.
	ClientClose(c *Conn)
	// MayContinue is asked before ReadError and WriteError of the entry that failed.
	// True is honoured only for io.ErrUnexpectedEOF; the error isn't reported then.
	MayContinue(c *Conn, b *buffers.Buffer, err error, dir Direction) bool
	// ReadError answers a read that failed; b has what had come, and is never nil. After
	// ErrCanceled, for an Upgrade, the connection goes on.
	ReadError(c *Conn, b *buffers.Buffer, err error)
	// WriteError answers a write that wasn't (wholly) sent.
	WriteError(c *Conn, b *buffers.Buffer, err error)
	// Written answers a write that was handed to the kernel; only with Env.Track.
	Written(c *Conn, b *buffers.Buffer)
	// WriteBlocked and WriteReady alternate: output rose above Flow.High, fell to
	// Flow.Low.
	WriteBlocked(c *Conn)
	WriteReady(c *Conn)
	// Reset precedes Closed if the peer or the network ended it.
	Reset(c *Conn, err error)
	// Closed: the descriptor is closed. established tells whether Established was
	// called.
	Closed(c *Conn, r Reason, established bool)
	// Released is the last call.
	Released(c *Conn)
}

// Direction of a failed operation.
type Direction uint8

// The directions.
const (
	Receiving Direction = iota
	Sending
)

// Category is a kind of socket, for switching its log on and off.
type Category uint8

// The categories.
const (
	CategoryTCP Category = iota
	CategoryUnix
	CategoryTLS // either, with a session
)

func (k Category) String() string {
	switch k {
	case CategoryTCP:
		return "tcp"
	case CategoryUnix:
		return "unix"
	case CategoryTLS:
		return "tls"
	default:
		return "unknown"
	}
}

// Categories is a set of them: of category k the bit 1<<k.
type Categories uint8

func (s Categories) has(k Category) bool { return s&(1<<k) != 0 }

// Env is what the connections of one listener share. But for Refuse it's immutable once
// InitShards was called.
type Env struct {
	Mux       *Mux
	Consumer  Consumer
	Memory    MemoryConsumer // with it there's Recv; Read and ReadFull aren't used then
	Allocator *buffers.Allocator
	Logger    *slog.Logger // nil: nothing is logged
	Muted     Categories   // nor is what's in these
	Sessions  SessionFactory
	Origin    string
	Category  Category
	Local     Addr // what the listener is bound to
	Wildcard  bool // Local isn't the connections' local address
	Flow      Flow
	Timeouts  Timeouts
	Track     bool // the consumer wants Written
	Debug     bool // misuse of references panics

	Refuse atomic.Bool // connections that are still on their way are refused

	key    EnvKey // of a shared one
	users  int    // … guarded by Mux.mu
	shards []*Shard
}

// InitShards makes the counters and caches, a set per loop.
func (e *Env) InitShards() {
	e.Flow = e.Flow.withDefaults(defaultFlow)
	e.Timeouts = e.Timeouts.withDefaults(defaultTimeouts)
	for _, r := range e.Mux.Group.Reactors() {
		e.shards = append(e.shards, &Shard{
			env: e, r: r, kernel: r.Kernel(), cache: r.Cache(e.Allocator), budget: e.Mux.TurnBudget,
			untimed: reactor.SampleEvery,
			gauges:  newGauges(),
		})
	}
}

// Counts sums the shards.
func (e *Env) Counts() Counts {
	var sum Counts
	// Closed before accepted, so that their difference is never negative.
	for i := int(counterCount) - 1; i >= 0; i-- {
		for _, s := range e.shards {
			sum[i] += s.published[i].Load()
		}
	}
	return sum
}
