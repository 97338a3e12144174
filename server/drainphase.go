package server

import (
	"fmt"
	"time"

	"github.com/sluice-net/sluice/internal/lock"
)

// DrainPhase is how far a drain has come.
type DrainPhase uint8

// The phases, each of which may be left out.
const (
	DrainNone     DrainPhase = iota // it hasn't begun
	DrainGrace                      // connections are served on; those that are quiet are shut down
	DrainEvicting                   // the rest are shut down, too, a few at a time
	DrainAborting                   // the time is over: what's left is reset
	DrainOver                       // none is left, or those that are have been left behind
)

var drainPhaseNames = [...]string{"none", "grace", "evicting", "aborting", "over"}

// String is the word for it in metrics.
func (p DrainPhase) String() string {
	if int(p) < len(drainPhaseNames) {
		return drainPhaseNames[p]
	}
	return "unknown"
}

// DrainStats tell how a drain comes along.
type DrainStats struct {
	Phase     DrainPhase
	Begun     time.Time // zero before
	Remaining int       // connections that are open still; 0 before
	Quiet     int       // shut down because they were quiet
	Evicted   int       // shut down because the time was running out
	Aborted   int       // reset because it was over
}

// draining is the account of a drain.
type draining struct {
	mu    lock.Mutex
	stats DrainStats // but for Remaining; guarded by mu
}

// become moves to a later phase.
func (d *draining) become(next DrainPhase) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if next <= d.stats.Phase {
		panic(fmt.Sprintf("sluice: server: illegal move from drain phase %v to %v", d.stats.Phase, next))
	}
	if d.stats.Begun.IsZero() {
		d.stats.Begun = time.Now()
	}
	d.stats.Phase = next
}

// phase is where the drain is.
func (d *draining) phase() DrainPhase {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats.Phase
}

// shutDown counts connections that were told to end.
func (d *draining) shutDown(quiet, evicted int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Quiet += quiet
	d.stats.Evicted += evicted
}

// aborted counts those that were reset.
func (d *draining) aborted(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Aborted += n
}

// copy is the account, with what remains.
func (d *draining) copy(open int) DrainStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.stats
	if st.Phase != DrainNone {
		st.Remaining = open
	}
	return st
}
