package engine_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// locked is a buffer for a log that's written on loops.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
	has chan struct{} // signalled by each line
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.has <- struct{}{}:
	default:
	}
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestMux(t *testing.T) {
	if _, err := engine.NewMux(engine.MuxConfig{TurnBudget: -1}); err == nil || !strings.Contains(err.Error(), "TurnBudget") {
		t.Errorf("%v; want an error that names the field", err)
	}
	if _, err := engine.NewMux(engine.MuxConfig{Loops: -1}); err == nil {
		t.Error("-1 loops")
	}
	log := &locked{has: make(chan struct{}, 1)}
	m, err := engine.NewMux(engine.MuxConfig{
		Loops: 2, SlowCallback: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	must(t, err)
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		if err := m.Run(); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	started := make(chan struct{})
	must(t, m.Post(func() { close(started) }))
	receive(t, started, "Start")
	if err := m.Start(); !errors.Is(err, engine.ErrMode) {
		t.Errorf("a second Start: %v, want ErrMode", err)
	}
	if err := m.Run(); !errors.Is(err, engine.ErrMode) {
		t.Errorf("a second Run: %v, want ErrMode", err)
	}
	must(t, m.Post(func() { panic("it blew up") }))
	quit := make(chan struct{})
	must(t, m.Post(func() { <-quit }))
	for !strings.Contains(log.String(), "keeps its loop waiting") {
		receive(t, log.has, "a line in the log")
	}
	close(quit)
	if got := log.String(); !strings.Contains(got, "it blew up") || !strings.Contains(got, "TestMux") {
		t.Errorf("the log has no panic, or no stack:\n%s", got)
	}
	must(t, m.Terminate())
	receive(t, ran, "Run")
	must(t, m.Terminate())
	if err := m.Post(func() {}); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Post after Terminate: %v, want ErrClosed", err)
	}
}

// IIoMux: Terminate may be called inside a callback, as the seed's server example does.
func TestTerminateOnALoop(t *testing.T) {
	m, err := engine.NewMux(engine.MuxConfig{Loops: 2, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	result := make(chan error, 1)
	must(t, m.Post(func() { result <- m.Terminate() }))
	must(t, m.Run())
	must(t, receive(t, result, "Terminate"))
	must(t, m.Terminate())
	if err := m.Post(func() {}); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Post after Terminate: %v, want ErrClosed", err)
	}
}

func TestMuxLogsAPollerThatFails(t *testing.T) {
	log := &locked{has: make(chan struct{}, 1)}
	m, err := engine.NewMux(engine.MuxConfig{
		Loops: 1, Logger: slog.New(slog.NewTextHandler(log, nil)),
		Reactor: reactor.Config{NewPoller: func() (reactor.Poller, error) {
			return broken{&poller{woken: make(chan struct{}, 1)}}, nil
		}},
	})
	must(t, err)
	told := 0
	cancel := m.OnError(func(string, error) { t.Error("told after cancel") })
	m.OnError(func(message string, err error) {
		if told++; !strings.Contains(message, "event loop") || !strings.Contains(err.Error(), "broken") {
			t.Errorf("told of %q: %v", message, err)
		}
	})
	cancel()
	select {
	case <-m.Failed():
		t.Error("failed before it was started")
	default:
	}
	must(t, m.Run())
	receive(t, m.Failed(), "Failed")
	must(t, m.Terminate())
	if told != 1 {
		t.Errorf("told of %d failures", told)
	}
	if got := log.String(); !strings.Contains(got, "an event loop has failed") || !strings.Contains(got, "broken") {
		t.Errorf("the log: %s", got)
	}
}
