package loadtest

import (
	"context"
	"time"
)

// A sleeper waits for times, again and again, with one timer. It's one goroutine's.
type sleeper struct {
	timer *time.Timer
}

// sleep waits. It reports whether the time has come, and not the end of ctx.
func (s *sleeper) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	if s.timer == nil {
		s.timer = time.NewTimer(d)
	} else {
		s.timer.Reset(d)
	}
	select {
	case <-s.timer.C:
		return true
	case <-ctx.Done():
		s.timer.Stop()
		return false
	}
}
