package metrics_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// selfSigned is a server's, with a certificate that lasts so long.
func selfSigned(t *testing.T, lifetime time.Duration) *secure.Context {
	t.Helper()
	own, err := secure.SelfSigned(lifetime, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{own}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func handshakes(listener, version string, resumed bool) string {
	return fmt.Sprintf("sluice_tls_handshakes_total{listener=%q,resumed=\"%t\",server=\"default\",version=%q}", listener, resumed, version)
}

func handshakeFailures(listener, reason string) string {
	return fmt.Sprintf("sluice_tls_handshake_failures_total{listener=%q,reason=%q,server=\"default\"}", listener, reason)
}

// TestHandshakesAreTheClients: the tls_* figures of operations.md are there from the start, at
// 0, where there's TLS, which listener_info tells, and become what the clients have counted.
func TestHandshakesAreTheClients(t *testing.T) {
	const rounds = 5
	mux, cb, x := newMux(t, 2), newEcho(), selfSigned(t, time.Hour)
	s := newServer(t, "tls", cb, on(mux), func(c *server.Config) {
		c.Listeners[0].TLS = x
		c.Listeners = append(c.Listeners, server.Listener{Name: "plain", Network: "tcp", Address: "127.0.0.1:0"})
	})
	start(t, s)
	h := handlerFor(t, s)
	want := figures{
		"sluice_tls_certificate_not_after_timestamp_seconds" + `{listener="main",server="default"}`: float64(x.NotAfter().Unix()),
	}
	for listener, transport := range map[string]string{"main": "tls", "plain": "tcp"} {
		want[fmt.Sprintf("sluice_listener_info{address=%q,listener=%q,server=\"default\",transport=%q}", s.Addrs()[listener][0], listener, transport)] = 1
	}
	for _, listener := range []string{"main", "outgoing"} {
		for _, version := range []string{"1.2", "1.3"} {
			want[handshakes(listener, version, false)], want[handshakes(listener, version, true)] = 0, 0
		}
		for _, reason := range []string{"timeout", "remote_alert", "local", "truncated", "too_many", "aborted"} {
			want[handshakeFailures(listener, reason)] = 0
		}
		want[fmt.Sprintf("sluice_tls_handshake_duration_seconds_count{listener=%q,server=\"default\"}", listener)] = 0
	}
	before := scrape(t, h)
	before.must(t, want)
	for _, series := range []string{
		handshakes("plain", "1.3", false), handshakeFailures("plain", "local"),
		`sluice_tls_certificate_not_after_timestamp_seconds{listener="outgoing",server="default"}`,
	} {
		if _, ok := before[series]; ok {
			t.Errorf("%s, without TLS", series)
		}
	}

	for version, name := range map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		client := &tls.Config{
			InsecureSkipVerify: true, ServerName: "localhost", MinVersion: version, MaxVersion: version,
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		for range rounds {
			c := tls.Client(dial(t, s), client)
			mustExchange(t, c, 1) // a ticket of TLS 1.3 is there when something is read
			want[handshakes("main", name, c.ConnectionState().DidResume)]++
			c.Close()
		}
		if full := want[handshakes("main", name, false)]; full != 1 {
			t.Errorf("%v full handshakes with %s, want 1", full, name)
		}
	}
	cb.end(t, 2*rounds)
	want[of("tls_handshake_duration_seconds_count", "default")] = 2 * rounds

	if c, err := tls.Dial("tcp", s.Addrs()["main"][0].String(), &tls.Config{ServerName: "localhost"}); err == nil {
		t.Error("it trusts us")
		c.Close()
	}
	receive(t, cb.released)
	want[handshakeFailures("main", "remote_alert")]++
	settle(t, mux)
	scrape(t, h).must(t, want)
}

// TestHandshakingShows: connections_open tells those apart whose handshake isn't over.
func TestHandshakingShows(t *testing.T) {
	mux := newMux(t, 2)
	s := newServer(t, "tls", newEcho(), on(mux), func(c *server.Config) { c.Listeners[0].TLS = selfSigned(t, time.Hour) })
	start(t, s)
	h := handlerFor(t, s)
	must := func(handshaking, open float64) {
		t.Helper()
		scrape(t, h).must(t, figures{stateOf("handshaking"): handshaking, stateOf("established"): open, stateOf("draining"): 0})
	}
	must(0, 0)
	slow := &stalling{Conn: dial(t, s), answered: make(chan struct{}), proceed: make(chan struct{})}
	c, done := tls.Client(slow, &tls.Config{InsecureSkipVerify: true}), make(chan error, 1)
	go func() { done <- exchange(c, 1) }()
	receive(t, slow.answered)
	must(1, 0)
	close(slow.proceed)
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
	must(0, 1)
}

func stateOf(state string) string { return open("main", "default", state) }

// stalling is a client's connection that goes on from the server's first answer only when it
// may.
type stalling struct {
	net.Conn
	answered chan struct{} // closed by the first Read
	proceed  chan struct{}
	later    bool
}

func (s *stalling) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if !s.later {
		s.later = true
		close(s.answered)
		<-s.proceed
	}
	return n, err
}
