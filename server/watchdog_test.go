package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// faults.md: a callback that blocks: the watchdog reports it with the stack; other reactors
// are normal meanwhile.
func TestWatchdogReportsABlockedCallback(t *testing.T) {
	cases := []struct {
		callback string
		block    func(h *hooks, f func())
		provoke  func(j *journal, p *peer)
	}{
		{cbRead, func(h *hooks, f func()) {
			h.read = func(c *conn.Stream, b *buffers.Buffer) {
				if b.Len() == len("block") {
					f()
				}
				c.Write(b)
				c.Read()
			}
		}, nil},
		{cbClientClose, func(h *hooks, f func()) { h.clientClose = func(*conn.Stream) { f() } }, func(_ *journal, p *peer) { p.closeWrite() }},
		{"blockedPost", func(*hooks, func()) {}, nil},
	}
	for _, tc := range cases {
		t.Run(tc.callback, func(t *testing.T) {
			h := echoing()
			inside, release := make(chan struct{}), make(chan struct{})
			block := func() {
				close(inside)
				<-release
			}
			tc.block(&h, block)
			rec := newRecorder(h)
			f := start(t, "tcp", rec, loops(t, 2, func(m *conn.MuxConfig) { m.SlowCallback = 40 * time.Millisecond }))
			reports := make(chan logRecord, 10)
			f.logs.mu.Lock()
			f.logs.on = func(r logRecord) {
				if r.message == "a callback keeps its loop waiting" {
					select {
					case reports <- r:
					default:
					}
				}
			}
			f.logs.mu.Unlock()
			victim, other := f.dial(), (*peer)(nil)
			victim.echo("before")
			other = f.dial() // on the other loop, by round-robin
			other.echo("before")
			switch {
			case tc.callback == "blockedPost":
				if err := rec.next(t, 0).stream.Post(func(*conn.Stream) { blockedPost(block) }); err != nil {
					t.Fatal(err)
				}
			case tc.provoke != nil:
				tc.provoke(rec.next(t, 0), victim)
			default:
				victim.writeString("block")
			}
			receive(t, inside, "the callback")
			report := receive(t, reports, "the watchdog's report")
			if !strings.Contains(report.attrs["stack"], tc.callback) {
				t.Errorf("the stack doesn't name %s:\n%s", tc.callback, report.attrs["stack"])
			}
			for range 100 {
				other.echo("ping")
			}
			close(release)
			if tc.callback == cbRead {
				victim.expect("block")
			}
			if n := f.srv.Stats().Slow; n == 0 {
				t.Error("it wasn't counted")
			}
		})
	}
}

//go:noinline
func blockedPost(block func()) { block() }

// DESIGN: one report for each call that's slow.
func TestWatchdogIsOffOnRequest(t *testing.T) {
	blocked := make(chan struct{})
	rec := newRecorder(hooks{established: func(c *conn.Stream) {
		if c.Origin() == "main" {
			<-blocked
		}
		c.Read()
	}, read: echoing().read})
	f := start(t, "tcp", rec, side, func(c *server.Config) {
		loops(t, 2, func(m *conn.MuxConfig) { m.SlowCallback = -1 })(c)
	})
	// The listeners take turns on the loops: "side" is on the second one.
	p := f.dial()
	q := f.bystander()
	q.echo("one")
	close(blocked)
	p.echo("two")
	if st := f.srv.Stats(); st.Slow != 0 {
		t.Errorf("%d reports", st.Slow)
	}
}
