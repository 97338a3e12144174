package reactor

import "time"

// Clock is the seam to time.
type Clock interface {
	// Now is monotonic.
	Now() time.Duration
	// NewAlarm makes an alarm that calls f, on any goroutine, when it goes off.
	NewAlarm(f func()) Alarm
}

// Alarm is a clock's one-shot timer. Set moves it, whether it is set or not.
type Alarm interface {
	Set(after time.Duration)
	Stop()
}

type systemClock struct{ start time.Time }

func newSystemClock() Clock { return systemClock{time.Now()} }

func (c systemClock) Now() time.Duration { return time.Since(c.start) }

func (c systemClock) NewAlarm(f func()) Alarm {
	t := time.AfterFunc(time.Hour, f)
	t.Stop()
	return systemAlarm{t}
}

type systemAlarm struct{ t *time.Timer }

func (a systemAlarm) Set(after time.Duration) { a.t.Reset(after) }
func (a systemAlarm) Stop()                   { a.t.Stop() }
