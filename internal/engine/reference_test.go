package engine_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// DESIGN, References: a last Release elsewhere only kicks; the callback is on the loop.
func TestReleaseElsewhere(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		c.AddRef()
		c.Abort(nil)
		k.settle()
		onLoop := false
		k.user.released = func(*engine.Conn) { onLoop = k.r.OnLoop() }
		off(c.Release)
		off(c.Release)
		k.user.want(c, "closed local_abort")
		k.settle()
		k.user.want(c, "closed local_abort", "released")
		if !onLoop {
			t.Error("Released was called elsewhere")
		}
	})
}

// DESIGN, References: once the fence refuses a post, the releasing goroutine runs
// OnSocketReleased. A leaked reference never blocks Shutdown.
func TestReleaseAfterTheLoopHasStopped(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		k.stop()
		k.user.want(c, "closed local_abort")
		released := make(chan bool, 1)
		k.user.released = func(*engine.Conn) { released <- k.r.OnLoop() }
		off(func() {
			c.AddRef()
			c.Release()
			c.Release()
			select {
			case onLoop := <-released:
				if onLoop {
					t.Error("the goroutine is taken for the loop")
				}
			default:
				t.Error("Release returned, and Released wasn't called")
			}
		})
		k.user.want(c, "closed local_abort", "released")
	})
}

// reactor doc, Stopping: connections that are left are aborted, whatever they're at,
// and each hears of it.
func TestStopAbortsWhatIsLeft(t *testing.T) {
	drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
		s1, idle := k.connect()
		s2, busy := k.connect()
		_, draining := k.connect()
		s2.room = 1
		must(t, busy.Read())
		must(t, busy.Send([]byte("abc")))
		must(t, draining.Shutdown())
		k.settle()
		k.stop()
		k.user.want(idle, "closed local_abort")
		k.user.want(busy, "may-continue sending 0: reactor: stopped", "write-error 0: reactor: stopped", "closed local_abort")
		k.user.want(draining, "closed local_abort")
		if s1.linger != "on 0" {
			t.Errorf("closed with linger %q", s1.linger)
		}
	})
}

// Nothing that was begun is forgotten when the loop ends in the middle of it: more than
// one turn's worth of failed writes, all answered, and the end told.
func TestStopInTheMiddleOfAnEnd(t *testing.T) {
	const writes = 500
	for _, turns := range []int{0, 1, 3} {
		drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
			s, c := k.connect()
			s.room = 0
			for range writes {
				must(t, c.Send([]byte("x")))
			}
			k.settle()
			c.Abort(errTest)
			for range turns {
				k.turn()
			}
			k.stop()
			log := k.user.log(c)
			if n := len(slices.DeleteFunc(slices.Clone(log), func(e string) bool { return !strings.HasPrefix(e, "write-error") })); n != writes {
				t.Errorf("%d turns: %d failed writes were told of, want %d", turns, n, writes)
			}
			if last := log[len(log)-1]; last != "closed local_abort" {
				t.Errorf("%d turns: the last callback is %q", turns, last)
			}
		})
	}
}

// A kick that the loop's last snapshot runs.
func TestAbortBehindTheRequestToStop(t *testing.T) {
	drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		for range 200 {
			must(t, c.Send([]byte("x")))
		}
		k.settle()
		k.user.closed = func(c *engine.Conn) { c.Release() }
		k.askToStop()
		<-k.poller.woken
		must(t, k.r.PostFunc(func() { c.Abort(errTest) }))
		k.poller.ended = k.poller.dispatch(reactor.WakeFD, 0)
		log := k.user.log(c)
		if n := len(log); n != 203 || log[n-1] != "released" {
			t.Errorf("%d callbacks, the last is %q; want 203 with released", n, log[n-1])
		}
	})
}

// A handed-over descriptor whose loop has ended is closed by who handed it over.
func TestHandOverThatIsRefused(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.stop()
		fd := k.kernel.newFD()
		if _, err := engine.NewAcceptor(k.env, k.policy, k.r, fd, false); err == nil {
			t.Error("an acceptor was made on a loop that has ended")
		}
		if fds := k.kernel.leaked(); len(fds) != 0 {
			t.Errorf("descriptors %v are open", fds)
		}
	})
}

// A loop that has failed gets no connections while there's another.
func TestNoConnectionForALoopThatHasFailed(t *testing.T) {
	for _, placement := range []reactor.Placement{reactor.RoundRobin, reactor.LeastConnections} {
		drive(t, setup{deadLoop: true, placement: placement}, func(k *kit) {
			k.queue(4)
			k.knock()
			if n := k.accepted(); n != 4 {
				t.Errorf("placement %v: %d connections of 4 have found a loop", placement, n)
			}
			if n := k.mux.Group.Stats()[1].Connections; n != 0 {
				t.Errorf("placement %v: the loop that has failed has %d connections", placement, n)
			}
		})
	}
}

// A connection for a loop that has ended since lives where it was accepted, however shortly:
// its policy has taken a place for it, or promised it to somebody.
func TestConnectionForALoopThatHasEnded(t *testing.T) {
	mux, err := engine.NewMux(engine.MuxConfig{Loops: 2, SlowCallback: -1})
	must(t, err)
	said := make(chan string, 10)
	env := &engine.Env{Mux: mux, Consumer: &witness{said: said}, Allocator: mux.Allocator}
	env.InitShards()
	fd, at, err := sys.ListenOn(&sys.OS{}, sys.ListenSpec{Addr: sys.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}})
	must(t, err)
	_, err = engine.NewAcceptor(env, &openHouse{}, mux.Group.Reactors()[1], fd, true)
	must(t, err)
	peer, err := net.Dial("tcp", at.String())
	must(t, err)
	defer peer.Close()
	must(t, mux.Terminate()) // the first loop is the first to end, and to be given a connection
	for _, want := range []string{"established", "closed local_abort", "released"} {
		if got := receive(t, said, want); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for i, s := range mux.Group.Stats() {
		if s.Connections != 0 {
			t.Errorf("loop %d has %d connections", i, s.Connections)
		}
	}
}

// witness tells what becomes of a connection.
type witness struct {
	nobody
	said chan string
}

func (w *witness) Established(*engine.Conn)                       { w.said <- "established" }
func (w *witness) Closed(_ *engine.Conn, r engine.Reason, _ bool) { w.said <- "closed " + r.String() }
func (w *witness) Released(*engine.Conn)                          { w.said <- "released" }

// Misuse of references is found, and does no harm.
func TestMisuseOfReferences(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		c.AddRef()
		for range 5 { // more often than it was held
			off(c.Release)
		}
		k.settle()
		if c.State() != engine.Draining {
			t.Errorf("state %v", c.State())
		}
		off(func() { c.AddRef() })
		off(c.Release)
		c.Abort(nil)
		k.settle()
		k.user.want(c, "closed local_abort", "released")
	})
	drive(t, setup{env: &engine.Env{Debug: true}}, func(k *kit) {
		_, c := k.connect()
		c.Release()
		for text, misuse := range map[string]func(){
			"Release without a reference":              c.Release,
			"AddRef of a connection that nobody holds": func() { c.AddRef() },
		} {
			off(func() {
				defer func() {
					if v := recover(); v == nil || !strings.Contains(v.(string), text) {
						t.Errorf("panicked with %v, want %q", v, text)
					}
				}()
				misuse()
			})
		}
	})
}

// Post runs in order, one at a time with callbacks, and keeps the connection open.
func TestPost(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		var log []string
		k.user.established = func(c *engine.Conn) {
			must(t, c.Post(func(*engine.Conn) { log = append(log, "posted in the callback") }))
			log = append(log, "callback")
		}
		_, c := k.connect()
		want := []string{"callback", "posted in the callback"}
		if !slices.Equal(log, want) || c.State() != engine.Draining {
			t.Errorf("%q, want %q; state %v", log, want, c.State())
		}
		if err := c.Post(nil); err == nil {
			t.Error("nothing was posted, and no error")
		}
	})
	drive(t, setup{}, func(k *kit) {
		var log []int
		_, c := k.connect()
		off(func() {
			for i := range 200 {
				must(t, c.Post(func(*engine.Conn) { log = append(log, i) }))
			}
		})
		if len(log) != 0 {
			t.Error("a post ran on its caller")
		}
		k.settle()
		if len(log) != 200 || !slices.IsSorted(log) {
			t.Errorf("%d posts ran: %v", len(log), log)
		}
	})
}

func TestConnections(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		var all []*engine.Conn
		for range 5 {
			_, c := k.connect()
			all = append(all, c)
		}
		all[1].Abort(nil)
		all[4].Abort(nil)
		k.settle()
		count := func(stop int) (seen int) {
			for c := range k.env.Connections() {
				if c.State() != engine.Open {
					t.Errorf("%v is %v", c, c.State())
				}
				if seen++; seen == stop {
					break
				}
			}
			return seen
		}
		if n := count(0); n != 3 {
			t.Errorf("%d connections, want 3", n)
		}
		if n := count(2); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
		for _, c := range all {
			c.Release()
		}
		k.settle()
	})
}
