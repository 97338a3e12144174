package engine_test

import (
	"log/slog"
	"testing"

	"github.com/sluice-net/sluice/internal/engine"
)

// Sockets that want the same share an Env, which goes with the last of them.
func TestShareEnv(t *testing.T) {
	m, err := engine.NewMux(engine.MuxConfig{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer func() { must(t, m.Terminate()) }()
	key := engine.EnvKey{Allocator: m.Allocator, Logger: m.Logger, Category: engine.CategoryUnix}
	a, b := m.ShareEnv(key), m.ShareEnv(key)
	key.Flow.High = 1
	other := m.ShareEnv(key)
	if a != b || a == other || a.Category != engine.CategoryUnix || other.Flow.High != 1 {
		t.Errorf("shared: %t, %t", a == b, a == other)
	}
	key.Flow.High = 0
	a.Unshare()
	a.Share()
	b.Unshare()
	if m.ShareEnv(key) != a {
		t.Error("it's gone, and somebody has it")
	}
	a.Unshare()
	a.Unshare()
	if m.ShareEnv(key) == a {
		t.Error("it's still there, and nobody has it")
	}
}
