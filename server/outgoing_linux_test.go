package server_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// fullQueue makes a Unix-domain listener that accepts nobody, and fills its queue.
func fullQueue(t *testing.T, path string) {
	t.Helper()
	var k sys.OS
	at := sys.Addr{Path: path}
	l, _, err := sys.ListenOn(&k, sys.ListenSpec{Addr: at, Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	fds := []int{l}
	t.Cleanup(func() {
		for _, fd := range fds {
			k.Close(fd)
		}
	})
	for {
		fd, err := k.Socket(at, sys.Options{})
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		switch errno := k.Connect(fd, at); errno {
		case 0:
		case unix.EAGAIN:
			return
		default:
			t.Fatal(errno)
		}
	}
}

// A context that ends ends the attempt; nobody answers at the other end.
func TestConnectIsGivenUp(t *testing.T) {
	address := socketPath(t)
	fullQueue(t, address)
	d := newDialer()
	srv := startDialer(t, d)
	target := server.Target{Network: "unix", Address: address, Timeout: -1}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := srv.Connect(ctx, target, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Connect: %v", err)
	}
	d.wait(t, "created", "before x", "released")
	// And so does the end of the server.
	if err := srv.AsyncConnect(target, "y"); err != nil {
		t.Fatal(err)
	}
	d.wait(t, "created", "before x", "released", "created", "before y")
	ended, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_ = srv.Shutdown(ended)
	d.wait(t, "created", "before x", "released", "created", "before y", "failed", "released")
}
