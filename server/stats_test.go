package server_test

import (
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// TestWhatAServerHas holds that a server tells what it was given, and what it made
// itself.
func TestWhatAServerHas(t *testing.T) {
	f := start(t, "tcp", newRecorder(hooks{}), loops(t, 1), func(c *server.Config) { c.Name, c.MaxConnections = "a name", 3 })
	if f.srv.Mux() != f.mux || f.srv.Allocator() != f.alloc || f.srv.Name() != "a name" || f.srv.Stats().Limit != 3 {
		t.Errorf("%p, %p, %q, %d", f.srv.Mux(), f.srv.Allocator(), f.srv.Name(), f.srv.Stats().Limit)
	}

	own, err := server.New(server.Config{Callback: newRecorder(hooks{})})
	if err != nil {
		t.Fatal(err)
	}
	if own.Mux() != nil || own.Allocator() == nil || own.Name() != "" || own.Stats().Limit != 0 {
		t.Errorf("before Start: %p, %p, %q, %d", own.Mux(), own.Allocator(), own.Name(), own.Stats().Limit)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	mux := own.Mux()
	if mux == nil || len(own.Stats().Reactors) == 0 {
		t.Errorf("after Start: %p, %v", mux, own.Stats().Reactors)
	}
	if err := own.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if own.Mux() != mux {
		t.Errorf("after Shutdown: %p", own.Mux())
	}
}

// TestMuxBeforeStart holds that a Mux which was given is told at once, but that nothing
// is reported of it.
func TestMuxBeforeStart(t *testing.T) {
	mux, err := conn.NewMux(conn.MuxConfig{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer mux.Terminate()
	s, err := server.New(server.Config{Callback: newRecorder(hooks{}), Mux: mux, Allocator: buffers.New(buffers.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	if s.Mux() != mux || len(s.Stats().Reactors) != 0 {
		t.Errorf("%p, %v", s.Mux(), s.Stats().Reactors)
	}
}
