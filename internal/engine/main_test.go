package engine_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case v := <-c:
		return v
	case <-timeout.C:
		t.Fatalf("%s: nothing in %v", what, patience)
		panic("unreachable")
	}
}

// must fails the test, and goes on: it's used on loops and other goroutines too, which
// may not end a test.
func must(t testing.TB, err error) {
	if err != nil {
		t.Helper() // asked for each time it would be most of what benchmarks measure
		t.Error(err)
	}
}

// off runs f on another goroutine, and returns when it has returned.
func off(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// text is n bytes that differ from one place to the next.
func text(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}
