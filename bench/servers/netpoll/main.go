// Command netpoll is an echo server on cloudwego/netpoll: the request handler writes back what
// the reader holds, and flushes. Its settings are the defaults, but for the number of pollers.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/cloudwego/netpoll"

	"github.com/sluice-net/sluice/bench/internal/fanout"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7000", "`address` to listen on")
	loops := flag.Int("loops", 1, "number of event loops")
	spread := flag.Bool("fanout", false, "send each message to all connections, from another goroutine")
	flag.Parse()
	if err := run(*addr, *loops, *spread); err != nil {
		fmt.Fprintln(os.Stderr, "netpoll:", err)
		os.Exit(1)
	}
}

func run(addr string, loops int, spread bool) error {
	if err := netpoll.Configure(netpoll.Config{PollerNum: loops, LoggerOutput: io.Discard}); err != nil {
		return err
	}
	l, err := netpoll.CreateListener("tcp", addr)
	if err != nil {
		return err
	}
	handle, options := echo, []netpoll.Option(nil)
	if spread {
		room := fanout.New(func(c netpoll.Connection, p []byte) { _ = write(c, p) })
		handle = func(_ context.Context, c netpoll.Connection) error {
			return take(c, func(p []byte) error {
				room.Received(c, p)
				return nil
			})
		}
		options = append(options, netpoll.WithOnDisconnect(func(_ context.Context, c netpoll.Connection) { room.Left(c) }))
	}
	loop, err := netpoll.NewEventLoop(handle, options...)
	if err != nil {
		return err
	}
	return loop.Serve(l)
}

func echo(_ context.Context, c netpoll.Connection) error {
	return take(c, func(p []byte) error { return write(c, p) })
}

// take lends f what has arrived.
func take(c netpoll.Connection, f func([]byte) error) error {
	r := c.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	if err := f(p); err != nil {
		return err
	}
	return r.Release()
}

// write doesn't return before all of p has been sent: p is lent to the writer without a copy.
func write(c netpoll.Connection, p []byte) error {
	if _, err := c.Writer().WriteBinary(p); err != nil {
		return err
	}
	return c.Writer().Flush()
}
