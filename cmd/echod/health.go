package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

// healthWithin is how long a loop may take to answer. One that is busy answers after a
// turn, which takes milliseconds.
const healthWithin = time.Second

// health tells whether the event loops turn.
type health struct {
	loops  []*heartbeat
	within time.Duration
}

// newHealth looks at each loop by itself. conn.Mux.Post asks one of them, and a loop
// that is stuck keeps only its own connections waiting.
func newHealth(mux *conn.Mux) *health {
	h := &health{within: healthWithin}
	for _, r := range (*engine.Mux)(mux).Group.Reactors() {
		h.loops = append(h.loops, &heartbeat{post: r.PostFunc})
	}
	return h
}

// check returns nil if every loop answers in time.
func (h *health) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.within)
	defer cancel()
	answers := make([]<-chan struct{}, len(h.loops))
	for i, l := range h.loops {
		answer, err := l.ask()
		if err != nil {
			return fmt.Errorf("event loop %d has ended", i)
		}
		answers[i] = answer
	}
	var silent []string
	for i, answer := range answers {
		select {
		case <-answer:
		case <-ctx.Done():
			select {
			case <-answer: // both were ready
			default:
				silent = append(silent, strconv.Itoa(i))
			}
		}
	}
	if len(silent) > 0 {
		return fmt.Errorf("no answer within %v from event loop %s", h.within, strings.Join(silent, ", "))
	}
	return nil
}

// heartbeat asks one loop. All who ask meanwhile share a question, so that probes can't
// pile up behind a loop that is stuck.
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
