// Command tlsnbio is the TLS echo on nbio, with one poller, and with the crypto/tls that nbio
// brings: a fork that doesn't block. Its settings are the defaults.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio"
	nbiotls "github.com/lesismal/nbio/extension/tls"
	"github.com/lesismal/nbio/logging"

	"github.com/sluice-net/sluice/bench/internal/certificate"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	flag.Parse()
	if err := run(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "tlsnbio:", err)
		os.Exit(1)
	}
}

func run(addr string) error {
	logging.SetLevel(logging.LevelNone)
	der, key, err := certificate.New()
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates:                []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		DynamicRecordSizingDisabled: true,
	}
	engine := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{addr}, NPoller: 1})
	engine.OnOpen(nbiotls.WrapOpen(config, false, nil))
	engine.OnClose(nbiotls.WrapClose(func(_ *nbio.Conn, c *nbiotls.Conn, _ error) { _ = c.Close() }))
	// One buffer for all: there's one poller.
	buffer := make([]byte, 16<<10)
	engine.OnData(nbiotls.WrapData(
		func(c *nbio.Conn, t *nbiotls.Conn, p []byte) {
			if _, err := t.Write(p); err != nil {
				_ = c.Close()
			}
		},
		func() []byte { return buffer },
	))
	if err := engine.Start(); err != nil {
		return err
	}
	engine.Wait()
	return nil
}
