package server_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: a leaked reference never blocks Shutdown, nor does it take a place: also one to
// a connection that was never established.
func TestHeldInItsHandshake(t *testing.T) {
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, sessions(&xorSessions{}), func(c *server.Config) { c.MaxConnections = 1 })
	p := f.dial()
	rec.await(t, "the connection being accepted", func() bool { return rec.fds == 1 })
	var held *conn.Stream
	for c := range f.srv.Connections() {
		held = c.AddRef()
	}
	p.reset()
	for st := f.srv.Stats(); st.Open != 0 || st.Held != 1; st = f.srv.Stats() {
		runtime.Gosched() // until it's closed: no callback tells of it
	}
	q := f.dial() // the place is free again
	q.writeString("SLUICEk")
	rec.next(t, 0)
	q.Close()
	f.wantStop = func(err error) error {
		held.Release()
		if err == nil {
			t.Error("nobody says that a connection is held")
		}
		return nil
	}
}

// panicky is a slog.Handler that panics.
type panicky struct{ calls *atomic.Int64 }

func (panicky) Enabled(context.Context, slog.Level) bool { panic("in Enabled") }
func (panicky) WithGroup(string) slog.Handler            { panic("in WithGroup") }
func (panicky) WithAttrs([]slog.Attr) slog.Handler       { panic("in WithAttrs") }
func (panicky) Handle(context.Context, slog.Record) error {
	panic("in Handle")
}

// talking is enabled before it panics.
type talking struct{ panicky }

func (t talking) Enabled(context.Context, slog.Level) bool { return true }
func (t talking) Handle(context.Context, slog.Record) error {
	t.calls.Add(1)
	panic("in Handle")
}

// peers, rule: no log handler ends what it's told of.
func TestLogHandlerThatPanics(t *testing.T) {
	var calls atomic.Int64
	for name, h := range map[string]slog.Handler{"at once": panicky{&calls}, "later": talking{panicky{&calls}}} {
		t.Run(name, func(t *testing.T) {
			rec := newRecorder(echoing())
			f := start(t, "tcp", rec, func(c *server.Config) {
				c.Logger, c.Name, c.MaxConnections = slog.New(h), "named", 1
			})
			p := f.dial()
			p.echo("up")
			q := f.dial() // one too many, which is worth a line
			rec.heard(t, `OnMaximumConnections ""`)
			p.Close()
			q.echo("still up")
		})
	}
	if calls.Load() == 0 {
		t.Error("nothing was logged")
	}
}

// Whoever doesn't return from OnMaximumConnections doesn't have its calls pile up, and the
// log isn't flooded.
func TestMaximumReachedAgainAndAgain(t *testing.T) {
	const cycles = 300
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, func(c *server.Config) { c.MaxConnections = 1 })
	for range cycles {
		p := f.dial()
		p.echo("in and out")
		p.Close()
	}
	f.stop()
	if n := f.logs.count("the maximum of connections is reached; accepting pauses until one closes"); n == 0 || n > 30 {
		t.Errorf("%d lines about %d times", n, cycles)
	}
}
