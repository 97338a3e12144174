package metrics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// defaultHealthTimeout is how long a loop may take to answer. One that's busy answers
// after a turn, which takes milliseconds.
const defaultHealthTimeout = time.Second

// healthy returns nil if every loop turns that a server needs.
func (c *Collector) healthy(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var asked []question
	seen := map[*loops]bool{}
	for _, s := range c.look() {
		if s.loops == nil || seen[s.loops] {
			continue
		}
		seen[s.loops] = true
		for i, beat := range s.loops.beats {
			answer, err := beat.ask()
			if err == nil {
				asked = append(asked, question{s.loops.first + i, answer})
			} else if s.loops.failed() || c.serving(s.loops) {
				return fmt.Errorf("event loop %d has ended: the log says why; restart the process", s.loops.first+i)
			}
		}
	}
	return await(ctx, asked, within)
}

// serving reports whether a server on these loops should be. Otherwise they may end:
// those of a server's own do so shortly before it has stopped.
func (c *Collector) serving(l *loops) bool {
	return slices.ContainsFunc(c.look(), func(s sight) bool { return s.loops == l && s.stats.State == stateRunning })
}

// question is what a loop was asked.
type question struct {
	loop   int
	answer <-chan struct{} // closed
}

func await(ctx context.Context, asked []question, within time.Duration) error {
	var silent []string
	for _, q := range asked {
		select {
		case <-q.answer:
		case <-ctx.Done():
			select {
			case <-q.answer: // both were ready
			default:
				silent = append(silent, strconv.Itoa(q.loop))
			}
		}
	}
	if len(silent) == 0 {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("the request was given up before all event loops had answered")
	}
	return fmt.Errorf("no answer within %v from event loop %s: a callback keeps it waiting, and the log has its stack; move what blocks to a goroutine",
		within, strings.Join(silent, ", "))
}

// heartbeat asks one loop. All who ask meanwhile share a question, so that probes can't
// pile up behind a loop that's stuck.
type heartbeat struct {
	// Immutable.
	post func(func()) error

	// Guarded by mu.
	mu    sync.Mutex
	asked chan struct{} // closed by the answer; nil: not asked
}

// ask returns a channel that is closed when the loop has turned.
func (h *heartbeat) ask() (<-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked == nil {
		if err := h.post(h.answer); err != nil {
			return nil, err
		}
		h.asked = make(chan struct{})
	}
	return h.asked, nil
}

// answer runs on the loop.
func (h *heartbeat) answer() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.asked)
	h.asked = nil
}
