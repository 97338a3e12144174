// Command std is the echo server that one writes without a framework: a goroutine for each
// connection, with a buffer of its own.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/sluice-net/sluice/bench/internal/fanout"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7000", "`address` to listen on")
	_ = flag.Int("loops", 1, "for the sake of the other servers: there are none here, only GOMAXPROCS")
	spread := flag.Bool("fanout", false, "send each message to all connections, from another goroutine")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "std:", run(*addr, *spread))
	os.Exit(1)
}

// run returns only when it fails.
func run(addr string, spread bool) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	received := func(c net.Conn, p []byte) error {
		_, err := c.Write(p)
		return err
	}
	left := func(net.Conn) {}
	if spread {
		room := fanout.New(func(c net.Conn, p []byte) { _, _ = c.Write(p) })
		received = func(c net.Conn, p []byte) error {
			room.Received(c, p)
			return nil
		}
		left = room.Left
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			serve(c, received)
			left(c)
		}()
	}
}

func serve(c net.Conn, received func(net.Conn, []byte) error) {
	defer func() { _ = c.Close() }()
	p := make([]byte, 16<<10)
	for {
		n, err := c.Read(p)
		if err != nil {
			return
		}
		if err := received(c, p[:n]); err != nil {
			return
		}
	}
}
