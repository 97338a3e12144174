package server

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// pace is how fast a listener accepts: a bucket of tokens, of which each connection takes
// one. Nil: as fast as they come.
type pace struct{ bucket *rate.Limiter }

func newPace(l Listener) pace {
	if l.AcceptRate == 0 {
		return pace{}
	}
	return pace{rate.NewLimiter(rate.Limit(l.AcceptRate), l.burst())}
}

// burst is AcceptBurst, or what comes in a second.
func (l Listener) burst() int {
	if l.AcceptBurst > 0 {
		return l.AcceptBurst
	}
	return int(min(max(math.Ceil(l.AcceptRate), 1), math.MaxInt32))
}

// allow takes a token. now is the same clock's on all loops: one that stepped back would
// have its time counted twice.
func (p pace) allow(now time.Duration) bool {
	return p.bucket == nil || p.bucket.AllowN(time.Unix(0, int64(now)), 1)
}
