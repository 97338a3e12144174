package engine_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/internal/testenv"
)

// nobody is an engine.Consumer that does nothing.
type nobody struct{}

func (nobody) Created(*engine.Conn, int)               {}
func (nobody) Established(*engine.Conn)                {}
func (nobody) Upgraded(*engine.Conn)                   {}
func (nobody) Read(*engine.Conn, *buffers.Buffer)      {}
func (nobody) OutOfBand(*engine.Conn, *buffers.Buffer) {}
func (nobody) ClientClose(*engine.Conn)                {}
func (nobody) MayContinue(*engine.Conn, *buffers.Buffer, error, engine.Direction) bool {
	return false
}
func (nobody) ReadError(*engine.Conn, *buffers.Buffer, error)  {}
func (nobody) WriteError(*engine.Conn, *buffers.Buffer, error) {}
func (nobody) Written(*engine.Conn, *buffers.Buffer)           {}
func (nobody) WriteBlocked(*engine.Conn)                       {}
func (nobody) WriteReady(*engine.Conn)                         {}
func (nobody) Reset(*engine.Conn, error)                       {}
func (nobody) Connecting(*engine.Conn, engine.Addr)            {}
func (nobody) ConnectFailed(*engine.Conn, engine.Addr, error)  {}
func (nobody) Closed(*engine.Conn, engine.Reason, bool)        {}
func (nobody) Released(*engine.Conn)                           {}

// openHouse admits everybody; it may be called from several loops.
type openHouse struct{ refused atomic.Int64 }

func (*openHouse) Ended()                        {}
func (*openHouse) Placed()                       {}
func (*openHouse) Admit() bool                   { return true }
func (*openHouse) Offer(engine.Addr) (any, bool) { return nil, true }
func (h *openHouse) Cancel()                     { h.refused.Add(1) }
func (*openHouse) AcceptFailed(error, bool)      {}

// netSetup is a listener on real sockets.
type netSetup struct {
	loops    int
	unix     bool
	spread   bool
	consumer engine.Consumer // nil: one that holds each connection
	env      *engine.Env     // the rest
}

// network is real sockets, real loops, a real clock.
type network struct {
	mux         *engine.Mux
	env         *engine.Env
	addr        sys.Addr
	acceptor    *engine.Acceptor
	established chan *engine.Conn
}

// holder is the default consumer: it holds each connection and passes it on.
type holder struct {
	nobody
	established chan *engine.Conn
}

func (h *holder) Established(c *engine.Conn) { h.established <- c.AddRef() }

// newNet starts a listener, which is stopped at the end of the test; every buffer must
// have been given back then.
func newNet(t testing.TB, s netSetup) *network {
	t.Helper()
	mux, err := engine.NewMux(engine.MuxConfig{Loops: s.loops, SlowCallback: -1})
	must(t, err)
	if s.env == nil {
		s.env = &engine.Env{}
	}
	n := &network{mux: mux, env: s.env, established: make(chan *engine.Conn, 100)}
	n.env.Mux, n.env.Consumer, n.env.Allocator = mux, s.consumer, buffers.New(buffers.Config{})
	if s.consumer == nil {
		n.env.Consumer = &holder{established: n.established}
	}
	spec := sys.ListenSpec{Addr: sys.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}}
	if s.unix {
		n.env.Category = engine.CategoryUnix
		spec.Addr = sys.Addr{Path: filepath.Join(testenv.SocketDir(t), "s")}
	}
	fd, addr, err := sys.ListenOn(&sys.OS{}, spec)
	must(t, err)
	n.addr, n.env.Local = addr, addr
	n.env.InitShards()
	must(t, mux.Start())
	n.acceptor, err = engine.NewAcceptor(n.env, &openHouse{}, mux.Group.Reactors()[0], fd, s.spread)
	must(t, err)
	t.Cleanup(func() {
		must(t, mux.Terminate())
		if s := n.env.Allocator.Stats(); s.Outstanding != 0 || s.Misuses != 0 {
			t.Errorf("%d buffers with %d bytes weren't given back, %d misuses", s.Outstanding, s.InUse, s.Misuses)
		}
	})
	return n
}

// dial connects a client, which is closed at the end of the test.
func (n *network) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial(n.addr.Network(), n.addr.String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}
