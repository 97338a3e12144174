package engine

import (
	"context"
	"log/slog"
)

// ShieldLogger returns a logger whose handler may panic: what's logged is about things
// that must go on.
func ShieldLogger(l *slog.Logger) *slog.Logger {
	if _, ok := l.Handler().(shield); ok {
		return l
	}
	return slog.New(shield{l.Handler()})
}

type shield struct{ h slog.Handler }

func (s shield) Enabled(ctx context.Context, level slog.Level) (on bool) {
	defer func() { _ = recover() }()
	return s.h.Enabled(ctx, level)
}

func (s shield) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = recover() }()
	return s.h.Handle(ctx, r)
}

func (s shield) WithAttrs(attrs []slog.Attr) (h slog.Handler) {
	h = s
	defer func() { _ = recover() }()
	return shield{s.h.WithAttrs(attrs)}
}

func (s shield) WithGroup(name string) (h slog.Handler) {
	h = s
	defer func() { _ = recover() }()
	return shield{s.h.WithGroup(name)}
}
