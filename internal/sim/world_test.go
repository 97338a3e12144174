package sim_test

import (
	"testing"

	"github.com/sluice-net/sluice/internal/sim"
)

// A goroutine that the world doesn't know of would run out of turn, and no seed would
// bring its course back.
func TestStrangersAreRefused(t *testing.T) {
	var refused any
	sim.Run(t, sim.Seed(1), false, func(w *sim.World) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { refused = recover() }()
			w.Yield()
		}()
		<-done
	})
	if refused != "sim: a goroutine that the world hasn't spawned" {
		t.Errorf("panicked with %v", refused)
	}
}
