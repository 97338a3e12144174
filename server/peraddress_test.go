package server_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// originKernel is the system's, but says that connections come from other addresses: those
// that next tells, or all from one.
type originKernel struct {
	sys.OS

	mu   sync.Mutex
	from netip.Addr
	next func() netip.Addr // nil: from
}

func (k *originKernel) set(ip string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.from = netip.MustParseAddr(ip)
}

func (k *originKernel) Accept(fd int) (int, sys.Addr, sys.Errno) {
	got, peer, errno := k.OS.Accept(fd)
	if errno != 0 {
		return got, peer, errno
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	ip := k.from
	if k.next != nil {
		ip = k.next()
	}
	return got, sys.Addr{AddrPort: netip.AddrPortFrom(ip, peer.AddrPort.Port())}, 0
}

// mustBeRefused connects and fails unless that's reset, be it as early as in the dial. A
// Unix-domain socket that had nothing to read ends instead.
func (f *fixture) mustBeRefused() {
	f.t.Helper()
	p, err := tryDial(f.t, f.network, f.addr)
	if err == nil {
		_, err = p.Read(make([]byte, 1))
		p.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) && !(f.network == "unix" && errors.Is(err, io.EOF)) {
		f.t.Errorf("%v, want a reset", err)
	}
}

// contract.md, Connection limits: a peer's connection over Listener.MaxPerAddress is reset
// and counted, no callback hears of it, and nobody else notices; the next is served once
// one of its own has been closed.
func TestMaxPerAddress(t *testing.T) {
	k := &originKernel{}
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, kernel(t, k, 2), func(c *server.Config) { c.Listeners[0].MaxPerAddress = 2 })
	served := map[string][]*peer{}
	for i, tt := range []struct {
		from  string
		reset bool
	}{
		{"192.0.2.1", false}, {"192.0.2.1", false}, {"192.0.2.1", true}, {"192.0.2.1", true},
		{"192.0.2.2", false}, {"192.0.2.2", false}, {"192.0.2.2", true},
		{"2001:db8::1", false}, {"2001:db8::2", false}, {"2001:db8::3", true},
		{"2001:db8:0:1::1", false},
	} {
		k.set(tt.from)
		if tt.reset {
			f.mustBeRefused()
			continue
		}
		p := f.dial()
		p.echo(fmt.Sprint("client ", i))
		served[tt.from] = append(served[tt.from], p)
	}
	if got := f.mainStats(); got.Rejected[server.RejectedPerAddress] != 4 || got.Accepted != 7 || got.Open != 7 {
		t.Errorf("%d refused, %d accepted, %d open", got.Rejected[server.RejectedPerAddress], got.Accepted, got.Open)
	}
	for _, own := range served {
		for _, p := range own {
			p.echo("nobody else suffers")
		}
	}
	served["192.0.2.1"][0].Close()
	rec.released(t, rec.next(t, 0))
	k.set("192.0.2.1")
	f.dial().echo("my turn")
	f.mustBeRefused()
	if n := f.logs.count("a connection is refused"); n == 0 {
		t.Error("nothing is logged")
	}
}

// contract.md, Connection limits: what counts is the open descriptor: a reference that
// somebody keeps doesn't lock its peer out.
func TestMaxPerAddressCountsDescriptors(t *testing.T) {
	rec := newRecorder(echoing())
	rec.do.established = func(c *conn.Stream) { c.AddRef(); c.Read() }
	rec.do.clientClose = func(c *conn.Stream) { _ = c.Shutdown() }
	f := start(t, "tcp", rec, func(c *server.Config) { c.Listeners[0].MaxPerAddress = 1 })
	for i := range 3 {
		p := f.dial()
		p.echo("served")
		p.Close()
		rec.ended(t, rec.next(t, i))
	}
	if st := f.srv.Stats(); st.Held != 3 || st.Open != 0 || f.mainStats().Rejected[server.RejectedPerAddress] != 0 {
		t.Errorf("%d held, %d open, %v refused", st.Held, st.Open, f.mainStats().Rejected)
	}
	for i := range 3 {
		rec.next(t, i).stream.Release()
	}
}

// contract.md, Connection limits: under churn no peer ever has more than it may, what was
// refused is exactly what was reset, and in the end no count is left behind.
func TestMaxPerAddressUnderChurn(t *testing.T) {
	const limit, peers, total, clients, cycles = 2, 3, 5, 12, 40
	var turn atomic.Uint32
	address := func(i uint32) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i % peers)}) }
	k := &originKernel{next: func() netip.Addr { return address(turn.Add(1)) }}
	var srv atomic.Pointer[server.Server]
	rec := newRecorder(echoing())
	rec.do.established = func(c *conn.Stream) {
		n := 0
		for o := range srv.Load().Connections() {
			if o.RemoteAddr().AddrPort.Addr() == c.RemoteAddr().AddrPort.Addr() {
				n++
			}
		}
		if n > limit {
			t.Errorf("%v has %d connections", c.RemoteAddr().AddrPort.Addr(), n)
		}
		c.Read()
	}
	f := start(t, "tcp", rec, kernel(t, k, 2), func(c *server.Config) {
		c.Listeners[0].MaxPerAddress = limit
		c.Listeners[0].ReusePort = true
		c.MaxConnections = total
	})
	srv.Store(f.srv)
	var resets atomic.Uint64
	var all []*job
	for range clients {
		all = append(all, spawn("a client", func() error {
			for range cycles {
				err := visit(t, f, "main")
				if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
					resets.Add(1)
				} else if err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, j := range all {
		j.wait(t)
	}
	// Those who have left are counted until their descriptors are closed.
	for f.srv.Stats().Open > 0 {
		f.turn()
	}
	if n := f.mainStats().Rejected[server.RejectedPerAddress]; n == 0 || n != resets.Load() {
		t.Errorf("%d are counted as refused, %d were reset", n, resets.Load())
	}
	for i := range total {
		f.dial().echo(fmt.Sprint("room for ", i)) // and it stays
	}
}

// turn returns when a loop has turned.
func (f *fixture) turn() {
	f.t.Helper()
	passed := make(chan struct{})
	if err := f.srv.Mux().Post(func() { close(passed) }); err != nil {
		f.t.Fatal(err)
	}
	receive(f.t, passed, "a turn of the loop")
}
