// Command nbio is an echo server on nbio, written the way nbio's own example writes it:
// what OnData brings is written back. Its settings are the defaults, but for the number of
// pollers.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"

	"github.com/sluice-net/sluice/bench/internal/fanout"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7000", "`address` to listen on")
	loops := flag.Int("loops", 1, "number of event loops")
	spread := flag.Bool("fanout", false, "send each message to all connections, from another goroutine")
	flag.Parse()
	logging.SetLevel(logging.LevelNone)

	engine := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{*addr}, NPoller: *loops})
	if *spread {
		room := fanout.New(func(c *nbio.Conn, p []byte) { _, _ = c.Write(p) })
		engine.OnData(room.Received)
		engine.OnClose(func(c *nbio.Conn, _ error) { room.Left(c) })
	} else {
		engine.OnData(func(c *nbio.Conn, p []byte) {
			if _, err := c.Write(p); err != nil {
				_ = c.Close()
			}
		})
	}
	if err := engine.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "nbio:", err)
		os.Exit(1)
	}
	engine.Wait()
}
