package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// operations, Metrics: tls_handshakes_total and tls_handshake_failures_total: each handshake
// that began is counted once, for what became of it.
func TestHandshakesAreCounted(t *testing.T) {
	refusing := func(t *testing.T, at string) {
		if c, err := tls.Dial("tcp", at, &tls.Config{ServerName: "localhost"}); err == nil {
			c.Close()
			t.Error("it trusts us")
		}
	}
	// begun sends a ClientHello, and waits for the beginning of the answer.
	begun := func(t *testing.T, at string) net.Conn {
		c := dialSaying(t, at, clientHello(t))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Error(err)
		}
		return c
	}
	tests := map[string]struct {
		change func(*secure.Config)
		do     func(t *testing.T, d *teller, srv *server.Server, at string)
		told   []string
		want   map[server.HandshakeFailure]uint64
	}{
		"timeout": {nil, func(t *testing.T, _ *teller, _ *server.Server, at string) {
			untilEnd(dialSaying(t, at, "\x16"))
		}, []string{"in fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeTimeout: 1}},
		"remote_alert": {nil, func(t *testing.T, _ *teller, _ *server.Server, at string) { refusing(t, at) },
			[]string{"in remote fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeAlert: 1}},
		"local: no TLS": {nil, func(t *testing.T, _ *teller, _ *server.Server, at string) {
			_ = dialSaying(t, at, "GET / HTTP/1.1\r\n\r\n").Close()
		}, []string{"in fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeLocal: 1}},
		"local: the version": {func(c *secure.Config) { c.MinVersion = tls.VersionTLS13 }, func(t *testing.T, _ *teller, _ *server.Server, at string) {
			if _, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
				t.Error("it speaks TLS 1.2")
			}
		}, []string{"in fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeLocal: 1}},
		"local: the client's certificate": {func(c *secure.Config) { c.ClientAuth = tls.RequireAnyClientCert }, func(t *testing.T, _ *teller, _ *server.Server, at string) {
			c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			if _, err = c.Read(make([]byte, 1)); err == nil {
				t.Error("it wants no certificate")
			}
			c.Close()
		}, []string{"in fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeLocal: 1}},
		"truncated: a probe": {nil, func(t *testing.T, _ *teller, _ *server.Server, at string) { _ = dialSaying(t, at, "").Close() },
			[]string{"in fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeTruncated: 1}},
		"truncated: in the middle": {nil, func(t *testing.T, _ *teller, _ *server.Server, at string) { _ = begun(t, at).Close() },
			[]string{"in fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeTruncated: 1}},
		"too_many": {func(c *secure.Config) { c.Gate = secure.NewGate(1, 1) }, func(t *testing.T, d *teller, _ *server.Server, at string) {
			first := begun(t, at)
			refusing(t, at)
			d.want(t, "in fatal", "released", "secure released")
			_ = first.Close()
		}, []string{"in fatal"},
			map[server.HandshakeFailure]uint64{server.HandshakeTooMany: 1, server.HandshakeTruncated: 1}},
		"truncated: a probe, when there's no room": {func(c *secure.Config) { c.Gate = secure.NewGate(1, 1) }, func(t *testing.T, d *teller, _ *server.Server, at string) {
			first := begun(t, at)
			_ = dialSaying(t, at, "\x16\x03").Close()
			d.want(t, "in fatal", "released", "secure released")
			_ = first.Close()
		}, []string{"in fatal"}, map[server.HandshakeFailure]uint64{server.HandshakeTruncated: 2}},
		"aborted": {nil, func(t *testing.T, _ *teller, srv *server.Server, at string) {
			c := begun(t, at)
			srv.AbortAllConnections()
			untilEnd(c)
		}, nil, map[server.HandshakeFailure]uint64{server.HandshakeAborted: 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x, _, _ := contexts(t, func(c *secure.Config) {
				if tt.change != nil {
					tt.change(c)
				}
			})
			d := newTeller()
			srv, at := startSecure(t, d, x, func(c *server.Config) {
				if name == "timeout" {
					c.Timeouts.Handshake = 50 * time.Millisecond
				}
			})
			tt.do(t, d, srv, at)
			d.want(t, append(tt.told, "released", "secure released")...)
			got := srv.Stats().Listeners["l"]
			for why, n := range got.TLS.Failures {
				if n != tt.want[why] {
					t.Errorf("%d failures by %v, want %d", n, why, tt.want[why])
				}
			}
			if len(got.TLS.Failures) != 6 || len(got.TLS.Handshakes) != 4 || got.TLS.Lengths.Count() != 0 {
				t.Errorf("%+v", got.TLS)
			}
			for kind, n := range got.TLS.Handshakes {
				if n != 0 {
					t.Errorf("%d handshakes succeeded: %+v", n, kind)
				}
			}
		})
	}
}

// untilEnd waits until the server has ended a connection, however it does.
func untilEnd(c net.Conn) {
	_, _ = io.Copy(io.Discard, c)
	c.Close()
}

// clientHello is what a client says first. Its curve is the one that servers are quick with.
func clientHello(t *testing.T) string {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan error, 1)
	quick := &tls.Config{ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.CurveP256}}
	go func() { done <- tls.Client(here, quick).Handshake() }()
	record := make([]byte, 5)
	_, err := io.ReadFull(there, record)
	body := make([]byte, int(record[3])<<8|int(record[4]))
	if err == nil {
		_, err = io.ReadFull(there, body)
	}
	there.Close()
	if shaken := <-done; err != nil || shaken == nil {
		t.Fatal(errors.Join(err, shaken))
	}
	return string(record) + string(body)
}

// operations, Metrics: both ends count what they've agreed upon, full and resumed; an outgoing
// handshake that fails is one of outgoing. Listeners without TLS have no figures of it.
func TestHandshakesOfBothEnds(t *testing.T) {
	x, y, _ := contexts(t)
	in, out := newTeller(), newTeller()
	srv, at := startSecure(t, in, x)
	client, _ := startSecure(t, out, x, func(c *server.Config) {
		c.Listeners = []server.Listener{{Name: "l", Network: "tcp", Address: "127.0.0.1:0"}}
	})
	const rounds = 3
	for range rounds {
		c, err := client.Connect(t.Context(), server.Target{Network: "tls", Address: at, ServerName: "localhost", TLS: y}, nil)
		if err != nil {
			t.Fatal(err)
		}
		// A ticket is there when something is read.
		if err := c.Send([]byte("hello")); err != nil {
			t.Error(err)
		}
		out.want(t, "out negotiated localhost echo", "out secure", "out established", "out read hello")
		if err := c.Shutdown(); err != nil {
			t.Error(err)
		}
		c.Release()
		out.want(t, "out closed local_shutdown", "released", "secure released")
		in.want(t, "in negotiated localhost echo", "in secure", "in established", "in read hello", "in client close", "in closed peer_closed", "released", "secure released")
	}
	var unknown x509.HostnameError
	if _, err := client.Connect(t.Context(), server.Target{Network: "tls", Address: at, ServerName: "elsewhere", TLS: y}, nil); !errors.As(err, &unknown) {
		t.Error(err)
	}
	out.want(t, "released", "secure released")
	in.want(t, "in remote fatal", "released", "secure released")

	want := map[server.Handshake]uint64{
		{Version: tls.VersionTLS12}: 0, {Version: tls.VersionTLS12, Resumed: true}: 0,
		{Version: tls.VersionTLS13}: 1, {Version: tls.VersionTLS13, Resumed: true}: rounds - 1,
	}
	for name, got := range map[string]*server.TLSStats{"in": srv.Stats().Listeners["l"].TLS, "out": client.Stats().Listeners["outgoing"].TLS} {
		if !maps.Equal(got.Handshakes, want) || got.Lengths.Count() != rounds {
			t.Errorf("%s: %v, of which %d were timed; want %v", name, got.Handshakes, got.Lengths.Count(), want)
		}
	}
	if st := srv.Stats().Listeners["l"].TLS; st.Failures[server.HandshakeAlert] != 1 || !st.NotAfter.Equal(x.NotAfter()) {
		t.Errorf("in: %+v", st)
	}
	if st := client.Stats().Listeners["outgoing"].TLS; st.Failures[server.HandshakeLocal] != 1 || !st.NotAfter.IsZero() {
		t.Errorf("out: %+v", st)
	}
	if st := client.Stats().Listeners["l"].TLS; st != nil {
		t.Errorf("without TLS: %+v", st)
	}
}

// upgrading is a teller that goes on with TLS when it's told to.
type upgrading struct {
	*teller
	x *secure.Context
}

func (d upgrading) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	if _, is := secure.State(c); is {
		d.teller.OnReadCompleted(c, b)
		return
	}
	_ = c.Send([]byte("+"))
	if err := secure.UpgradeStream(c, d.x, secure.UpgradeOptions{ServerSide: true}); err != nil {
		d.say("%v", err)
	}
	_ = c.Read()
}

// operations, Metrics: a listener without TLS has the figures of its upgrades' handshakes once
// one has ended.
func TestHandshakesOfUpgrades(t *testing.T) {
	x, _, roots := contexts(t)
	d, clock := newTeller(), &handClock{}
	srv, at := startSecure(t, upgrading{d, x}, nil, clocked(t, nil, clock), func(c *server.Config) {
		c.Listeners[0].Network = "tcp"
		c.Timeouts.Handshake = time.Second / 2
	})
	must := func(succeeded uint64, failed map[server.HandshakeFailure]uint64) {
		t.Helper()
		st := srv.Stats().Listeners["l"].TLS
		if st == nil {
			t.Fatal("there are no figures")
		}
		for why, n := range st.Failures {
			if n != failed[why] {
				t.Errorf("%d failures by %v, want %d", n, why, failed[why])
			}
		}
		if n := st.Handshakes[server.Handshake{Version: tls.VersionTLS13}]; n != succeeded || st.Lengths.Count() != n || !st.NotAfter.IsZero() {
			t.Errorf("%+v, want %d handshakes", st, succeeded)
		}
	}
	plain := func() net.Conn {
		t.Helper()
		c := dialSaying(t, at, "STARTTLS")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		d.want(t, "in established")
		return c
	}
	ended := func(why conn.Reason) {
		t.Helper()
		d.want(t, "in closed "+why.String(), "released", "secure released")
	}

	waits := plain()
	if st := srv.Stats().Listeners["l"].TLS; st != nil {
		t.Errorf("before the first has ended: %+v", st)
	}
	settle(t, srv) // its deadline is set
	clock.advance(time.Second)
	untilEnd(waits)
	d.want(t, "in fatal")
	ended(conn.ReasonHandshakeTimeout)
	failed := map[server.HandshakeFailure]uint64{server.HandshakeTimeout: 1}
	must(0, failed)

	raw := plain()
	c := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err := echoed(c); err != nil {
		t.Error(err)
	}
	must(1, failed)
	_ = raw.Close()
	d.want(t, "in negotiated localhost ", "in secure", "in read ping")
	ended(conn.ReasonTruncated)
	must(1, failed) // its handshake was over

	raw = plain()
	if err := tls.Client(raw, &tls.Config{ServerName: "localhost"}).Handshake(); err == nil {
		t.Error("it trusts us")
	}
	_ = raw.Close()
	d.want(t, "in remote fatal")
	ended(conn.ReasonHandshake)
	failed[server.HandshakeAlert]++
	must(1, failed)
}
