// Command reqresp is a key-value store in memory, with a protocol of requests and
// responses: each is a message behind its length (4 bytes, the most significant first).
//
//	SET key value   OK, or what's wrong
//	GET key         the value in a VALUE, or NONE
//
// It shows framing, pipelining, slots, time-outs, and an end with a reason.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/server"
)

func main() {
	listen := flag.String("listen", "tcp://127.0.0.1:7001", "`URL` to listen on, tcp://host:port or unix:///path")
	idle := flag.Duration("idle", time.Minute, "how long a client may be silent")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C doesn't wait for the drain
	if err := run(ctx, slog.Default(), *listen, *idle); err != nil {
		slog.Error("reqresp", "error", err)
		os.Exit(1)
	}
}

const (
	maxMessage = 64 << 10
	maxKeys    = 1000 // with maxMessage, this bounds the store
	usage      = "ERROR want GET key, or SET key value"
)

// run serves until ctx ends, and drains.
func run(ctx context.Context, log *slog.Logger, listen string, idle time.Duration) error {
	listener, err := server.ParseListener(listen)
	if err != nil {
		return err
	}
	length, err := framing.NewLength(framing.LengthConfig{Max: maxMessage})
	if err != nil {
		return err
	}
	var slots conn.Slots
	s := &service{
		log:     log,
		alloc:   buffers.New(buffers.Config{}),
		framing: length,
		readers: conn.NewSlot[framing.Reader](&slots, "reader"),
		values:  map[string]string{},
	}
	s.writer = framing.NewWriter(length, s.alloc)
	s.srv, err = server.New(server.Config{
		Callback:  s,
		Listeners: []server.Listener{listener},
		Timeouts:  conn.Timeouts{Idle: idle},
		Allocator: s.alloc,
		Slots:     &slots,
		Logger:    log,
	})
	if err != nil {
		return err
	}
	return s.srv.Run(ctx)
}

// service is what the server calls. A connection's callbacks come one at a time, but those
// of several connections at once, from several loops: what they share is guarded.
type service struct {
	server.BaseCallback

	// Fixed before the start.
	log     *slog.Logger
	srv     *server.Server
	alloc   *buffers.Allocator
	framing *framing.Length
	writer  *framing.Writer
	readers conn.Slot[framing.Reader]

	mu     sync.Mutex
	values map[string]string // guarded by mu
}

// OnStartAcceptingConnections tells the addresses: of port 0 the system makes one.
func (s *service) OnStartAcceptingConnections() {
	for _, bound := range s.srv.Addrs() {
		s.log.Info("listening", "address", bound[0].String())
	}
}

// OnConnectionEstablished gives the connection its Reader.
func (s *service) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	s.readers.Set(c, framing.NewReader(s.framing, s.alloc))
	s.read(c)
}

// read asks for exactly what the next request still needs. A client may send any number of
// requests at once: those behind the next wait in the kernel, and as the response to one is
// written before the next is read, Flow.High holds for a client that doesn't read them.
func (s *service) read(c *conn.Stream) { _ = c.ReadFull(s.readers.Get(c).Need()) }

// OnReadCompleted has a header, or a whole request.
func (s *service) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	err := s.readers.Get(c).Feed(b, func(request *buffers.Buffer) error {
		return s.writer.Send(c, s.respond(request.Bytes()))
	})
	if err != nil {
		s.refuse(c, err)
		return
	}
	s.read(c)
}

// refuse ends a connection on which no further request can be found, because one is too
// long. The client hears why, behind the responses to what it asked before.
func (s *service) refuse(c *conn.Stream, err error) {
	s.log.Warn("refused", "connection", c.ID(), "error", err)
	_ = s.writer.Send(c, fmt.Appendf(nil, "ERROR %v", err))
	_ = c.Shutdown()
}

// respond does what's asked. The request is lent, and what's stored of it is copied.
func (s *service) respond(request []byte) []byte {
	command, rest, _ := bytes.Cut(request, []byte(" "))
	key, value, hasValue := bytes.Cut(rest, []byte(" "))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(key) == 0:
		return []byte(usage)
	case string(command) == "GET" && !hasValue:
		if v, found := s.values[string(key)]; found {
			return []byte("VALUE " + v)
		}
		return []byte("NONE")
	case string(command) == "SET" && hasValue:
		if _, found := s.values[string(key)]; !found && len(s.values) == maxKeys {
			return []byte("ERROR the store is full")
		}
		s.values[string(key)] = string(value)
		return []byte("OK")
	default:
		return []byte(usage)
	}
}

// OnReadCompletionError: the client ended its side within a request. What was asked before
// is still answered.
func (s *service) OnReadCompletionError(c *conn.Stream, _ *buffers.Buffer, err error) {
	s.log.Warn("cut short", "connection", c.ID(), "error", err)
}

// OnConnectionClosure gives back what the Reader has of a request. Each end has its reason.
func (s *service) OnConnectionClosure(c *conn.Stream, r conn.Reason) {
	_ = s.readers.Get(c).Close()
	s.log.Info("closed", "connection", c.ID(), "reason", r)
}
