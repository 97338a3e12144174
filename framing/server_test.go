package framing_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/server"
)

// echo returns each message of its one connection, and reads as read says.
type echo struct {
	server.BaseCallback
	reader *framing.Reader
	writer *framing.Writer
	read   func(*conn.Stream, *framing.Reader)
	closed func(conn.Reason, error)
}

func (e *echo) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { e.read(c, e.reader) }

func (e *echo) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	err := e.reader.Feed(b, func(msg *buffers.Buffer) error { return e.writer.Write(c, msg) })
	if err != nil {
		c.Abort(err)
		return
	}
	e.read(c, e.reader)
}

func (e *echo) OnConnectionClientClose(c *conn.Stream) {
	if err := e.reader.Close(); err != nil {
		c.Abort(err)
	}
}

func (e *echo) OnConnectionClosure(c *conn.Stream, reason conn.Reason) {
	_, err := c.Cause()
	_ = e.reader.Close()
	e.closed(reason, err)
}

// ways are how a connection may read for a Reader.
var ways = map[string]func(*conn.Stream, *framing.Reader){
	"Read":                func(c *conn.Stream, _ *framing.Reader) { c.Read() },
	"ReadFull":            func(c *conn.Stream, r *framing.Reader) { _ = c.ReadFull(r.Need()) },
	"ReadFull to a limit": func(c *conn.Stream, r *framing.Reader) { _ = c.ReadFull(min(r.Need(), 1000)) },
}

// serve runs an echo server for one connection, talks to it, and returns its end.
func serve(t *testing.T, read func(*conn.Stream, *framing.Reader), talk func(*net.TCPConn)) (reason conn.Reason, cause error) {
	t.Helper()
	a := newAllocator(t)
	length := must(framing.NewLength(framing.LengthConfig{Varint: true, Max: 50_000}))
	end := make(chan struct{})
	srv := must(server.New(server.Config{
		Listeners: []server.Listener{{Name: "echo", Network: "tcp", Address: "127.0.0.1:0"}},
		Allocator: a,
		Callback: &echo{
			reader: framing.NewReader(length, a),
			writer: framing.NewWriter(length, a),
			read:   read,
			closed: func(r conn.Reason, err error) { reason, cause = r, err; close(end) },
		},
	}))
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", srv.Addrs()["echo"][0].String())
	if err != nil {
		t.Fatal(err)
	}
	talk(c.(*net.TCPConn))
	<-end
	c.Close()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return reason, cause
}

// TestServerEchoesMessages: whichever way it reads, and however the client writes.
func TestServerEchoesMessages(t *testing.T) {
	for name, read := range ways {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			length := must(framing.NewLength(framing.LengthConfig{Varint: true}))
			var stream []byte
			for range 100 {
				stream = must(framing.Append(length, stream, letters(rng.IntN([]int{10, 300, 50_000}[rng.IntN(3)]))))
			}
			reason, cause := serve(t, read, func(c *net.TCPConn) {
				var writing sync.WaitGroup
				writing.Go(func() {
					for rest := stream; len(rest) > 0; {
						n := min(1+rng.IntN(20_000), len(rest))
						_, _ = c.Write(rest[:n])
						rest = rest[n:]
					}
					_ = c.CloseWrite()
				})
				got, err := io.ReadAll(c)
				writing.Wait()
				if err != nil || !bytes.Equal(got, stream) {
					t.Errorf("got %d bytes of %d, %v", len(got), len(stream), err)
				}
			})
			if cause != nil {
				t.Errorf("%v, %v", reason, cause)
			}
		})
	}
}

// TestServerTellsWhyItCloses: the Reader's error is the cause of the connection's end.
func TestServerTellsWhyItCloses(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		want       error
	}{
		{"too long", "\xff\xff\xff\x0f", framing.ErrTooLong},
		{"malformed", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", framing.ErrMalformed},
		{"incomplete", "\x05hell", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reason, cause := serve(t, ways["Read"], func(c *net.TCPConn) {
				_, _ = c.Write([]byte(tt.send))
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			})
			if reason != conn.ReasonLocalAbort || !errors.Is(cause, tt.want) {
				t.Errorf("%v, %v; want %v", reason, cause, tt.want)
			}
		})
	}
}
