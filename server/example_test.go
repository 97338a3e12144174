package server_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// echo sends back what it receives.
type echo struct{ server.BaseCallback }

func (echo) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { c.Read() }
func (echo) OnReadCompleted(c *conn.Stream, b *buffers.Buffer)   { c.Write(b); c.Read() }

func Example() {
	srv, err := server.New(server.Config{
		Listeners: []server.Listener{{Name: "echo", Network: "tcp", Address: "127.0.0.1:0"}},
		Callback:  echo{},
	})
	if err != nil {
		panic(err)
	}
	if err := srv.Start(); err != nil {
		panic(err)
	}
	c, err := net.Dial("tcp", srv.Addrs()["echo"][0].String())
	if err != nil {
		panic(err)
	}
	_, _ = c.Write([]byte("hello"))
	_ = c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	fmt.Printf("%s\n", answer)
	fmt.Println(srv.Shutdown(context.Background()))
	// Output:
	// hello
	// <nil>
}
