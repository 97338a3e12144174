// Command gnet is an echo server on gnet, written the way gnet's own examples
// write it: take what has arrived, write it back.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/panjf2000/gnet/v2"

	"github.com/sluice-net/sluice/bench/internal/fanout"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7000", "`address` to listen on")
	loops := flag.Int("loops", 1, "number of event loops")
	spread := flag.Bool("fanout", false, "send each message to all connections, with AsyncWrite")
	flag.Parse()

	var handler gnet.EventHandler = &echo{}
	if *spread {
		handler = &publisher{room: fanout.New(func(c gnet.Conn, p []byte) { _ = c.AsyncWrite(p, nil) })}
	}
	// TCP_NODELAY is on by default, the logger is not needed: a server that
	// can't start returns its error here.
	err := gnet.Run(handler, "tcp://"+*addr, gnet.WithNumEventLoop(*loops), gnet.WithLogger(silent{}))
	if err != nil {
		fmt.Fprintln(os.Stderr, "gnet:", err)
		os.Exit(1)
	}
}

type echo struct{ gnet.BuiltinEventEngine }

func (*echo) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(buf); err != nil {
		return gnet.Close
	}
	return gnet.None
}

type publisher struct {
	gnet.BuiltinEventEngine
	room *fanout.Room[gnet.Conn]
}

func (h *publisher) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	h.room.Received(c, buf)
	return gnet.None
}

func (h *publisher) OnClose(c gnet.Conn, _ error) gnet.Action {
	h.room.Left(c)
	return gnet.None
}

type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}
