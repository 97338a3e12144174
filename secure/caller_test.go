package secure_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// caller makes our clients' connections, one at a time, and does what dial does.
type caller struct {
	server.BaseCallback
	srv   *server.Server
	heard string
	ended chan error
}

func newCaller(t testing.TB) *caller {
	t.Helper()
	c := &caller{ended: make(chan error, 1)}
	var err error
	c.srv, err = server.New(server.Config{Callback: c, Logger: discard})
	must(t, err)
	must(t, c.srv.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), failSafe)
		defer cancel()
		if err := c.srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// dial connects, has something said again, and closes.
func (c *caller) dial(x *secure.Context, at, serverName string) error {
	ctx, cancel := context.WithTimeout(context.Background(), failSafe)
	defer cancel()
	c.heard = ""
	s, err := c.srv.Connect(ctx, server.Target{Network: "tls", Address: at, TLS: x, ServerName: serverName}, nil)
	if err != nil {
		return err
	}
	s.Release()
	return <-c.ended
}

// OnConnectionEstablished implements server.Callback.
func (c *caller) OnConnectionEstablished(s *conn.Stream, _ conn.Addr) {
	_ = s.Send([]byte(said))
	_ = s.ReadFull(len(said))
}

// OnReadCompleted implements server.Callback.
func (c *caller) OnReadCompleted(s *conn.Stream, b *buffers.Buffer) {
	c.heard = string(b.Bytes())
	_ = s.Shutdown()
}

// OnConnectionClosure implements server.Callback.
func (c *caller) OnConnectionClosure(s *conn.Stream, r conn.Reason) {
	_, err := s.Cause()
	if err == nil && c.heard != said {
		err = fmt.Errorf("it ended by %v after %q", r, c.heard)
	}
	c.ended <- err
}
