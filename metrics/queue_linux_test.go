package metrics_test

import (
	"testing"

	"github.com/sluice-net/sluice/server"
)

// TestAcceptQueues holds that TCP listeners have their accept queue shown while they
// accept, and Unix-domain ones, which the system doesn't tell of, have none.
func TestAcceptQueues(t *testing.T) {
	s := newServer(t, "tcp", newEcho(), on(newMux(t, 1)), func(c *server.Config) {
		c.Listeners[0].Backlog = 9
		c.Listeners = append(c.Listeners, server.Listener{Name: "file", Network: "unix", Address: socketPath(t)})
	})
	h := handlerFor(t, s)
	start(t, s)
	got := scrape(t, h)
	got.must(t, figures{of("accept_queue_length", "default"): 0, of("accept_queue_limit", "default"): 9})
	if n, ok := got[`sluice_accept_queue_limit{listener="file",server="default"}`]; ok {
		t.Errorf("a Unix-domain listener has the limit %v", n)
	}
	stop(s)
	if n, ok := scrape(t, h)[of("accept_queue_limit", "default")]; ok {
		t.Errorf("a listener that's closed has the limit %v", n)
	}
}
