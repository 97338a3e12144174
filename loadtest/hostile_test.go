package loadtest_test

import (
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// Hostile clients are there, each in its way, beside honest ones whose replies are right.
func TestHostile(t *testing.T) {
	t.Parallel()
	all := map[loadtest.HostileKind]int{
		loadtest.Slowloris: 2, loadtest.NeverRead: 2, loadtest.HalfClose: 1, loadtest.Reset: 1, loadtest.StallHandshake: 2,
	}
	target := serve(t, listen(t), echo)
	r, _ := run(t, loadtest.Load{
		Targets: []loadtest.Target{target}, Rate: 1000, Messages: 300, Hostile: all, Interval: 50 * time.Millisecond,
	})
	mustBeRight(t, r, 300)
	for _, kind := range []loadtest.HostileKind{loadtest.Slowloris, loadtest.NeverRead, loadtest.StallHandshake} {
		var most uint64
		for _, i := range r.Intervals {
			most = max(most, i.Hostile[string(kind)])
		}
		if most != uint64(all[kind]) {
			t.Errorf("%s: at most %d, want %d", kind, most, all[kind])
		}
	}
}

// With TLS, those that misbehave later have made their handshake, and the one that stalls
// hasn't.
func TestHostileTLS(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	done := 0
	server := startTLS(t, func(c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error {
			mu.Lock()
			defer mu.Unlock()
			done++
			return nil
		}
	})
	r, total := run(t, loadtest.Load{
		Targets: []loadtest.Target{server.target}, Connections: 1, Rate: 200, Messages: 60, TLS: &tls.Config{RootCAs: server.roots},
		Hostile: map[loadtest.HostileKind]int{loadtest.Slowloris: 1, loadtest.StallHandshake: 3},
	})
	mustBeRight(t, r, 60)
	mu.Lock()
	defer mu.Unlock()
	if done < 2 || done > 3 || total.Histograms[result.HandshakeFull].Count() != 1 { // the look before, the honest one, perhaps the slow one
		t.Errorf("%d handshakes, %d measured", done, total.Histograms[result.HandshakeFull].Count())
	}
}
