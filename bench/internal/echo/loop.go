//go:build linux

package echo

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// loop is what the clients share: their descriptors' events, and how far a run has come.
type loop struct {
	epoll    int
	events   []unix.EpollEvent // scratch
	waiting  int               // requests without a full reply
	sending  bool              // a full reply is followed by the next request
	progress Progress
}

func newLoop() (loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return loop{}, fmt.Errorf("echo: epoll_create1: %w", err)
	}
	return loop{epoll: epoll, events: make([]unix.EpollEvent, maxEvents)}, nil
}

// run serves events until no request is waiting. While more says so, which is asked only
// while sending, replies are followed by requests. timeout, in ms, is epoll_wait's.
func (l *loop) run(ctx context.Context, timeout int, more func(Progress) bool, serve func(*unix.EpollEvent) error) error {
	answered := l.progress // when the last reply came
	for l.waiting > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.EpollWait(l.epoll, l.events, timeout)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("echo: epoll_wait: %w", err)
		}
		for i := range max(n, 0) {
			if err := serve(&l.events[i]); err != nil {
				return err
			}
		}
		now := time.Now()
		if n <= 0 {
			l.progress.Idle += now.Sub(l.progress.Now)
		}
		l.progress.Now = now
		if l.progress.Echoes != answered.Echoes {
			answered = l.progress
		} else if now.Sub(answered.Now) > stallLimit {
			return fmt.Errorf("echo: %w for %v, %d requests are waiting", ErrStalled, stallLimit, l.waiting)
		}
		if l.sending {
			l.sending = more(l.progress)
		}
	}
	return nil
}
