package framing_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/server"
)

// upper answers each message of up to 1000 bytes, behind a length of 2 bytes, with the
// same in capital letters.
type upper struct {
	server.BaseCallback

	alloc   *buffers.Allocator
	framing *framing.Length
	writer  *framing.Writer
	readers sync.Map // *framing.Reader by the connection's ID
}

func (u *upper) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	u.readers.Store(c.ID(), framing.NewReader(u.framing, u.alloc))
	c.Read()
}

func (u *upper) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	err := u.reader(c).Feed(b, func(msg *buffers.Buffer) error { return u.answer(c, msg) })
	if err != nil {
		c.Abort(err)
		return
	}
	c.Read()
}

// answer changes the message in the memory of the read, which nobody else looks at, and
// sends it from there.
func (u *upper) answer(c *conn.Stream, msg *buffers.Buffer) error {
	p := msg.Bytes()
	for i, letter := range p {
		if 'a' <= letter && letter <= 'z' {
			p[i] = letter - 'a' + 'A'
		}
	}
	return u.writer.Write(c, msg)
}

func (u *upper) OnConnectionClientClose(c *conn.Stream) {
	if err := u.reader(c).Close(); err != nil {
		c.Abort(err) // it ended within a message
	}
}

func (u *upper) OnConnectionClosure(c *conn.Stream, reason conn.Reason) {
	_ = u.reader(c).Close() // gives the memory back
	u.readers.Delete(c.ID())
	var tooLong *framing.TooLongError
	if _, err := c.Cause(); errors.As(err, &tooLong) {
		fmt.Println(reason, tooLong.Size, "bytes")
	}
}

func (u *upper) reader(c *conn.Stream) *framing.Reader {
	r, _ := u.readers.Load(c.ID())
	return r.(*framing.Reader)
}

// Example is a server for messages with a length in front.
func Example() {
	length, err := framing.NewLength(framing.LengthConfig{Bytes: 2, Max: 1000})
	if err != nil {
		panic(err)
	}
	alloc := buffers.New(buffers.Config{})
	srv, err := server.New(server.Config{
		Listeners: []server.Listener{{Name: "upper", Network: "tcp", Address: "127.0.0.1:0"}},
		Callback:  &upper{alloc: alloc, framing: length, writer: framing.NewWriter(length, alloc)},
		Allocator: alloc,
	})
	if err != nil {
		panic(err)
	}
	if err := srv.Start(); err != nil {
		panic(err)
	}

	c, err := net.Dial("tcp", srv.Addrs()["upper"][0].String())
	if err != nil {
		panic(err)
	}
	_, _ = c.Write([]byte("\x00\x05hello\x00\x05wo"))
	fmt.Println(message(c))
	_, _ = c.Write([]byte("rld"))
	fmt.Println(message(c))
	_, _ = c.Write([]byte("\xff\xff"))
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()

	fmt.Println(srv.Shutdown(context.Background()))
	fmt.Println(alloc.Stats().Outstanding, "buffers are left")
	// Output:
	// HELLO
	// WORLD
	// local_abort 65535 bytes
	// <nil>
	// 0 buffers are left
}

// message reads one on the other end.
func message(c net.Conn) string {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		return err.Error()
	}
	p := make([]byte, binary.BigEndian.Uint16(head))
	if _, err := io.ReadFull(c, p); err != nil {
		return err.Error()
	}
	return string(p)
}

func ExampleReader() {
	alloc := buffers.New(buffers.Config{})
	line, err := framing.NewLine(framing.LineConfig{Max: 80})
	if err != nil {
		panic(err)
	}
	r := framing.NewReader(line, alloc)
	for _, read := range []string{"one\r\ntwo\nth", "ree\nfo"} {
		b := alloc.Copy([]byte(read))
		err := r.Feed(b, func(msg *buffers.Buffer) error {
			fmt.Printf("%s\n", msg.Bytes())
			return nil
		})
		b.Release()
		if err != nil {
			panic(err)
		}
	}
	fmt.Println(r.Close())
	// Output:
	// one
	// two
	// three
	// framing: the stream ended with 2 of at least 3 bytes of a message: unexpected EOF
}

func ExampleAppend() {
	varint, err := framing.NewLength(framing.LengthConfig{Varint: true})
	if err != nil {
		panic(err)
	}
	var p []byte
	for _, msg := range []string{"two", "messages"} {
		if p, err = framing.Append(varint, p, []byte(msg)); err != nil {
			panic(err)
		}
	}
	fmt.Printf("%q\n", p) // for one Send
	// Output: "\x03two\bmessages"
}
