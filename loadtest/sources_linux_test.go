package loadtest_test

import (
	"net"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/loadtest"
)

// Connections come from the addresses that were asked for, in turn.
func TestSources(t *testing.T) {
	t.Parallel()
	sources, err := loadtest.ParseSources("127.9.0.0/16,127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	target := serve(t, listen(t), func(c net.Conn) {
		mu.Lock()
		seen[c.RemoteAddr().(*net.TCPAddr).IP.String()]++
		mu.Unlock()
		echo(c)
	})
	r, _ := run(t, loadtest.Load{Targets: []loadtest.Target{target}, Sources: sources, Connections: 6, Rate: 6000, Messages: 120})
	mustBeRight(t, r, 120)
	mu.Lock()
	defer mu.Unlock()
	seen["127.9.0.1"]-- // the look before
	want := map[string]int{"127.9.0.1": 1, "127.9.0.2": 1, "127.9.0.3": 1, "127.0.0.1": 3}
	for address, n := range want {
		if seen[address] != n {
			t.Errorf("%v, want %v", seen, want)
		}
	}
}
