package sim_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
)

// sockets is a program in the ISocket view: a listening socket that echoes, and clients that
// connect to hosts that do.
type sockets struct {
	w     *sim.World
	mux   *engine.Mux
	alloc *buffers.Allocator
	flow  conn.Flow
	times conn.Timeouts
	unix  bool
	users []*socketUser
	peers map[string]*echoPeer
	work  int // goroutines
	ready bool
	over  bool // the listener has ended
}

// runSockets is the whole life of such a program.
func runSockets(w *sim.World) {
	p := &sockets{
		w: w, alloc: buffers.New(buffers.Config{Debug: true}), unix: w.IntN(2) == 0, peers: map[string]*echoPeer{},
		flow:  pick(w, conn.Flow{}, conn.Flow{High: 30, Low: 10, MaxPending: 300}),
		times: conn.Timeouts{Read: pick(w, 0, 0, time.Second), Write: pick(w, 0, 5*time.Second), Linger: time.Second},
	}
	w.Faults = sim.Faults{
		Switch: pick(w, 50, 500), Short: pick(w, 0, 300), Again: pick(w, 0, 100),
		Accept: pick(w, 0, 0, 100), Call: pick(w, 0, 0, 5), Stale: pick(w, 0, 100),
	}
	n := 0
	mux, err := engine.NewMux(engine.MuxConfig{
		Loops: 1 + w.IntN(2), SlowCallback: -1, TurnBudget: pick(w, 0, 1, 100), Logger: slog.New(slog.DiscardHandler),
		Reactor: reactor.Config{NewPoller: w.NewPoller, Kernel: w.Kernel, Clock: w.Clock, Spawn: func(f func()) {
			n++
			w.Spawn(fmt.Sprintf("spawned %d", n), f)
		}},
	})
	if err != nil {
		return
	}
	p.mux = mux
	if err := mux.Start(); err != nil {
		panic(err)
	}
	at := tcpAt
	if p.unix {
		at = unixAt
	}
	l := &doorman{sockets: p}
	door := p.socket(l)
	if p.unix {
		_ = door.Bind("@sluice", 0)
	} else {
		_ = door.Bind("127.0.0.1", 7007)
	}
	w.Wait("the listener", func() bool { return p.ready || p.over })
	if p.ready {
		for i := range 1 + w.IntN(4) {
			p.addPeer(fmt.Sprintf("c%d", i), at)
		}
	}
	p.addHosts()
	for i := range w.IntN(4) {
		p.dial(i)
	}
	w.Quiet()
	p.checkProgress()
	w.Sleep(time.Duration(w.IntN(3000)) * time.Millisecond)
	w.Quiet()
	if w.IntN(3) > 0 {
		_ = door.Shutdown()
		for _, u := range slices.Clone(p.users) {
			w.Note("Shutdown", "%s: %v", u.name, u.s.Shutdown())
		}
		w.Sleep(time.Minute)
		w.Quiet()
		for _, u := range p.users {
			if !u.over && w.Faults.Memory == 0 {
				w.Failf("%s isn't over a minute after Shutdown: %s", u.name, describe(u.s))
			}
		}
		if !p.over {
			w.Failf("the listener isn't over")
		}
	}
	w.Wait("the workers", func() bool { return p.work == 0 })
	if err := mux.Terminate(); err != nil {
		w.Failf("Terminate: %v", err)
	}
	p.checkEnd()
	reached["sockets"] += len(p.users)
}

// checkProgress is about a world in which nothing more happens unless time passes: what was
// sent has come back.
func (p *sockets) checkProgress() {
	for _, u := range p.users {
		if u.over || u.shut || !u.connected {
			continue
		}
		coming := u.hello
		if u.hello == 0 {
			coming = u.peer.sent
		}
		switch {
		case len(u.asked) > 0 && !u.partial[0] && coming-u.at < len(u.asked[0]): // it waits for more
		case u.hello > 0:
			p.w.Failf("%s has %d bytes of its %d, and waits", u.name, u.at, u.hello)
		case u.peer.sent < u.peer.total || u.peer.heard < u.peer.sent:
			e := u.peer
			p.w.Failf("%s has sent %d bytes of %d, and heard %d: %s", u.name, e.sent, e.total, e.heard, describe(u.s))
		}
	}
}

func describe(s conn.Socket) string { return fmt.Sprintf("%v, %v", s, s.Err()) }

func (p *sockets) socket(u conn.User) conn.Socket {
	provider := conn.TCP()
	if p.unix {
		provider = conn.Local()
	}
	s, err := provider.NewSocket(conn.SocketConfig{
		Mux: (*conn.Mux)(p.mux), User: u, Allocator: p.alloc, Flow: p.flow, Timeouts: p.times,
	})
	if err != nil {
		panic(err)
	}
	return s
}

func (p *sockets) checkEnd() {
	w := p.w
	if fds := w.Kernel.Open(); len(fds) > 0 {
		w.Failf("descriptors %v are still open", fds)
	}
	for _, u := range p.users {
		switch {
		case !u.over:
			w.Failf("%s never heard of its end", u.name)
		case len(u.asked) > 0:
			w.Failf("%s: %d Recvs weren't answered", u.name, len(u.asked))
		case u.reason == conn.ShutdownNormal && u.results != u.sends:
			w.Failf("%s: ended well after %d Sends, and %d results", u.name, u.sends, u.results)
		}
		reached["shutdown "+u.reason.String()]++
	}
	for _, peer := range p.peers {
		peer.checkEnd()
	}
	if s := p.alloc.Stats(); s.Outstanding != 0 || s.Misuses != 0 {
		w.Failf("%d buffers weren't given back; %d misuses", s.Outstanding, s.Misuses)
	}
}

// doorman is the listening socket's user.
type doorman struct {
	conn.BaseUser
	*sockets
}

func (d *doorman) SocketBindResult(s conn.Socket, _ string, _ uint16) {
	if err := s.Listen(); err != nil {
		d.w.Failf("Listen: %v", err)
	}
	d.ready = true
}

func (d *doorman) SocketListenResult(s conn.Socket, remoteAddr string, _ uint16) {
	d.w.Yield()
	var user conn.User
	if d.w.IntN(8) > 0 {
		user = d.user(remoteAddr)
	}
	if err := s.Accept(user); err != nil {
		d.w.Failf("Accept: %v", err)
	}
	if err := s.Accept(nil); !errors.Is(err, conn.ErrMode) {
		d.w.Failf("a second Accept: %v", err)
	}
	if user == nil {
		d.peers[remoteAddr[1:]].denied = true
	}
}

func (d *doorman) SocketShutdown(s conn.Socket, reason conn.ShutdownReason) {
	d.w.Note("SocketShutdown", "the listener: %v", reason)
	if d.over {
		d.w.Failf("a second end of the listener")
	}
	d.over = true
	s.Release()
}

// socketUser is the user of a connection, and what must be true of it. It sends back what
// comes.
type socketUser struct {
	conn.BaseUser
	*sockets
	name      string
	s         conn.Socket
	inside    bool
	connected bool
	over      bool
	reason    conn.ShutdownReason
	asked     [][]byte
	partial   []bool
	sends     int
	results   int
	stash     []byte
	peer      *echoPeer
	at        int
	hello     int // a dialer's bytes, which come back
	shut      bool
}

// user makes the user of an accepted connection.
func (p *sockets) user(remoteAddr string) *socketUser {
	return &socketUser{sockets: p, name: remoteAddr, peer: p.peers[remoteAddr[1:]]}
}

func (u *socketUser) enter(callback string) func() {
	u.w.Note(callback, "%s", u.name)
	switch {
	case u.over:
		u.w.Failf("%s of %s after SocketShutdown", callback, u.name)
	case u.inside:
		u.w.Failf("%s of %s inside another", callback, u.name)
	}
	u.inside = true
	u.w.Yield()
	return func() { u.inside = false }
}

func (u *socketUser) SocketAcceptComplete(s conn.Socket) {
	u.s = s
	u.users = append(u.users, u)
	defer u.enter("SocketAcceptComplete")()
	u.begin()
}

func (u *socketUser) SocketConnectComplete(conn.Socket) {
	defer u.enter("SocketConnectComplete")()
	u.begin()
}

func (u *socketUser) begin() {
	u.connected = true
	u.ask()
	for i := range u.w.IntN(3) {
		u.s.AddRef()
		u.work++
		u.w.Spawn(fmt.Sprintf("%s.%d", u.name, i), func() {
			for range u.w.IntN(10) {
				u.act()
				u.w.Pause()
			}
			u.s.Release()
			u.work--
		})
	}
}

// ask asks for more input.
func (u *socketUser) ask() {
	if len(u.asked) > 5 {
		return
	}
	p, partial := make([]byte, 1+u.w.IntN(30)), u.w.IntN(3) > 0
	u.asked, u.partial = append(u.asked, p), append(u.partial, partial)
	u.w.Yield()
	if err := u.s.Recv(p, partial); err != nil {
		i := slices.IndexFunc(u.asked, func(o []byte) bool { return &o[0] == &p[0] })
		u.asked, u.partial = slices.Delete(u.asked, i, i+1), slices.Delete(u.partial, i, i+1)
	}
	u.w.Note("Recv", "%s: %d, partial %t", u.name, len(p), partial)
}

// act does something from elsewhere.
func (u *socketUser) act() {
	switch u.w.IntN(12) {
	case 0, 1, 2:
		u.w.Note("RecvCancel", "%s: %v", u.name, u.s.RecvCancel())
	case 3, 4:
		_ = u.s.SetUser(u)
	case 5:
		if u.w.IntN(4) == 0 {
			u.shut = true
			u.w.Note("Shutdown", "%s: %v", u.name, u.s.Shutdown())
		}
	case 6:
		u.s.AddRef()
		u.s.Release()
	case 7:
		if !errors.Is(u.s.Listen(), conn.ErrMode) || !errors.Is(u.s.Bind("", 0), conn.ErrMode) || !errors.Is(u.s.Connect("", ""), conn.ErrMode) {
			u.w.Failf("%s may listen", u.name)
		}
	default:
		_, _ = u.s.Err(), u.s.ID()
	}
}

// answered takes the oldest Recv off, which must be this.
func (u *socketUser) answered(p []byte) (partial bool) {
	if len(u.asked) == 0 || &p[0] != &u.asked[0][0] || len(p) != len(u.asked[0]) {
		u.w.Failf("%s: other memory than the oldest Recv's comes back", u.name)
		return false
	}
	partial = u.partial[0]
	u.asked, u.partial = u.asked[1:], u.partial[1:]
	return partial
}

func (u *socketUser) SocketRecvResult(_ conn.Socket, p []byte, n int) {
	defer u.enter("SocketRecvResult")()
	if partial := u.answered(p); n == 0 || n > len(p) || !partial && n < len(p) {
		u.w.Failf("%s: %d bytes of %d, partial %t", u.name, n, len(p), partial)
	}
	for _, b := range p[:n] {
		if want := u.peer.pattern(u.at); b != want {
			u.w.Failf("%s: byte %d is %d, not %d", u.name, u.at, b, want)
			return
		}
		u.at++
	}
	if u.hello == 0 {
		u.stash = append(u.stash, p[:n]...)
		u.echo()
	} else if u.at == u.hello {
		u.shut = true
		u.w.Note("Shutdown", "%s, which has its echo: %v", u.name, u.s.Shutdown())
		return
	}
	u.ask()
}

func (u *socketUser) SocketRecvCanceled(_ conn.Socket, p []byte) {
	defer u.enter("SocketRecvCanceled")()
	u.answered(p)
	if len(u.asked) == 0 {
		u.ask()
	}
}

// echo sends what waits, if there's room; otherwise the next result tries again.
func (u *socketUser) echo() {
	for len(u.stash) > 0 {
		p := u.stash[:min(len(u.stash), 100)] // more than Flow.MaxPending never has room
		u.sends++
		if u.s.Send(p) != nil {
			u.sends--
			return
		}
		u.stash = u.stash[len(p):]
	}
}

func (u *socketUser) SocketSendResult(conn.Socket) {
	defer u.enter("SocketSendResult")()
	if u.results++; u.results > u.sends {
		u.w.Failf("%s: %d results of %d Sends", u.name, u.results, u.sends)
	}
	u.echo()
}

func (u *socketUser) SocketShutdown(s conn.Socket, reason conn.ShutdownReason) {
	u.enter("SocketShutdown")
	u.w.Note("ended", "%s: %v", u.name, reason)
	u.over, u.reason = true, reason
	if u.s == nil { // it was never accepted
		u.s = s
		u.users = append(u.users, u)
	}
	s.Release()
}

// addHosts are where the program's own clients find somebody who echoes.
func (p *sockets) addHosts() {
	at := sys.Addr{Path: "@backend"}
	if !p.unix {
		at = sys.Addr{AddrPort: tcpAt.AddrPort}
		at.AddrPort = netipPort(at.AddrPort, 80)
	}
	p.w.Host(at, sim.Host{ToProgram: 50, ToPeer: 50, Accept: func(peer *sim.Peer) {
		e := p.peers[peer.Name()]
		if e == nil {
			e = newEchoPeer(p, peer.Name())
			p.peers[e.name] = e
		}
		e.Peer = peer
		p.w.Add(e)
	}})
}

// dial connects somewhere, and sends before that has come about.
func (p *sockets) dial(i int) {
	u := &socketUser{sockets: p, name: fmt.Sprintf("dialer %d", i)}
	u.s = p.socket(u)
	p.users = append(p.users, u)
	to := "@backend"
	if !p.unix {
		to = "127.0.0.1:80"
	}
	if p.w.IntN(4) == 0 {
		to = pick(p.w, "", "@nobody", "127.0.0.1:81")
	}
	u.peer = newEchoPeer(p, "")
	u.peer.pattern = func(at int) byte { return byte(at % 100) } // its own stream comes back
	if err := u.s.Connect(to, ""); err != nil {
		p.w.Failf("Connect: %v", err)
	}
	hello := make([]byte, 1+p.w.IntN(100))
	for i := range hello {
		hello[i] = u.peer.pattern(i)
	}
	u.stash, u.hello = hello, len(hello)
	u.echo()
	if p.w.IntN(4) == 0 {
		u.shut = true
		p.w.Note("Shutdown", "%s, before it's connected: %v", u.name, u.s.Shutdown())
	}
}

// echoPeer is a peer of one of the sockets. As a client it sends a pattern and checks what
// comes back; as a host it sends back what comes.
type echoPeer struct {
	*sim.Peer
	p       *sockets
	w       *sim.World
	name    string
	to      *sys.Addr // a client's
	total   int
	sent    int
	heard   int
	keep    []byte // a host's
	pattern func(int) byte
	ended   bool
	resets  bool
	broken  bool
	denied  bool
	eof     bool
}

func newEchoPeer(p *sockets, name string) *echoPeer {
	salt := p.w.IntN(100)
	return &echoPeer{p: p, w: p.w, name: name, pattern: func(at int) byte { return byte(at*7 + salt) }}
}

func (p *sockets) addPeer(name string, at sys.Addr) {
	e := newEchoPeer(p, name)
	e.to, e.total, e.resets = &at, p.w.IntN(400), p.w.IntN(6) == 0
	p.peers[name] = e
	p.w.Add(e)
}

// Ready implements sim.Actor.
func (e *echoPeer) Ready() bool {
	switch {
	case e.Peer == nil:
		return e.to != nil && !e.broken
	case e.Done():
		return false
	default:
		return e.Readable() || e.sent < e.total && e.Room() > 0 || e.mayEnd() || len(e.keep) > 0 && e.Room() > 0
	}
}

func (e *echoPeer) mayEnd() bool {
	return e.to != nil && e.sent == e.total && e.heard == e.sent && !e.ended
}

// Step implements sim.Actor.
func (e *echoPeer) Step() {
	if e.Peer == nil {
		peer, err := e.w.Connect(e.name, *e.to, pick(e.w, 1, 50, 1000), 40)
		e.Peer, e.broken = peer, err != nil
		return
	}
	switch {
	case e.sent < e.total && e.Room() > 0 && e.w.IntN(2) == 0:
		p := make([]byte, min(1+e.w.IntN(20), e.total-e.sent))
		for i := range p {
			p[i] = e.pattern(e.sent + i)
		}
		n, errno := e.Send(p)
		e.sent += n
		e.check(errno)
	case len(e.keep) > 0 && e.Room() > 0 && e.w.IntN(2) == 0:
		n, errno := e.Send(e.keep)
		e.keep = e.keep[n:]
		e.check(errno)
	case e.resets && e.w.IntN(30) == 0:
		e.broken = true
		e.Reset()
	case e.Readable():
		e.recv()
	case e.mayEnd():
		e.ended = true
		e.CloseWrite()
	}
}

func (e *echoPeer) check(errno sys.Errno) {
	if errno != 0 && errno != unix.EAGAIN {
		e.broken = true
		e.Close()
	}
}

func (e *echoPeer) recv() {
	p := make([]byte, 1+e.w.IntN(50))
	n, errno := e.Recv(p)
	switch {
	case errno != 0:
		e.check(errno)
	case n == 0:
		e.eof = true
		e.Close()
	case e.to == nil:
		e.keep = append(e.keep, p[:n]...)
	default:
		want := make([]byte, n)
		for i := range want {
			want[i] = e.pattern(e.heard + i)
		}
		if !bytes.Equal(p[:n], want) {
			e.w.Failf("%s: from byte %d of its echo on %v, want %v", e.name, e.heard, p[:n], want)
		}
		e.heard += n
	}
}

func (e *echoPeer) checkEnd() {
	if e.denied && e.heard > 0 {
		e.w.Failf("%s was denied, and has heard %d bytes", e.name, e.heard)
	}
}

func netipPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}
