package server_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
)

// scene is a connection in a certain state.
type scene struct {
	t *testing.T
	f *fixture
	p *peer
	j *journal
	c *conn.Stream // with one reference
}

// settle lets everything that has come so far be dispatched.
func (s *scene) settle() { s.f.settleSide() }

// The states: how to get a connection there that was just established.
var states = map[string]func(s *scene){
	"idle":    func(*scene) {},
	"reading": func(s *scene) { s.must(s.c.Read()) },
	"ReadFull partial": func(s *scene) {
		s.must(s.c.ReadFull(100))
		s.p.write(make([]byte, 10))
		s.settle()
	},
	"writing blocked": func(s *scene) {
		s.must(s.c.Read())
		s.block()
	},
	"half-closed by peer": func(s *scene) {
		s.must(s.c.Read())
		s.p.closeWrite()
		s.f.rec.seen(s.t, s.j, cbClientClose, 1)
	},
	"half-closed by us": func(s *scene) {
		s.must(s.c.Read())
		s.must(s.c.ShutdownSend())
		s.settle()
	},
	"draining, flushing": func(s *scene) {
		s.block()
		s.must(s.c.Shutdown())
	},
	"draining, lingering": func(s *scene) {
		s.must(s.c.Shutdown())
		s.settle()
	},
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// block has more output queued than the kernel takes.
func (s *scene) block() {
	s.must(s.c.Send(make([]byte, 600<<10)))
	s.f.rec.seen(s.t, s.j, cbBlocked, 1)
}

// The actions of a peer.
var actions = map[string]func(s *scene){
	"FIN": func(s *scene) {
		s.p.closeWrite()
		s.f.rec.await(s.t, "the peer's end being seen", func() bool {
			return s.j.count[cbClientClose] == 1 || s.j.count[cbClosed] == 1 || s.c.State() == conn.Draining
		})
		_, _ = io.Copy(io.Discard, &untilReleased{s: s})
	},
	"RST": func(s *scene) {
		if c, ok := s.p.Conn.(*net.TCPConn); ok {
			s.must(c.SetLinger(0))
		}
		s.p.Close() // of a Unix-domain socket with unread input
	},
	"stall": func(*scene) {},
	"simultaneous close": func(s *scene) {
		begin := make(chan struct{})
		ours := spawn("Shutdown", func() error {
			<-begin
			if err := s.c.Shutdown(); err != nil && !errors.Is(err, conn.ErrClosed) {
				return err
			}
			return nil
		})
		close(begin)
		s.p.Close()
		ours.wait(s.t)
	},
}

// untilReleased reads from the peer, and gives the reference back first.
type untilReleased struct {
	s    *scene
	done bool
}

func (u *untilReleased) Read(p []byte) (int, error) {
	if !u.done {
		u.done = true
		u.s.c.Release()
		u.s.c = nil
	}
	return u.s.p.Read(p)
}

// ending is how a connection is to end.
type ending struct {
	reasons []conn.Reason
	counts  map[string]int // of the callbacks that matter
}

func ends(reason conn.Reason, counts map[string]int) ending {
	return ending{[]conn.Reason{reason}, counts}
}

var (
	toldEnd   = map[string]int{cbClientClose: 1, cbReadError: 0, cbWriteError: 0, cbReset: 0}
	untold    = map[string]int{cbClientClose: 0, cbReadError: 0, cbWriteError: 0, cbReset: 0}
	resetRead = map[string]int{cbClientClose: 0, cbReadMayLive: 1, cbReadError: 1, cbWriteError: 0, cbReset: 1}
	resetOnly = map[string]int{cbClientClose: 0, cbReadError: 0, cbWriteError: 0, cbReset: 1}
	either    = ending{[]conn.Reason{conn.ReasonLocalShutdown, conn.ReasonPeerClosed, conn.ReasonReset}, nil}
)

// endings has every pair of state and action.
var endings = map[string]map[string]ending{
	"idle": {
		"FIN": ends(conn.ReasonPeerClosed, toldEnd), "RST": ends(conn.ReasonReset, resetOnly),
		"stall": ends(conn.ReasonLinger, untold), "simultaneous close": either,
	},
	"reading": {
		"FIN": ends(conn.ReasonPeerClosed, toldEnd), "RST": ends(conn.ReasonReset, resetRead),
		"stall": ends(conn.ReasonLinger, untold), "simultaneous close": either,
	},
	"ReadFull partial": {
		"FIN": ends(conn.ReasonPeerClosed, map[string]int{cbClientClose: 1, cbReadMayLive: 1, cbReadError: 1, cbReset: 0}),
		"RST": ends(conn.ReasonReset, resetRead), "stall": ends(conn.ReasonLinger, untold), "simultaneous close": either,
	},
	"writing blocked": {
		"FIN": ends(conn.ReasonPeerClosed, toldEnd),
		"RST": ends(conn.ReasonReset, map[string]int{
			cbClientClose: 0, cbReadMayLive: 1, cbReadError: 1, cbWriteMayLive: 1, cbWriteError: 1, cbReset: 1,
		}),
		"stall":              ends(conn.ReasonWriteTimeout, map[string]int{cbReadError: 0, cbWriteMayLive: 1, cbWriteError: 1, cbReset: 0}),
		"simultaneous close": either,
	},
	"half-closed by peer": {
		"RST":   ends(conn.ReasonReset, map[string]int{cbClientClose: 1, cbReadError: 0, cbWriteError: 0, cbReset: 1}),
		"stall": ends(conn.ReasonIdle, toldEnd), "simultaneous close": either,
	},
	"half-closed by us": {
		"FIN": ends(conn.ReasonPeerClosed, toldEnd), "RST": ends(conn.ReasonReset, resetRead),
		"stall": ends(conn.ReasonLinger, untold), "simultaneous close": either,
	},
	"draining, flushing": {
		"FIN":   ends(conn.ReasonLocalShutdown, untold),
		"RST":   ends(conn.ReasonReset, map[string]int{cbClientClose: 0, cbReadError: 0, cbWriteMayLive: 1, cbWriteError: 1, cbReset: 1}),
		"stall": ends(conn.ReasonWriteTimeout, map[string]int{cbWriteError: 1, cbReset: 0}), "simultaneous close": either,
	},
	"draining, lingering": {
		"FIN": ends(conn.ReasonLocalShutdown, untold), "RST": ends(conn.ReasonReset, resetOnly),
		"stall": ends(conn.ReasonLinger, untold), "simultaneous close": either,
	},
}

// faults.md: TCP states: in each FIN, RST, stall, simultaneous close: exactly one closure
// callback, with the cause. (That each comes once and in order, every test checks.)
func TestStatesAndPeerActions(t *testing.T) {
	for state, enter := range states {
		for action, act := range actions {
			want, exists := endings[state][action]
			if !exists {
				continue
			}
			t.Run(state+"/"+action, func(t *testing.T) {
				each(t, func(t *testing.T, network string) {
					limits := conn.Timeouts{Linger: failSafe}
					if action == "stall" {
						limits = conn.Timeouts{Idle: 60 * time.Millisecond, Write: 60 * time.Millisecond, Linger: 60 * time.Millisecond}
					}
					h := hooks{established: func(c *conn.Stream) { c.AddRef() }}
					rec := newRecorder(h.aside())
					f := start(t, network, rec, tracked, tight, side, timeouts(limits), loops(t, 1))
					s := &scene{t: t, f: f, p: f.dial(smallReceive)}
					s.j = rec.next(t, 0)
					s.c = s.j.stream
					s.must(s.c.Send([]byte("unread")))
					s.settle() // it is sent: the loop may have been in the connection
					enter(s)
					act(s)
					if s.c != nil {
						rec.ended(t, s.j)
						s.c.Release()
					}
					j := rec.released(t, s.j)
					if !slices.Contains(want.reasons, j.reason) {
						_, err := j.stream.Cause()
						t.Errorf("ended with %v (%v), want %v; %v", j.reason, err, want.reasons, j.steps)
					}
					for name, n := range want.counts {
						if j.count[name] != n {
							t.Errorf("%s × %d, want %d; %v", name, j.count[name], n, j.steps)
						}
					}
					_, err := j.stream.Cause()
					if clean := j.reason <= conn.ReasonDrain; clean != (err == nil) {
						t.Errorf("ended with %v, and the error %v", j.reason, err)
					}
				})
			})
		}
	}
}

// settleSide makes round trips on the listener "side": on one loop, what came before has
// been dispatched then.
func (f *fixture) settleSide() {
	f.t.Helper()
	b := f.bystander()
	for range 3 {
		b.echo("?")
	}
	b.Close()
}
