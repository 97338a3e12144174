package server_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// handClock is a clock that only the test moves. Alarms go off while it does.
type handClock struct {
	mu     sync.Mutex
	now    time.Duration
	alarms map[*handAlarm]time.Duration // that are set, and for when
}

func (c *handClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now += d
	var due []*handAlarm
	for a, at := range c.alarms {
		if at <= c.now {
			delete(c.alarms, a)
			due = append(due, a)
		}
	}
	c.mu.Unlock()
	for _, a := range due {
		a.off()
	}
}

func (c *handClock) NewAlarm(off func()) reactor.Alarm { return &handAlarm{c, off} }

type handAlarm struct {
	clock *handClock
	off   func()
}

func (a *handAlarm) Set(after time.Duration) {
	c := a.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alarms == nil {
		c.alarms = map[*handAlarm]time.Duration{}
	}
	c.alarms[a] = c.now + after
}

func (a *handAlarm) Stop() {
	c := a.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.alarms, a)
}

// clocked gives the server a Mux of its own that goes by k (nil: the system) and by a clock.
func clocked(t *testing.T, k sys.Kernel, clock *handClock) func(*server.Config) {
	return func(c *server.Config) {
		mux, err := engine.NewMux(engine.MuxConfig{
			Loops: 2, Logger: c.Logger, SlowCallback: -1, Reactor: reactor.Config{Kernel: k, Clock: clock},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := mux.Terminate(); err != nil {
				t.Error("Terminate:", err)
			}
		})
		c.Mux = (*conn.Mux)(mux)
	}
}

// contract.md, Connection limits: so many as AcceptBurst at a time, then AcceptRate in a
// second; those above are reset and counted, and those who are in are served on.
func TestAcceptRate(t *testing.T) {
	for _, tt := range []struct {
		rate  float64
		burst int
		steps []time.Duration // before each try
		want  string          // s: served, r: reset
	}{
		{2, 3, []time.Duration{0, 0, 0, 0, 500 * time.Millisecond, 0, 499 * time.Millisecond, 0, time.Millisecond, time.Hour, 0, 0, 0}, "sssrsrrrssssr"},
		{2.5, 0, []time.Duration{0, 0, 0, 0, 400 * time.Millisecond, 0}, "sssrsr"},
		{0.1, 0, []time.Duration{0, 0, 9 * time.Second, time.Second, 0}, "srrsr"},
	} {
		t.Run(fmt.Sprintf("%v per second, %d at a time", tt.rate, tt.burst), func(t *testing.T) {
			clock, k := &handClock{}, &originKernel{}
			k.set("192.0.2.1")
			rec := newRecorder(echoing())
			f := start(t, "tcp", rec, clocked(t, k, clock), func(c *server.Config) {
				c.Listeners[0].AcceptRate, c.Listeners[0].AcceptBurst = tt.rate, tt.burst
			})
			var served []*peer
			resets := uint64(0)
			for i, d := range tt.steps {
				clock.advance(d)
				if tt.want[i] == 'r' {
					f.mustBeRefused()
					resets++
					continue
				}
				p := f.dial()
				p.echo(fmt.Sprint("try ", i))
				served = append(served, p)
			}
			for _, p := range served {
				p.echo("served on")
			}
			if st := f.mainStats(); st.Rejected[server.RejectedRate] != resets || st.Accepted != uint64(len(served)) {
				t.Errorf("%v refused, want %d; %d accepted, want %d", st.Rejected, resets, st.Accepted, len(served))
			}
		})
	}
}

// contract.md, Connection limits: a peer that has too many connections doesn't use up the
// rate of the others, and one that's refused for the rate isn't counted as having one.
func TestAcceptRateAndAddresses(t *testing.T) {
	clock, k := &handClock{}, &originKernel{}
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, clocked(t, k, clock), func(c *server.Config) {
		l := &c.Listeners[0]
		l.MaxPerAddress, l.AcceptRate, l.AcceptBurst = 1, 1, 2
	})
	k.set("192.0.2.1")
	f.dial().echo("one")
	for range 3 {
		f.mustBeRefused() // for the address
	}
	k.set("192.0.2.2")
	f.dial().echo("the second token is still there")
	k.set("192.0.2.3")
	f.mustBeRefused() // for the rate
	clock.advance(time.Second)
	f.dial().echo("nothing was held against it")
	st := f.mainStats()
	if st.Rejected[server.RejectedPerAddress] != 3 || st.Rejected[server.RejectedRate] != 1 || st.Accepted != 3 {
		t.Errorf("%v refused, %d accepted", st.Rejected, st.Accepted)
	}
}

// contract.md, Connection limits: a Unix-domain listener can have a rate, too, and one
// listener's isn't another's.
func TestAcceptRateIsTheListeners(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec, side, func(c *server.Config) { c.Listeners[0].AcceptRate = 1e-6 })
		p := f.dial()
		p.echo("the first")
		f.mustBeRefused()
		f.bystander().echo("the other listener")
		p.echo("still served")
	})
}
