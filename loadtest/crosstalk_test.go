package loadtest_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// Issue: a crossed reply is known by name, be it shorter or longer than that whose place
// it takes, and whatever is around the payload.
func TestCrossTalkOfOtherSizes(t *testing.T) {
	t.Parallel()
	sizes, err := loadtest.ParseSizes("64-1024")
	if err != nil {
		t.Fatal(err)
	}
	for _, codec := range []loadtest.Codec{
		loadtest.Echo{},
		loadtest.Echo{Payload: loadtest.Text},
		loadtest.Line{Payload: loadtest.Text},
		loadtest.LengthPrefixed{},
	} {
		for range 10 { // the sizes differ from run to run
			// Two connections; each gets what the other one has sent.
			var mu sync.Mutex
			var have []net.Conn
			both := make(chan struct{})
			target := serve(t, listen(t), func(c net.Conn) {
				b := make([]byte, 2048)
				n, err := c.Read(b)
				if err != nil {
					return // the look at the target
				}
				mu.Lock()
				mine := len(have)
				have = append(have, c)
				if mine == 1 {
					close(both)
				}
				mu.Unlock()
				<-both
				if mine < 2 {
					mu.Lock()
					_ = write(have[1-mine], b[:n])
					mu.Unlock()
				}
				_, _ = c.Read(b)
			})
			r, total := run(t, loadtest.Load{
				Targets: []loadtest.Target{target}, Connections: 2, Messages: 2,
				Codec: codec, Sizes: sizes, Timeout: time.Second,
			})
			if len(total.Errors) != 1 || total.Errors[result.CrossTalk] != 2 {
				t.Fatalf("%v: %v, want two of cross-talk\n%v", codec, total.Errors, r.Examples)
			}
		}
	}
}
