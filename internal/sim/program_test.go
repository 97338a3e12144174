package sim_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// program is a server on a simulated machine, with its clients: all that a seed decides
// is decided here, at the beginning, or as it goes along.
type program struct {
	server.BaseCallback
	w     *sim.World
	plan  plan
	alloc *buffers.Allocator
	mux   *engine.Mux
	srv   *server.Server
	lives map[uint64]*life
	peers map[string]*client
	all   []*client

	slots    conn.Slots
	slot     conn.Slot[life]
	outgoing map[uint64]*dialing
	asked    int // by AsyncConnect
	told     int // what has become of those
	dialers  int // goroutines in Connect

	created  int  // OnSocketCreated
	released int  // OnSocketReleased
	stopping bool // Shutdown was called
	complete bool
}

// plan is what's decided at the beginning.
type plan struct {
	loops, budget, clients int
	unix, track            bool
	pulses                 int // how lively callbacks and workers are, in a thousand
	flow                   conn.Flow
	timeouts               conn.Timeouts
	limit                  int // MaxConnections
	message                int // the size of the clients' messages; 0: none
	limits                 limits
	panics                 bool
	abrupt                 bool // the loops are ended before the server is shut down
}

func pick[T any](w *sim.World, of ...T) T { return of[w.IntN(len(of))] }

func newPlan(w *sim.World) plan {
	small := pick(w, 1, 40, 700, 5000)
	p := plan{
		loops:   1 + w.IntN(3),
		budget:  pick(w, 0, 1, 100, 4000),
		clients: 1 + w.IntN(6),
		unix:    w.IntN(3) == 0,
		track:   w.IntN(2) == 0,
		pulses:  pick(w, 0, 20, 100),
		flow: pick(w, conn.Flow{}, conn.Flow{MaxPending: 1000}, conn.Flow{High: 1, Low: 1, MaxPending: 3000},
			conn.Flow{High: small, Low: small / 2, MaxPending: 20_000}),
		timeouts: conn.Timeouts{
			Idle:   pick(w, 0, 0, time.Second, 20*time.Second),
			Read:   pick(w, 0, 0, 0, 300*time.Millisecond, 2*time.Second),
			Write:  pick(w, time.Second, 4*time.Second, 10*time.Second),
			Linger: pick(w, 100*time.Millisecond, 5*time.Second),
		},
		limit:   pick(w, 0, 0, 1, 2),
		message: pick(w, 0, 0, 1, 7, 100),
		panics:  w.IntN(8) == 0,
		abrupt:  w.IntN(10) == 0,
	}
	p.limits = newLimits(w, p.unix)
	faults := func(often ...int) int { return pick(w, append(often, 0, 0)...) }
	w.Faults = sim.Faults{
		Switch: pick(w, 50, 200, 500),
		Short:  faults(50, 500),
		Again:  faults(20, 200),
		Memory: faults(0, 30),
		Accept: faults(0, 100),
		Call:   faults(0, 0, 5),
		Stale:  faults(20, 200),
		Late:   faults(5),
	}
	return p
}

// where the servers listen.
var (
	tcpAt  = sys.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:7007")}
	unixAt = sys.Addr{Path: "@sluice"}
)

// run is the whole life of a program: of a server, of one with TLS, or in the ISocket view.
func run(w *sim.World) {
	switch w.IntN(20) {
	case 0:
		runTLS(w)
		return
	case 1, 2, 3, 4:
		runSockets(w)
		return
	}
	p := &program{w: w, plan: newPlan(w), lives: map[uint64]*life{}, outgoing: map[uint64]*dialing{}, peers: map[string]*client{}}
	p.alloc = buffers.New(buffers.Config{Debug: w.IntN(4) == 0})
	p.slot = conn.NewSlot[life](&p.slots, "life")
	w.Note("plan", "%+v %+v", p.plan, w.Faults)
	if !p.start() {
		return
	}
	p.addHosts()
	for i := range p.plan.clients {
		p.addClient(fmt.Sprintf("c%d", i))
	}
	// Sometimes the server is asked to stop in the middle of things.
	if w.IntN(4) > 0 {
		w.Quiet()
		p.checkProgress("when all was quiet")
		for range w.IntN(4) {
			w.Sleep(time.Duration(w.IntN(8000)) * time.Millisecond)
		}
		w.Quiet()
		p.checkProgress("when all was quiet again")
		p.checkAccepting()
		p.checkRoom()
		p.checkAccepting()
		p.checkDialing()
	} else {
		for range w.IntN(60) {
			w.Pause()
		}
	}
	p.stop()
	p.checkEnd()
	reached["steps"] += w.Steps
	reached["a lock was taken"] += w.Taken
}

// start starts the server; a machine may be too broken for that.
func (p *program) start() bool {
	loop := 0
	mux, err := engine.NewMux(engine.MuxConfig{
		Loops: p.plan.loops, SlowCallback: -1, TurnBudget: p.plan.budget, Logger: slog.New(slog.DiscardHandler),
		Reactor: reactor.Config{
			NewPoller: p.w.NewPoller, Kernel: p.w.Kernel, Clock: p.w.Clock,
			Spawn: func(f func()) {
				loop++
				p.w.Spawn(fmt.Sprintf("spawned %d", loop), f)
			},
		},
	})
	if err != nil {
		return false
	}
	p.mux = mux
	var cb server.Callback = p
	if p.plan.track {
		cb = tracking{p}
	}
	l := server.Listener{Name: "l", Network: "tcp", Address: "127.0.0.1:7007"}
	if p.plan.unix {
		l.Network, l.Address = "unix", "@sluice"
	}
	p.plan.limits.set(&l)
	p.srv, err = server.New(server.Config{
		Callback: cb, Listeners: []server.Listener{l}, MaxConnections: p.plan.limit,
		Flow: p.plan.flow, Timeouts: p.plan.timeouts, Resolver: resolver{p},
		Mux: (*conn.Mux)(mux), Allocator: p.alloc, Slots: &p.slots, Logger: slog.New(slog.DiscardHandler), Debug: true,
	})
	if err != nil {
		panic(err)
	}
	if err := p.srv.Start(); err != nil {
		p.w.Note("start", "%v", err)
		p.terminate()
		return false
	}
	return true
}

func (p *program) stop() {
	// Never at the time of another timer: select would choose between them by chance.
	const odd = 701
	ctx, cancel := context.WithTimeout(context.Background(), pick(p.w, odd, time.Second+odd, 30*time.Second+odd))
	defer cancel()
	if p.plan.abrupt {
		p.stopping = true
		p.terminate()
	}
	p.w.Note("Shutdown", "")
	p.stopping = true
	if err := p.srv.Shutdown(ctx); err != nil {
		p.w.Note("Shutdown", "%v", err)
	}
	p.w.Wait("the workers", func() bool {
		for _, l := range p.lives {
			if l.workers > 0 {
				return false
			}
		}
		return p.dialers == 0
	})
	p.terminate()
}

func (p *program) terminate() {
	if err := p.mux.Terminate(); err != nil {
		p.w.Failf("Terminate: %v", err)
	}
}

// checkEnd is about what must be true of any program when it's over.
func (p *program) checkEnd() {
	w := p.w
	if fds := w.Kernel.Open(); len(fds) > 0 {
		w.Failf("descriptors %v are still open", fds)
	}
	if p.created != p.released {
		p.describeAll()
		w.Failf("%d connections were created and %d released", p.created, p.released)
	}
	if p.asked != p.told {
		w.Failf("%d connects were asked for, and %d told of", p.asked, p.told)
	}
	if !p.complete {
		w.Failf("OnShutdownComplete wasn't called")
	}
	for _, l := range p.inOrder() {
		l.checkEnd()
	}
	if s := p.alloc.Stats(); s.Outstanding != 0 || s.InUse != 0 || s.Misuses != 0 {
		w.Failf("%d buffers with %d bytes weren't given back; %d misuses", s.Outstanding, s.InUse, s.Misuses)
	}
	st := p.srv.Stats()
	if st.Open != 0 || st.Held != 0 {
		w.Failf("the statistics say: %d open, %d held", st.Open, st.Held)
	}
	for name, l := range st.Listeners {
		if l.Handshaking != 0 || l.Established != 0 || l.Draining != 0 || l.Blocked != 0 || l.BufferedBytes != 0 {
			w.Failf("%s: the statistics say: %d, %d and %d are handshaking, established, draining; %d with blocked output, %d bytes",
				name, l.Handshaking, l.Established, l.Draining, l.Blocked, l.BufferedBytes)
		}
		closed := uint64(0)
		for _, n := range l.Closed {
			closed += n
		}
		if l.Accepted != closed || name == "l" && l.Accepted != uint64(p.created) {
			w.Failf("accepted %d, created %d, closed %v", l.Accepted, p.created, l.Closed)
		}
		if name == "l" {
			p.checkRefused(l)
		}
	}
}

// checkProgress is about a world in which nothing more happens unless time passes:
// nobody may be waiting for what is there.
func (p *program) checkProgress(when string) {
	for _, l := range p.inOrder() {
		l.checkProgress(when)
	}
}

// checkAccepting: whoever has connected is accepted in the end, unless the server is full.
func (p *program) checkAccepting() {
	for range 50 {
		if p.waiting() == 0 || p.full() {
			return
		}
		p.w.Sleep(time.Minute) // accepting may pause after errors
		p.w.Quiet()
	}
	p.w.Failf("%d connections aren't accepted, and %d are open", p.waiting(), p.srv.Stats().Open)
}

// checkDialing: whatever the program connects to, it hears what has become of it.
func (p *program) checkDialing() {
	for range 30 { // workers may still ask for more
		if p.asked == p.told && p.dialers == 0 {
			return
		}
		p.w.Sleep(time.Minute)
		p.w.Quiet()
	}
	p.w.Failf("%d connects were asked for, and %d told of; %d are waited for", p.asked, p.told, p.dialers)
}

// inOrder is all lives, by their numbers.
func (p *program) inOrder() (all []*life) {
	for _, id := range slices.Sorted(maps.Keys(p.lives)) {
		all = append(all, p.lives[id])
	}
	return all
}
