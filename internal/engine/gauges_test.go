package engine_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// checkGauges holds what must be so after the end of everything.
func (k *kit) checkGauges() {
	k.t.Helper()
	g := k.env.Gauges()
	if g.Phases != [engine.Phases]int64{} || g.Buffered != 0 || g.Blocked != 0 {
		k.t.Errorf("after the end %v connections are open, %d with blocked output, %d bytes in all", g.Phases, g.Blocked, g.Buffered)
	}
	all, errors := k.env.Counts(), uint64(0)
	for _, n := range g.AcceptErrors {
		errors += n
	}
	if n := all[engine.CountAcceptErrors]; errors != n {
		k.t.Errorf("%d failures to accept by errno, %d in all", errors, n)
	}
	if n := g.Lives.Count(); n > all[engine.CountAccepted] {
		k.t.Errorf("%d connections were established of %d", n, all[engine.CountAccepted])
	}
}

// mustBeIn compares the phases that connections are in.
func (k *kit) mustBeIn(handshaking, established, draining int64) {
	k.t.Helper()
	if got, want := k.env.Gauges().Phases, [...]int64{handshaking, established, draining}; got != want {
		k.t.Errorf("%v connections are handshaking, established, draining; want %v", got, want)
	}
}

// operations, Metrics: connections_open by state.
func TestPhases(t *testing.T) {
	t.Run("accepted", func(t *testing.T) {
		drive(t, setup{}, func(k *kit) {
			k.mustBeIn(0, 0, 0)
			s, c := k.connect()
			k.connect()
			k.mustBeIn(0, 2, 0)
			must(t, c.ShutdownSend())
			k.settle()
			k.mustBeIn(0, 2, 0)
			off(func() { must(t, c.Shutdown()) })
			k.mustBeIn(0, 1, 1) // at once: a loop that's stuck doesn't hide it
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
			k.mustBeIn(0, 1, 0)
		})
	})
	t.Run("connecting", func(t *testing.T) {
		drive(t, setup{}, func(k *kit) {
			c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}, Hold: true})
			k.mustBeIn(1, 0, 0)
			s := k.attempt()
			s.connecting = false
			k.fire(s, reactor.Out)
			k.mustBeIn(0, 1, 0)
			must(t, c.Shutdown())
			k.mustBeIn(0, 0, 1)
			c.Release()
		})
	})
	t.Run("session", func(t *testing.T) {
		drive(t, setup{env: &engine.Env{Sessions: &sessions{}}}, func(k *kit) {
			s, c := k.connect()
			k.mustBeIn(1, 0, 0)
			k.deliver(s, "h")
			k.mustBeIn(0, 1, 0)
			_, early := k.connect()
			k.mustBeIn(1, 1, 0)
			must(t, early.Shutdown())
			k.mustBeIn(0, 1, 1)
			c.Abort(nil)
			k.settle()
			k.mustBeIn(0, 0, 1)
			if n := k.env.Gauges().Handshakes.Count(); n != 1 {
				t.Errorf("%d handshakes were timed, of 1 that was completed", n)
			}
		})
	})
}

// operations, Metrics: write_buffered_bytes and connections_write_blocked: what the peers
// don't take, whoever writes it.
func TestBufferedOutput(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{High: 1000, Low: 100}}}, func(k *kit) {
		must := func(buffered, blocked int64) {
			t.Helper()
			if g := k.env.Gauges(); g.Buffered != buffered || g.Blocked != blocked {
				t.Errorf("%d bytes are buffered, %d connections blocked; want %d and %d", g.Buffered, g.Blocked, buffered, blocked)
			}
		}
		send := func(c *engine.Conn, n int) func() {
			return func() {
				if err := c.Send(text(n)); err != nil {
					t.Error(err)
				}
			}
		}
		a, first := k.connect()
		b, second := k.connect()
		off(send(first, 5000))
		k.settle()
		must(0, 0) // it was taken at once
		a.room, b.room = 100, 0
		off(send(first, 600))
		must(500, 0) // before the loop has looked
		off(send(first, 1000))
		k.settle()
		must(1500, 1)
		send(second, 2000)() // on the loop
		k.settle()
		must(3500, 2)
		a.room = 700
		k.fire(a, reactor.Out)
		must(2800, 2)
		a.room = 750
		k.fire(a, reactor.Out)
		must(2050, 1)
		second.Abort(nil)
		k.settle()
		must(50, 0)
		a.room = 1000
		k.fire(a, reactor.Out)
		must(0, 0)
	})
}

// What a session has sealed and couldn't send is output too.
func TestBufferedOutputOfASession(t *testing.T) {
	drive(t, setup{env: &engine.Env{Sessions: &sessions{}}}, func(k *kit) {
		s, c := k.connectSession()
		s.room = 10
		off(func() { must(t, c.Send(bytes.Repeat([]byte("x"), 500))) })
		k.settle()
		if n := k.env.Gauges().Buffered; n != 490 {
			t.Errorf("%d bytes are buffered", n)
		}
		s.room = 1000
		k.fire(s, reactor.Out)
		if n := k.env.Gauges().Buffered; n != 0 {
			t.Errorf("%d bytes are buffered", n)
		}
	})
}

// operations, Metrics: connection_duration_seconds: from established to closed; who was
// never established isn't in it.
func TestLives(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, short := k.connect()
		k.advance(50 * time.Millisecond)
		_, long := k.connect()
		short.Abort(nil)
		k.settle()
		k.clock.now += 2 * time.Minute // and nothing that the loop does
		long.Abort(nil)
		k.settle()
		c := k.dialing(engine.Dial{Addrs: []sys.Addr{target(1)}, Hold: true})
		c.Abort(nil)
		k.settle()
		got := k.env.Gauges().Lives
		want := make([]uint64, len(got.Bounds)+1)
		for _, d := range []time.Duration{50 * time.Millisecond, 2 * time.Minute} {
			i, _ := slices.BinarySearch(got.Bounds, d)
			want[i]++
		}
		if !slices.Equal(got.Counts, want) || got.Sum != 2*time.Minute+50*time.Millisecond {
			t.Errorf("%v below %v, %v in all; want %v", got.Counts, got.Bounds, got.Sum, want)
		}
	})
}

// operations, Metrics: callback_duration_seconds: one in so many, whichever they are.
func TestCallsAreSampled(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.silent = true
		calls := 0
		k.user.established = func(c *engine.Conn) {
			c.AddRef()
			must(t, c.Read())
		}
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) {
			calls++
			k.clock.now += 7 * time.Millisecond
			must(t, c.Read())
		}
		s, _ := k.connect()
		before := k.env.Gauges().Calls
		for range 4 * reactor.SampleEvery {
			k.deliver(s, "x")
		}
		got := k.env.Gauges().Calls
		if n := got.Count() - before.Count(); n != 4 || got.Sum-before.Sum != 4*7*time.Millisecond || calls != 4*reactor.SampleEvery {
			t.Errorf("%d of %d calls were timed, as %v in all", n, calls, got.Sum-before.Sum)
		}
	})
}

// A callback that panics is timed like any other, and no other is timed in its place.
func TestCallsThatPanicAreSampled(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.silent = true
		k.user.established = func(*engine.Conn) {
			k.clock.now += time.Millisecond
			panic("on purpose")
		}
		for range 2 * reactor.SampleEvery {
			k.accept(k.kernel.socket())
		}
		got := k.env.Gauges().Calls
		all := k.env.Counts()
		if n := all[engine.CountPanics]; n != 2*reactor.SampleEvery {
			t.Fatalf("%d panics", n)
		}
		// Each connection has the calls Created, Established, Closed and Released.
		if n := got.Count(); n != 8 || got.Sum != 2*time.Millisecond {
			t.Errorf("%d calls were timed, as %v in all", n, got.Sum)
		}
	})
}

// operations, Metrics: accept_errors_total by error: a closed list, and "other".
func TestAcceptErrorsByName(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		if n := len(k.env.Gauges().AcceptErrors); n != 11 {
			t.Errorf("%d names", n)
		}
		for _, errno := range []sys.Errno{unix.EMFILE, unix.ECONNABORTED, unix.EMFILE, unix.EHOSTUNREACH, unix.EHOSTDOWN} {
			k.kernel.accept = []sys.Errno{errno}
			k.knock()
			k.advance(time.Minute)
		}
		got := k.env.Gauges().AcceptErrors
		want := map[string]uint64{"EMFILE": 2, "ECONNABORTED": 1, "other": 2}
		for name, n := range got {
			if n != want[name] {
				t.Errorf("%d times %s, want %d", n, name, want[name])
			}
		}
	})
}

// operations, Metrics: the accept queue, which is asked about only while the descriptor is
// the acceptor's.
func TestAcceptorQueue(t *testing.T) {
	drive(t, setup{noPlace: true}, func(k *kit) {
		must := func(want string) {
			t.Helper()
			length, limit, ok := k.acceptor.Queue()
			if got := fmt.Sprint(length, limit, ok); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		must("0 9 true")
		k.queue(3)
		must("3 9 true")
		k.kernel.backlog = nil
		closed := k.acceptor.Close()
		k.settle()
		receive(t, closed, "the acceptor's end")
		must("0 0 false")
		if k.acceptor.Origin() != "test" {
			t.Errorf("the acceptor of %q", k.acceptor.Origin())
		}
	})
}
