package buffers_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/buffers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mustPanic runs f and fails unless it panics with a message that contains text.
func mustPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if v == nil {
			t.Fatalf("no panic; want one about %q", text)
		}
		if msg, _ := v.(string); !strings.Contains(msg, text) {
			t.Fatalf("panic %v; want one about %q", v, text)
		}
	}()
	f()
}

// mustBalance fails unless everything that a handed out has come back.
func mustBalance(t *testing.T, a *buffers.Allocator) {
	t.Helper()
	s := a.Stats()
	if s.Outstanding != 0 || s.InUse != 0 || s.Gets != s.Puts {
		t.Fatalf("not everything came back: %+v", s)
	}
	if l := a.Leaks(); len(l) != 0 {
		t.Fatalf("%d leaks; the first of %d bytes from\n%s", len(l), l[0].Size, l[0].Stack)
	}
}

// text is n bytes that differ from one place to the next.
func text(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}
