package secure_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// A server with a certificate that it makes itself. Where there are files:
//
//	Certificates: []secure.Certificate{{CertFile: "cert.pem", KeyFile: "key.pem"}}
//
// and, so that new ones are taken when they come:
//
//	go ctx.Watch(context.Background(), time.Tick(10*time.Second))
func ExampleNewContext() {
	self, err := secure.SelfSigned(time.Hour, "localhost")
	if err != nil {
		panic(err)
	}
	x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{self}, ALPN: []string{"echo"}, Logger: discard})
	if err != nil {
		panic(err)
	}
	srv, err := server.New(server.Config{
		Listeners: []server.Listener{{Name: "echo", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
		Callback:  echo{},
	})
	if err != nil {
		panic(err)
	}
	if err := srv.Start(); err != nil {
		panic(err)
	}

	roots := x509.NewCertPool()
	leaf, _ := x509.ParseCertificate(self.Pair.Certificate[0])
	roots.AddCert(leaf)
	c, err := tls.Dial("tcp", srv.Addrs()["echo"][0].String(), &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"echo"}})
	if err != nil {
		panic(err)
	}
	_, _ = c.Write([]byte("hello"))
	_ = c.CloseWrite()
	answer, _ := io.ReadAll(c)
	fmt.Printf("%s, by %s\n", answer, c.ConnectionState().NegotiatedProtocol)
	_ = c.Close()
	fmt.Println(srv.Shutdown(context.Background()))
	// Output:
	// hello, by echo
	// <nil>
}
