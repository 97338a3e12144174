package engine

import (
	"log/slog"

	"github.com/sluice-net/sluice/buffers"
)

// EnvKey is what sockets that share an Env have in common. Sessions must be comparable.
type EnvKey struct {
	Consumer  Consumer
	Memory    MemoryConsumer
	Allocator *buffers.Allocator
	Logger    *slog.Logger
	Sessions  SessionFactory
	Category  Category
	Flow      Flow
	Timeouts  Timeouts
	Muted     Categories
}

// ShareEnv returns the Env of those sockets of the Mux that want the same. Each has
// counters and caches for every loop, which is too much for a socket alone. Unshare gives
// it back.
func (m *Mux) ShareEnv(k EnvKey) *Env {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.envs[k]
	if e == nil {
		e = &Env{
			Mux: m, Consumer: k.Consumer, Memory: k.Memory, Allocator: k.Allocator, Logger: ShieldLogger(k.Logger),
			Sessions: k.Sessions, Category: k.Category, Flow: k.Flow, Timeouts: k.Timeouts, Muted: k.Muted,
			Wildcard: true, Track: true, key: k,
		}
		e.InitShards()
		m.envs[k] = e
	}
	e.users++
	return e
}

// Share counts one more who uses it.
func (e *Env) Share() {
	e.Mux.mu.Lock()
	defer e.Mux.mu.Unlock()
	e.users++
}

// Unshare counts one less.
func (e *Env) Unshare() {
	e.Mux.mu.Lock()
	defer e.Mux.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(e.Mux.envs, e.key)
	}
}
