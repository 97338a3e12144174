package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the program before a backend until the test ends, and returns its address.
func start(t *testing.T, backend string, size int, timeout time.Duration) string {
	t.Helper()
	addresses := make(chan string, 1)
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "address" {
				addresses <- a.Value.String()
			}
			return a
		},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, log, options{listen: "tcp://127.0.0.1:0", backend: "tcp://" + backend, size: size, timeout: timeout})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return <-addresses
}

// backend is a server behind.
type backend struct {
	address string
	up      chan struct{} // a token for each connection
	stop    func()        // ends it with all its connections
}

// listen starts a backend that has each connection served by serve, on its own goroutine.
func listen(t *testing.T, address string, serve func(net.Conn)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{address: l.Addr().String(), up: make(chan struct{}, 100)}
	var (
		mu     sync.Mutex
		open   []net.Conn
		served sync.WaitGroup
	)
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			served.Go(func() {
				defer c.Close()
				serve(c)
			})
			b.up <- struct{}{}
		}
	})
	b.stop = sync.OnceFunc(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		served.Wait()
	})
	t.Cleanup(b.stop)
	return b
}

// shout answers each request with the same in capital letters.
func shout(c net.Conn) {
	for {
		request, err := receive(c)
		if err != nil {
			return
		}
		if _, err := c.Write(frame(strings.ToUpper(request))); err != nil {
			return
		}
	}
}

func frame(message string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

func receive(c net.Conn) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return "", err
	}
	p := make([]byte, binary.BigEndian.Uint32(head))
	_, err := io.ReadFull(c, p)
	return string(p), err
}

type client struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t, c}
}

func (c *client) send(request string) {
	c.t.Helper()
	if _, err := c.Write(frame(request)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) response() string {
	c.t.Helper()
	s, err := receive(c)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// wait asks until the pool has a link that answers.
func (c *client) wait() {
	c.t.Helper()
	for {
		c.send("ready?")
		switch r := c.response(); {
		case r == "READY?":
			return
		case !strings.HasPrefix(r, "ERROR "):
			c.t.Fatalf("%q", r)
		}
	}
}

// Many clients with many requests at once share a few links, and each gets its own
// responses, in order, and after its half-close the end.
func TestManyClients(t *testing.T) {
	t.Parallel()
	const clients, requests, size = 20, 100, 3
	b := listen(t, "127.0.0.1:0", shout)
	address := start(t, b.address, size, time.Minute)
	for range size {
		<-b.up
	}
	var all sync.WaitGroup
	for k := range clients {
		c := dial(t, address)
		c.wait()
		all.Go(func() {
			var questions bytes.Buffer
			for n := range requests {
				questions.Write(frame(fmt.Sprintf("client %d asks %d", k, n)))
			}
			if _, err := c.Write(questions.Bytes()); err != nil {
				t.Error(err)
			}
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			for n := range requests {
				want := fmt.Sprintf("CLIENT %d ASKS %d", k, n)
				if got, err := receive(c); err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
					return
				}
			}
			if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
				t.Errorf("%q, %v, want the end", rest, err)
			}
		})
	}
	all.Wait()
}

// A backend that dies: those whose requests are in flight hear so, their connections live,
// and when there's a backend again, the pool finds it.
func TestBackendDies(t *testing.T) {
	t.Parallel()
	const clients = 3
	got := make(chan string, clients)
	dying := listen(t, "127.0.0.1:0", func(c net.Conn) {
		for {
			request, err := receive(c)
			if err != nil {
				return
			}
			if request == "ready?" {
				_, _ = c.Write(frame("READY?"))
			} else {
				got <- request
			}
		}
	})
	address := start(t, dying.address, 2, time.Minute)
	var all []*client
	for range clients {
		c := dial(t, address)
		c.wait()
		all = append(all, c)
	}
	for i, c := range all {
		c.send(fmt.Sprint("question ", i))
		<-got
	}
	dying.stop()
	for _, c := range all {
		if r := c.response(); !strings.HasPrefix(r, "ERROR the connection to the backend has ended: ") {
			t.Errorf("%q", r)
		}
	}
	again := listen(t, dying.address, shout)
	for range 2 { // both links
		<-again.up
	}
	for i, c := range all {
		c.wait()
		c.send(fmt.Sprint("question ", i))
		if r := c.response(); r != fmt.Sprint("QUESTION ", i) {
			t.Errorf("%q", r)
		}
	}
}

// Without a backend a client hears so at once, and the program ends while it pauses.
func TestNoBackend(t *testing.T) {
	t.Parallel()
	b := listen(t, "127.0.0.1:0", nil)
	b.stop()
	c := dial(t, start(t, b.address, 2, time.Minute))
	for range 3 {
		c.send("question")
		if r := c.response(); r != "ERROR no backend" {
			t.Errorf("%q", r)
		}
	}
}

// A backend that takes too long is given up.
func TestLate(t *testing.T) {
	t.Parallel()
	b := listen(t, "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c := dial(t, start(t, b.address, 1, 20*time.Millisecond))
	for {
		c.send("question")
		r := c.response()
		if r == "ERROR the connection to the backend has ended: local_abort" {
			return
		}
		if r != "ERROR no backend" {
			t.Fatalf("%q", r)
		}
	}
}

// A backend that ends its side, or says what nobody asked, is given up, too, and connected
// with again.
func TestStrangeBackend(t *testing.T) {
	t.Parallel()
	for name, strange := range map[string]func(net.Conn){
		"ends":    func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); _, _ = io.Copy(io.Discard, c) },
		"unasked": func(c net.Conn) { _, _ = c.Write(frame("by the way")); _, _ = io.Copy(io.Discard, c) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := listen(t, "127.0.0.1:0", strange)
			start(t, b.address, 1, time.Minute)
			for range 3 {
				<-b.up
			}
		})
	}
}

// A request that's too long ends its client only.
func TestTooLong(t *testing.T) {
	t.Parallel()
	b := listen(t, "127.0.0.1:0", shout)
	address := start(t, b.address, 1, time.Minute)
	good, bad := dial(t, address), dial(t, address)
	good.wait()
	if _, err := bad.Write([]byte{0, 1, 0, 1}); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(bad); err == nil {
		t.Errorf("%q, want a reset", rest)
	}
	good.wait()
}

func TestBadFlags(t *testing.T) {
	for _, o := range []options{{listen: "nowhere", backend: "tcp://127.0.0.1:1"}, {listen: "tcp://127.0.0.1:0", backend: "nowhere"}, {listen: "tcp://127.0.0.1:99999", backend: "tcp://127.0.0.1:1"}} {
		if run(t.Context(), slog.New(slog.DiscardHandler), o) == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
