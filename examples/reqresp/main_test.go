package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is the program as it runs, and what it logs.
type program struct {
	t       *testing.T
	address string
	reasons chan string // of the connections' ends
	errors  chan string
}

// start runs the program until the test ends.
func start(t *testing.T, idle time.Duration) *program {
	t.Helper()
	p := &program{t: t, reasons: make(chan string, 100), errors: make(chan string, 100)}
	addresses := make(chan string, 1)
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case "address":
				addresses <- a.Value.String()
			case "reason":
				p.reasons <- a.Value.String()
			case "error":
				p.errors <- a.Value.String()
			}
			return a
		},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, log, "tcp://127.0.0.1:0", idle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	p.address = <-addresses
	return p
}

func (p *program) dial() *client {
	p.t.Helper()
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return &client{p.t, c.(*net.TCPConn)}
}

type client struct {
	t *testing.T
	*net.TCPConn
}

// frame puts lengths in front of messages.
func frame(messages ...string) []byte {
	var p []byte
	for _, m := range messages {
		p = binary.BigEndian.AppendUint32(p, uint32(len(m)))
		p = append(p, m...)
	}
	return p
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// want reads a response.
func (c *client) want(response string) {
	c.t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		c.t.Fatalf("instead of %.40q: %v", response, err)
	}
	p := make([]byte, binary.BigEndian.Uint32(head))
	if _, err := io.ReadFull(c, p); err != nil || string(p) != response {
		c.t.Fatalf("got %.40q, %v, want %.40q", p, err, response)
	}
}

func (c *client) wantEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		c.t.Errorf("%q, %v, want the end", rest, err)
	}
}

var (
	questions = []string{"GET a", "SET a 1", "GET a", "SET a 2 3", "GET a", "GET", "GET ", "GET a b", "SET a", "DROP a", "", "SET b "}
	answers   = []string{"NONE", "OK", "VALUE 1", "OK", "VALUE 2 3", usage, usage, usage, usage, usage, usage, "OK"}
)

// One after the other.
func TestRequests(t *testing.T) {
	c := start(t, time.Minute).dial()
	for i, q := range questions {
		c.send(frame(q))
		c.want(answers[i])
	}
	long := strings.Repeat("x", maxMessage-len("SET k "))
	c.send(frame("SET k "+long, "GET k"))
	c.want("OK")
	c.want("VALUE " + long)
}

// However a stream of requests is cut.
func TestSegments(t *testing.T) {
	for size := 1; size < 20; size++ {
		c := start(t, time.Minute).dial()
		for piece := range slices.Chunk(frame(questions...), size) {
			c.send(piece)
		}
		for _, a := range answers {
			c.want(a)
		}
	}
}

// Any number of requests before the first response is read, in little memory: the store
// would refuse to have more than 1 MiB of output for a client.
func TestPipelining(t *testing.T) {
	const n = 300
	value := strings.Repeat("v", 60_000)
	c := start(t, time.Minute).dial()
	c.send(frame("SET long " + value))
	c.want("OK")
	var requests bytes.Buffer
	for i := range n {
		requests.Write(frame(fmt.Sprintf("SET key %d", i), "GET key", "GET long"))
	}
	c.send(requests.Bytes()) // all of them, before the 18 MB of responses are looked at
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.want("OK")
		c.want(fmt.Sprintf("VALUE %d", i))
		c.want("VALUE " + value)
	}
	c.wantEnd()
}

// Who sends a message that's too long hears so, behind the responses before, and is out.
// Nobody else notices.
func TestTooLong(t *testing.T) {
	p := start(t, time.Minute)
	bad, good := p.dial(), p.dial()
	good.send(frame("SET a 1"))
	good.want("OK")
	good.send(frame("GET a")[:6])
	bad.send(append(frame("GET a", "SET a 2"), 0, 1, 0, 1, 'S'))
	const why = "framing: message of 65537 bytes or more, the maximum is 65536"
	bad.want("VALUE 1")
	bad.want("OK")
	bad.want("ERROR " + why)
	bad.wantEnd()
	_ = bad.Close()
	if got := <-p.errors; got != why {
		t.Errorf("the log says %q", got)
	}
	if got := <-p.reasons; got != "local_shutdown" {
		t.Errorf("closed for %q", got)
	}
	good.send(frame("GET a")[6:])
	good.want("VALUE 2")
}

// A client that ends within a request gets the responses to those before.
func TestCutShort(t *testing.T) {
	p := start(t, time.Minute)
	c := p.dial()
	c.send(append(frame("SET a 1", "GET a"), 0, 0, 0, 5, 'G'))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.want("OK")
	c.want("VALUE 1")
	c.wantEnd()
	if got := <-p.errors; got != io.ErrUnexpectedEOF.Error() {
		t.Errorf("the log says %q", got)
	}
	if got := <-p.reasons; got != "peer_closed" {
		t.Errorf("closed for %q", got)
	}
}

// A client that's silent is shut down, be it within a request.
func TestIdle(t *testing.T) {
	p := start(t, 10*time.Millisecond)
	for _, sent := range [][]byte{nil, frame("GET a")[:7]} {
		c := p.dial()
		c.send(sent)
		c.wantEnd()
		_ = c.Close()
		if got := <-p.reasons; got != "idle" {
			t.Errorf("closed for %q", got)
		}
	}
}

// The store doesn't grow beyond its bound.
func TestFull(t *testing.T) {
	c := start(t, time.Minute).dial()
	for i := range maxKeys {
		c.send(frame(fmt.Sprintf("SET %d x", i)))
		c.want("OK")
	}
	c.send(frame("SET one-more x", "SET 0 y", "GET 0"))
	c.want("ERROR the store is full")
	c.want("OK")
	c.want("VALUE y")
}

func TestBadListener(t *testing.T) {
	for _, listen := range []string{"nowhere", "tcp://127.0.0.1:99999"} {
		if run(t.Context(), slog.New(slog.DiscardHandler), listen, time.Minute) == nil {
			t.Errorf("%q: no error", listen)
		}
	}
}
