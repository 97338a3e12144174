package engine_test

import (
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// DESIGN, Readiness: a short read means drained only for TCP on epoll, and only while
// neither PRI nor RDHUP or HUP was ever seen.
func TestShortRead(t *testing.T) {
	const tcp, unix = engine.CategoryTCP, engine.CategoryUnix
	type event struct {
		ev    reactor.Events
		data  string
		calls int // of Recv that follow
	}
	tests := []struct {
		name     string
		category engine.Category
		events   []event
	}{
		{"TCP", tcp, []event{{reactor.In, "a", 1}, {reactor.In, "b", 1}, {reactor.In, "", 1}}},
		{"Unix", unix, []event{{reactor.In, "a", 2}, {reactor.In, "b", 2}}},
		{"TCP, out-of-band for life", tcp, []event{
			{reactor.In, "a", 1}, {reactor.In | reactor.Pri, "b", 2}, {reactor.In, "c", 2}}},
		{"TCP, RDHUP for life", tcp, []event{
			{reactor.In, "a", 1}, {reactor.In | reactor.RdHup, "b", 2}, {reactor.In, "c", 2}}},
		{"TCP, HUP for life", tcp, []event{
			{reactor.In, "a", 1}, {reactor.Hup, "b", 2}, {reactor.In, "c", 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{env: &engine.Env{Category: tt.category}}, func(k *kit) {
				k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
				s, c := k.connect()
				must(t, c.Read())
				for i, e := range tt.events {
					before := len(s.recvs)
					s.in = []byte(e.data)
					k.fire(s, e.ev)
					if n := len(s.recvs) - before; n != e.calls {
						t.Errorf("event %d: %d calls, want %d", i, n, e.calls)
					}
				}
			})
		})
	}
}

// peers, Edge-triggered epoll: after `aaaa`, out-of-band `X`, `bbbb` one event comes, and
// a receive stops at the mark.
func TestReadsGoOnBehindAMark(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
		s, c := k.connect()
		must(t, c.Read())
		s.in, s.oob = []byte("aaaabbbb"), []byte("X")
		s.steps = []step{{n: 4}, {n: 4}}
		k.fire(s, reactor.In|reactor.Pri)
		if got := string(k.user.input[c]); got != "aaaabbbb" {
			t.Errorf("read %q", got)
		}
		k.user.want(c, "oob X", "read 4", "read 4")
	})
}
