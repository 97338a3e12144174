package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// knock tells the acceptor that there are connections.
func (k *kit) knock() {
	k.t.Helper()
	k.poller.dispatch(k.listener, reactor.In)
	k.settle()
}

// wait puts sockets into the backlog, and doesn't tell.
func (k *kit) queue(n int) {
	for range n {
		k.kernel.backlog = append(k.kernel.backlog, k.kernel.socket())
	}
}

// accepted is the number of connections that were accepted.
func (k *kit) accepted() int { return len(k.user.byFD) }

// peers, rule 1: accept errors never end the server or spin; only EBADF and EINVAL are
// fatal. A failure is followed by a connection, which must get through.
func TestAcceptErrors(t *testing.T) {
	const next, backoff, fatal = "next", "back-off", "fatal"
	tests := []struct {
		errno sys.Errno
		does  string
	}{
		{unix.ECONNABORTED, next}, {unix.EPERM, next}, {unix.ENETDOWN, next}, {unix.EPROTO, next}, {unix.EHOSTUNREACH, next},
		{unix.EMFILE, backoff}, {unix.ENFILE, backoff}, {unix.ENOBUFS, backoff}, {unix.ENOMEM, backoff},
		{unix.EBADF, fatal}, {unix.EINVAL, fatal}, {unix.ENOTSOCK, fatal}, {unix.EOPNOTSUPP, fatal},
	}
	for _, tt := range tests {
		t.Run(tt.errno.Error(), func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				k.kernel.accept = []sys.Errno{tt.errno}
				k.queue(1)
				places := k.policy.places
				k.knock()
				want := "transient: "
				switch tt.does {
				case next:
					if k.accepted() != 1 {
						t.Error("the next connection waits")
					}
				case backoff:
					if k.accepted() != 0 {
						t.Error("no back-off")
					}
					k.advance(5*time.Millisecond + tick)
					if k.accepted() != 1 {
						t.Error("the next connection still waits after 5 ms")
					}
				case fatal:
					want = "fatal: "
					k.advance(time.Hour)
					if k.accepted() != 0 {
						t.Error("accepted after a fatal failure")
					}
					if got := k.kernel.leaked(); len(got) != 0 {
						t.Errorf("descriptors %v are open", got)
					}
				}
				if got := k.policy.failures; !slices.Equal(got, []string{want + tt.errno.Error()}) {
					t.Errorf("the policy heard of %q", got)
				}
				if n := k.count(engine.CountAcceptErrors); n != 1 {
					t.Errorf("%d failures counted", n)
				}
				if n := places - k.policy.places; n != k.accepted() || k.policy.placed != n {
					t.Errorf("%d places are taken, %d are told of, by %d connections", n, k.policy.placed, k.accepted())
				}
			})
		})
	}
}

// EAGAIN is no failure.
func TestAcceptOfNothing(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		places := k.policy.places
		for range 5 {
			k.knock()
		}
		if len(k.policy.failures) != 0 || k.policy.places != places || k.count(engine.CountAcceptErrors) != 0 {
			t.Errorf("failures %q, places %d", k.policy.failures, k.policy.places-places)
		}
	})
}

// faults, Overload: back off 5 ms to 1 s, no spin, resume; events don't cut it short.
func TestAcceptBackoff(t *testing.T) {
	for _, errno := range []sys.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		t.Run(errno.Error(), func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				k.queue(3)
				k.kernel.stuck = errno
				k.knock()
				calls, tried := k.kernel.accepts, k.clock.now
				for _, ms := range []int{5, 10, 20, 40, 80, 160, 320, 640, 1000} {
					d := time.Duration(ms) * time.Millisecond
					k.advance(tried + d - time.Millisecond - k.clock.now)
					k.knock()
					k.acceptor.Resume()
					k.settle()
					if k.kernel.accepts != calls {
						t.Fatalf("tried again before %v", d)
					}
					for k.kernel.accepts == calls {
						if k.clock.now > tried+d+tick {
							t.Fatalf("not tried again after %v", d)
						}
						k.advance(time.Millisecond / 2)
					}
					calls, tried = k.kernel.accepts, k.clock.now
				}
				k.kernel.stuck = 0
				k.advance(time.Second + tick)
				if k.accepted() != 3 {
					t.Errorf("%d connections after the shortage, want 3", k.accepted())
				}
				// The next shortage begins at the beginning.
				k.kernel.stuck = errno
				k.knock()
				k.kernel.stuck = 0
				k.queue(1)
				k.advance(5*time.Millisecond + tick)
				if k.accepted() != 4 {
					t.Error("the next back-off isn't 5 ms")
				}
			})
		})
	}
}

// faults, Overload: a reserve descriptor helps at the limit: the oldest connection is
// refused with a reset, once per second, when the shortage has lasted.
func TestAcceptSheds(t *testing.T) {
	tests := []struct {
		errno sys.Errno
		sheds bool
	}{{unix.EMFILE, true}, {unix.ENFILE, true}, {unix.ENOBUFS, false}, {unix.ENOMEM, false}}
	for _, tt := range tests {
		t.Run(tt.errno.Error(), func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				reserves := k.kernel.reserve
				k.queue(10)
				waiting := slices.Clone(k.kernel.backlog)
				k.kernel.short = tt.errno
				k.knock()
				k.advance(2270 * time.Millisecond) // 5 … 640 ms, then the first second
				if k.kernel.reserve != reserves {
					t.Error("shed before the back-off was at its ceiling")
				}
				k.advance(3100 * time.Millisecond)
				want := 4 // after 2.3, 3.3, 4.3 and 5.3 s
				if !tt.sheds {
					want = 0
				}
				if n := k.count(engine.CountShed); n != uint64(want) || k.kernel.reserve != reserves+want {
					t.Errorf("%d connections were shed, and %d reserves taken; want %d", n, k.kernel.reserve-reserves, want)
				}
				for i, s := range waiting[:want] {
					if got := brief(k.kernel.ended(s)); got != "linger on 0, close" {
						t.Errorf("connection %d ended by: %s", i, got)
					}
				}
				k.kernel.short = 0
				k.advance(2 * time.Second)
				if n := k.accepted(); n != 10-want {
					t.Errorf("%d connections after the shortage, want %d", n, 10-want)
				}
			})
		})
	}
}

// accept.go: 16 connections in a row that fail on their own account are taken for a
// failure of the acceptor.
func TestAcceptOfManyThatFail(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.kernel.stuck = unix.ECONNABORTED
		calls := k.kernel.accepts
		k.knock()
		if n := k.kernel.accepts - calls; n != 16 {
			t.Errorf("%d calls in a turn", n)
		}
		calls = k.kernel.accepts
		k.advance(10 * time.Second)
		if n := k.kernel.accepts - calls; n < 10 || n > 40 {
			t.Errorf("%d calls in 10 s", n)
		}
		k.kernel.stuck = 0
		k.queue(1)
		k.advance(time.Second + tick)
		if k.accepted() != 1 {
			t.Error("doesn't accept any more")
		}
		k.kernel.accept = slices.Repeat([]sys.Errno{unix.ECONNABORTED}, 15)
		k.queue(1)
		k.knock()
		if k.accepted() != 2 {
			t.Error("15 failures in a row are a reason to back off")
		}
	})
}

// AcceptPolicy: after Admit has refused nothing is taken until Resume.
func TestAdmit(t *testing.T) {
	drive(t, setup{noPlace: true}, func(k *kit) {
		calls := k.kernel.accepts
		k.queue(5)
		k.knock()
		k.advance(time.Hour)
		if k.kernel.accepts != calls || k.accepted() != 0 {
			t.Errorf("%d connections without a place", k.accepted())
		}
		k.policy.places = 2
		off(k.acceptor.Resume)
		off(k.acceptor.Resume) // one is enough
		k.settle()
		if k.accepted() != 2 || len(k.kernel.backlog) != 3 {
			t.Errorf("%d connections with 2 places", k.accepted())
		}
		k.policy.places = 10
		k.acceptor.Resume()
		k.settle()
		if k.accepted() != 5 || k.policy.places != 7 {
			t.Errorf("%d connections, %d places left", k.accepted(), k.policy.places)
		}
		if n := k.count(engine.CountAccepted); n != 5 {
			t.Errorf("%d connections counted", n)
		}
	})
}

// DESIGN, Budgets: one turn accepts 64 connections; others get their turn.
func TestAcceptYields(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.silent = true
		k.queue(200)
		k.poller.dispatch(k.listener, reactor.In)
		for _, want := range []int{64, 128, 192, 200} {
			if k.accepted() != want {
				t.Fatalf("%d connections, want %d", k.accepted(), want)
			}
			k.turn()
		}
		k.settle()
		if n := k.mux.Group.Stats()[0].Connections; n != 200 {
			t.Errorf("%d connections placed", n)
		}
	})
}

// Close ends it, from anywhere, also during a back-off; connections aren't concerned.
func TestAcceptorClose(t *testing.T) {
	for _, backing := range []bool{false, true} {
		drive(t, setup{}, func(k *kit) {
			_, c := k.connect()
			if backing {
				k.kernel.stuck = unix.EMFILE
				k.knock()
			}
			var closed <-chan struct{}
			off(func() { closed = k.acceptor.Close() })
			k.settle()
			receive(t, closed, "Close")
			if fds := k.kernel.leaked(); len(fds) != 1 {
				t.Errorf("descriptors %v are open, want the connection's", fds)
			}
			k.kernel.stuck = 0
			k.queue(1)
			k.poller.dispatch(k.listener, reactor.In)
			k.acceptor.Resume()
			off(func() { k.acceptor.Close() })
			k.advance(time.Hour)
			if k.accepted() != 1 || c.State() != engine.Open {
				t.Errorf("%d connections, the first is %v", k.accepted(), c.State())
			}
		})
	}
}

// AcceptPolicy: who isn't wanted is reset and counted, and leaves its place to the next,
// which has its owner.
func TestOffer(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.policy.places, k.policy.placed, k.policy.unwanted, k.policy.owner = 1, 0, 2, "mine"
		k.queue(3)
		k.knock()
		if k.accepted() != 1 || k.policy.places != 0 || k.policy.placed != 1 {
			t.Errorf("%d connections, %d places, %d placed: want 1, 0, 1", k.accepted(), k.policy.places, k.policy.placed)
		}
		if n := k.count(engine.CountUnwanted); n != 2 {
			t.Errorf("%d are counted as rejected, want 2", n)
		}
		for _, c := range k.user.byFD {
			if c.Owner() != "mine" {
				t.Errorf("the owner is %v", c.Owner())
			}
		}
	})
}

// A listener that can't be registered is a fatal failure.
func TestAcceptorThatCannotRegister(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.poller.refuse = unix.ENOSPC
		fd := k.kernel.newFD()
		p := &policy{places: 1}
		a, err := engine.NewAcceptor(k.env, p, k.r, fd, false)
		must(t, err)
		k.settle()
		k.poller.refuse = nil
		if len(p.failures) != 1 || !strings.HasPrefix(p.failures[0], "fatal: register the listener") {
			t.Errorf("the policy heard of %q", p.failures)
		}
		receive(t, a.Close(), "Close")
	})
}

// Placement: with spread connections go to all loops, otherwise they stay.
func TestSpread(t *testing.T) {
	for _, spread := range []bool{false, true} {
		t.Run(fmt.Sprint(spread), func(t *testing.T) {
			n := newNet(t, netSetup{loops: 2, spread: spread})
			for range 6 {
				n.dial(t)
			}
			want := []int64{6, 0}
			if spread {
				want = []int64{3, 3}
			}
			for range 6 {
				receive(t, n.established, "a connection")
			}
			for i, s := range n.mux.Group.Stats() {
				if s.Connections != want[i] {
					t.Errorf("loop %d has %d connections, want %d", i, s.Connections, want[i])
				}
			}
		})
	}
}
