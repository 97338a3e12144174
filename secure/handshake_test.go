package secure_test

import (
	"crypto"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// quitter is a key whose first signature never comes, because its goroutine ends.
type quitter struct {
	crypto.Signer
	calls int
}

func (q *quitter) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if q.calls++; q.calls == 1 {
		runtime.Goexit()
	}
	return q.Signer.Sign(r, digest, o)
}

// hanging is a key that doesn't sign until it may.
type hanging struct {
	crypto.Signer
	asked, proceed chan struct{}
}

func (h hanging) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	close(h.asked)
	<-h.proceed
	return h.Signer.Sign(r, digest, o)
}

// faults.md, User code: a key that blocks doesn't keep its connection from ending; the gate
// counts the handshake, and its slot, until the key returns.
func TestKeyThatBlocks(t *testing.T) {
	self, err := secure.SelfSigned(time.Hour, "localhost")
	must(t, err)
	key := hanging{self.Pair.PrivateKey.(crypto.Signer), make(chan struct{}), make(chan struct{})}
	self.Pair.PrivateKey = key
	gate := secure.NewGate(1, 1)
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{self}, Gate: gate})
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: discard,
		Listeners: []server.Listener{{Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
	})
	must(t, err)
	must(t, srv.Start())
	dialed := make(chan outcome, 1)
	go func() { dialed <- dial(srv.Addrs()["l"][0].String(), &tls.Config{InsecureSkipVerify: true}) }()
	<-key.asked
	srv.AbortAllConnections() // as the deadline does
	if o := <-dialed; o.err == nil {
		t.Error("it has signed")
	}
	if n := gate.Pending(); n != 1 {
		t.Errorf("%d handshakes are under way, want the one whose key blocks", n)
	}
	close(key.proceed)
	for gate.Pending() > 0 {
		runtime.Gosched() // its goroutine is on its way out
	}
	must(t, srv.Shutdown(t.Context()))
}

// faults.md, User code: what the program's own functions do in a handshake, be it
// runtime.Goexit, ends that connection only, at once, and gives the gate's slot back.
func TestHandshakeWhoseGoroutineEnds(t *testing.T) {
	self, err := secure.SelfSigned(time.Hour, "localhost")
	must(t, err)
	self.Pair.PrivateKey = &quitter{Signer: self.Pair.PrivateKey.(crypto.Signer)}
	gate := secure.NewGate(1, 1)
	x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{self}, Gate: gate, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
	})
	must(t, err)
	must(t, srv.Start())
	for i := range 2 {
		raw, err := net.Dial("tcp", srv.Addrs()["l"][0].String())
		must(t, err)
		must(t, raw.SetDeadline(time.Now().Add(5*time.Second)))
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		if err := c.Handshake(); (err == nil) != (i == 1) {
			t.Errorf("handshake %d: %v", i, err)
		}
		must(t, raw.Close())
	}
	must(t, srv.Shutdown(t.Context()))
	if n := gate.Pending(); n != 0 {
		t.Errorf("%d handshakes are still under way", n)
	}
}
