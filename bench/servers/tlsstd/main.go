// Command tlsstd is the TLS echo that one writes without a framework: crypto/tls, and a
// goroutine for each connection.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/sluice-net/sluice/bench/internal/certificate"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "tlsstd:", run(*addr))
	os.Exit(1)
}

// run returns only when it fails.
func run(addr string) error {
	der, key, err := certificate.New()
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", addr, &tls.Config{
		Certificates:                []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		DynamicRecordSizingDisabled: true,
	})
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go echo(c)
	}
}

func echo(c net.Conn) {
	defer func() { _ = c.Close() }()
	p := make([]byte, 16<<10)
	for {
		n, err := c.Read(p)
		if err != nil {
			return
		}
		if _, err := c.Write(p[:n]); err != nil {
			return
		}
	}
}
