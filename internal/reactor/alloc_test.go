//go:build !race

package reactor_test

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/reactor"
)

// reactor doc: posts are intrusive and timers too, so the hot path allocates nothing.
func TestHotPathAllocatesNothing(t *testing.T) {
	drive(t, reactor.Config{}, func(l *loop) {
		h := &handler{event: func(reactor.Events) {}, task: func() {}, timer: func(*reactor.Timer) {}}
		must(t, l.r.Register(7, h))
		tm := &reactor.Timer{Target: h}
		tests := map[string]func(){
			"event": func() { l.dispatch(7, reactor.In) },
			"post": func() {
				must(t, l.r.Post(h))
				l.turn()
			},
			"arm and disarm": func() {
				l.r.Arm(tm, time.Second)
				l.r.Disarm(tm)
			},
			"arm and fire": func() {
				l.r.Arm(tm, 0)
				l.late(2 * tick)
			},
		}
		for name, f := range tests {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
