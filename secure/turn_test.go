package secure

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// telltale is a handshake's network that counts what's said.
type telltale struct {
	net.Conn
	writes int
}

func (c *telltale) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// Gate: a client's handshake that's ended while it waits for its turn computes nothing any more,
// for it would do so without a slot.
func TestEndedBeforeItsTurn(t *testing.T) {
	gate := NewGate(1, 0)
	gate.enter(nil)
	if err := gate.begin(); err != nil {
		t.Fatal(err)
	}
	l := &live{alloc: buffers.New(buffers.Config{}), woken: make(chan struct{}, 1)}
	hs := newHandshake(conn.Client, l, gate)
	c := &telltale{Conn: &transport{hs: hs, host: l}}
	hs.end(conn.ErrClosed)
	hs.run(tls.Client(c, &tls.Config{ServerName: "a.test"}))
	if c.writes > 0 {
		t.Error("it has made a ClientHello")
	}
	gate.leave()
	if n := gate.Pending(); n != 0 || !gate.enter(nil) {
		t.Errorf("%d handshakes are under way", n)
	}
}
