package server_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/sluice-net/sluice/server"
)

// operations, Metrics: the accept queue of all of a listener's sockets, while there are any;
// a Unix-domain socket has none that the system tells of.
func TestAcceptQueue(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		rec := newRecorder(echoing())
		f := start(t, "tcp", rec, loops(t, 2), func(c *server.Config) {
			c.Listeners[0].ReusePort, c.Listeners[0].Backlog = reuse, 10
			c.Listeners = append(c.Listeners, server.Listener{Name: "file", Network: "unix", Address: socketPath(t)})
		})
		want := server.AcceptQueue{Known: true, Limit: 10}
		if reuse {
			want.Limit = 20
		}
		if got := f.mainStats().Queue; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if err := f.srv.StopAcceptingConnections(); err != nil {
			t.Fatal(err)
		}
		var peers []*peer
		for want.Length < 3 {
			peers = append(peers, f.dial())
			want.Length++
			// The last of its packets may be on the way when the client has connected.
			for late := time.Now().Add(failSafe); f.mainStats().Queue != want; runtime.Gosched() {
				if time.Now().After(late) {
					t.Fatalf("%+v, want %+v", f.mainStats().Queue, want)
				}
			}
		}
		if err := f.srv.StartAcceptingConnections(); err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			p.echo("hello")
		}
		want.Length = 0
		if st := f.srv.Stats().Listeners; st["main"].Queue != want || st["main"].Established != 3 || st["file"].Queue.Known || st["outgoing"].Queue.Known {
			t.Errorf("%+v", st)
		}
		for _, p := range peers {
			p.Close()
		}
		f.stop()
		if got := f.mainStats(); got.Queue.Known || got.Lives.Count() != 3 {
			t.Errorf("after the end %+v, %v", got.Queue, got.Lives)
		}
	}
}
