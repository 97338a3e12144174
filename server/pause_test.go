package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// seed-contract.md: OnStartAcceptingConnections, OnStopAcceptingConnections: again and again.
func TestStopAndStartAccepting(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(echoing())
		f := start(t, network, rec)
		before := f.dial()
		before.echo("before")
		for i := range 3 {
			for range 2 { // the second changes nothing
				if err := f.srv.StopAcceptingConnections(); err != nil {
					t.Fatal(err)
				}
			}
			waiting := f.dial() // the kernel accepts it
			before.echo("served on")
			if n := f.mainStats().Accepted; n != uint64(i)+1 {
				t.Errorf("%d connections accepted", n)
			}
			for range 2 {
				if err := f.srv.StartAcceptingConnections(); err != nil {
					t.Fatal(err)
				}
			}
			waiting.echo("after all")
			waiting.Close()
		}
		before.Close()
		f.stop()
		rec.mu.Lock()
		defer rec.mu.Unlock()
		starts, stops := 0, 0
		for _, e := range rec.events {
			switch e {
			case "OnStartAcceptingConnections":
				starts++
			case "OnStopAcceptingConnections":
				stops++
			}
		}
		if starts != 4 || stops != 4 {
			t.Errorf("%d starts and %d stops were told of", starts, stops)
		}
	})
}

// Out of its time it's refused; a paused server shuts down like any other, and doesn't say
// twice that it stops accepting.
func TestStopAcceptingOutOfTime(t *testing.T) {
	rec := newRecorder(echoing())
	fresh, err := server.New(server.Config{Callback: rec})
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.StopAcceptingConnections(); !errors.Is(err, conn.ErrMode) {
		t.Errorf("before Start: %v", err)
	}
	f := start(t, "tcp", rec)
	if err := f.srv.StopAcceptingConnections(); err != nil {
		t.Fatal(err)
	}
	f.shutdown(context.Background())
	if err := f.srv.StartAcceptingConnections(); !errors.Is(err, conn.ErrClosed) {
		t.Errorf("after Shutdown: %v", err)
	}
}
