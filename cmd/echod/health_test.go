package main

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

// startLoops runs event loops without a server.
func startLoops(t *testing.T, n int) *conn.Mux {
	t.Helper()
	mux, err := conn.NewMux(conn.MuxConfig{Loops: n, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := mux.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mux.Terminate() })
	return mux
}

// hold keeps one loop from turning until release is called.
func hold(t *testing.T, mux *conn.Mux, loop int) (release func()) {
	t.Helper()
	held, released := make(chan struct{}), make(chan struct{})
	err := (*engine.Mux)(mux).Group.Reactors()[loop].PostFunc(func() {
		close(held)
		<-released
	})
	if err != nil {
		t.Fatal(err)
	}
	<-held
	return func() { close(released) }
}

// TestHealth holds that any loop which is stuck shows, and that it's over when it's
// over.
func TestHealth(t *testing.T) {
	t.Parallel()
	const loops = 3
	mux := startLoops(t, loops)
	for stuck := range loops {
		h := newHealth(mux)
		h.within = patience
		if err := h.check(t.Context()); err != nil {
			t.Fatalf("all turn: %v", err)
		}
		release := hold(t, mux, stuck)
		h.within = 10 * time.Millisecond
		err := h.check(t.Context())
		release()
		// On a busy machine others may be late as well.
		if err == nil || !regexp.MustCompile(`no answer within 10ms from .*\b`+strconv.Itoa(stuck)+`\b`).MatchString(err.Error()) {
			t.Errorf("loop %d is stuck: %v", stuck, err)
		}
		h.within = patience
		if err := h.check(t.Context()); err != nil {
			t.Errorf("all turn again: %v", err)
		}
	}
}

func TestHealthAfterTheEnd(t *testing.T) {
	t.Parallel()
	mux := startLoops(t, 1)
	h := newHealth(mux)
	if err := mux.Terminate(); err != nil {
		t.Fatal(err)
	}
	if err := h.check(t.Context()); err == nil || !strings.Contains(err.Error(), "event loop 0 has ended") {
		t.Error(err)
	}
}

// TestProbesShareAQuestion holds that a loop which is stuck for long isn't left with a
// post for each probe.
func TestProbesShareAQuestion(t *testing.T) {
	t.Parallel()
	var posted []func()
	beat := &heartbeat{post: func(f func()) error {
		posted = append(posted, f)
		return nil
	}}
	h := &health{loops: []*heartbeat{beat}, within: patience}
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 10 {
		if err := h.check(gone); err == nil {
			t.Fatal("nobody answered")
		}
	}
	if len(posted) != 1 {
		t.Fatalf("%d questions", len(posted))
	}
	posted[0]()
	if err := h.check(gone); err == nil || len(posted) != 2 {
		t.Errorf("%v, %d questions; want a new one", err, len(posted))
	}
	beat.post = func(func()) error { return errors.New("ended") }
	posted[1]()
	if err := h.check(t.Context()); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Error(err)
	}
}
