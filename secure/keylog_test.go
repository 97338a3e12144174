package secure_test

import (
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
)

// failing is a KeyLog whose first line isn't written.
type failing struct {
	book
	how   func()
	calls int
}

func (f *failing) Write(p []byte) (int, error) {
	if f.calls++; f.calls == 1 {
		f.how()
	}
	return f.book.Write(p)
}

// faults.md, User code: a KeyLog that panics, or ends its goroutine, ends that handshake. All
// others go on, although crypto/tls calls it under a lock of the whole process.
func TestKeyLogThatFails(t *testing.T) {
	ca := authority(t, "secrets")
	for name, how := range map[string]func(){"panic": func() { panic("of the KeyLog") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			secrets := &failing{how: how}
			x := newContext(t, secure.Config{
				Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()},
				KeyLog:       secrets, Gate: secure.NewGate(1, 0),
			})
			at := serve(t, echo{}, x)[0]
			for i := range 2 {
				raw, err := net.Dial("tcp", at)
				must(t, err)
				must(t, raw.SetDeadline(time.Now().Add(5*time.Second)))
				c := tls.Client(raw, trusting(ca, "a.test"))
				if err := c.Handshake(); (err == nil) != (i == 1) {
					t.Errorf("handshake %d: %v", i, err)
				}
				must(t, raw.Close())
			}
			if secrets.String() == "" {
				t.Error("nothing was written afterwards")
			}
		})
	}
}
