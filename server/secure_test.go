package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// teller is a callback that says what it's called for, and echoes.
type teller struct {
	server.BaseCallback
	told chan string
}

func newTeller() *teller { return &teller{told: make(chan string, 1000)} }

func (d *teller) say(format string, args ...any) { d.told <- fmt.Sprintf(format, args...) }

// end is which end of a connection it is.
func end(c *conn.Stream) string {
	if c.Inbound() {
		return "in"
	}
	return "out"
}

func (d *teller) OnNegotiationComplete(c *conn.Stream, n secure.Negotiation) {
	if n.Inbound != c.Inbound() {
		d.say("Negotiation.Inbound is %t", n.Inbound)
	}
	d.say("%s negotiated %s %s", end(c), n.ServerName, n.NegotiatedProtocol)
}

func (d *teller) OnSecureConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	d.say("%s secure", end(c))
}

func (d *teller) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) {
	d.say("%s established", end(c))
	_ = c.Read()
}

func (d *teller) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	d.say("%s read %s", end(c), b.Bytes())
	if c.Inbound() {
		_ = c.Write(b)
	}
	_ = c.Read()
}

func (d *teller) OnConnectionClientClose(c *conn.Stream) { d.say("%s client close", end(c)) }

func (d *teller) OnFatalError(c *conn.Stream, err error) {
	d.say("%s fatal", end(c))
	var e *secure.Error
	if !errors.As(err, &e) && !errors.Is(err, errDeadline) || e != nil && e.Remote {
		d.say("with %v", err)
	}
}

func (d *teller) OnRemoteFatalError(c *conn.Stream, err error) {
	d.say("%s remote fatal", end(c))
	var e *secure.Error
	if !errors.As(err, &e) || !e.Remote {
		d.say("with %v", err)
	}
}

func (d *teller) OnOutgoingConnectionFailed(c *conn.Stream, _ conn.Addr, err error) {
	var e *secure.Error
	d.say("%s failed by TLS %t", end(c), errors.As(err, &e) && e.Handshake)
}

func (d *teller) OnConnectionClosure(c *conn.Stream, r conn.Reason) { d.say("%s closed %v", end(c), r) }
func (d *teller) OnSocketReleased(*conn.UserData)                   { d.say("released") }
func (d *teller) OnSecureSocketReleased(*conn.UserData)             { d.say("secure released") }

// want compares what it's told next.
func (d *teller) want(t *testing.T, all ...string) {
	t.Helper()
	for _, want := range all {
		if got := receive(t, d.told, want); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

// contexts are a server's, with a certificate for localhost, and a client's that trusts it.
func contexts(t *testing.T, change ...func(*secure.Config)) (forServer, forClient *secure.Context, roots *x509.CertPool) {
	t.Helper()
	self, err := secure.SelfSigned(time.Hour, "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(self.Pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(leaf)
	c := secure.Config{Certificates: []secure.Certificate{self}, Roots: roots, ALPN: []string{"echo"}, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	forServer, err = secure.NewContext(c)
	if err != nil {
		t.Fatal(err)
	}
	forClient, err = secure.NewContext(secure.Config{Roots: roots, ALPN: []string{"echo"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return forServer, forClient, roots
}

// startSecure starts a server with a TLS listener.
func startSecure(t *testing.T, d server.Callback, x *secure.Context, change ...func(*server.Config)) (srv *server.Server, at string) {
	t.Helper()
	watchForLeaks(t)
	c := server.Config{
		Callback: d, Debug: true, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
	}
	for _, f := range change {
		f(&c)
	}
	srv, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(t.Context()); err != nil && !errors.Is(err, conn.ErrMode) {
			srv.AbortAllConnections()
		}
	})
	return srv, srv.Addrs()["l"][0].String()
}

// seed-contract.md 2: OnSecureConnectionEstablished before OnConnectionEstablished,
// OnNegotiationComplete in and out, OnSecureSocketReleased after OnSocketReleased.
func TestSecureCallbacks(t *testing.T) {
	x, y, _ := contexts(t)
	in, out := newTeller(), newTeller()
	_, at := startSecure(t, in, x)
	client, _ := startSecure(t, out, x)
	at = strings.Replace(at, "127.0.0.1", "localhost", 1)
	c, err := client.Connect(t.Context(), server.Target{Network: "tls", Address: at, TLS: y}, nil)
	if err != nil {
		t.Fatal(err)
	}
	in.want(t, "in negotiated localhost echo", "in secure", "in established")
	out.want(t, "out negotiated localhost echo", "out secure", "out established")
	if err := c.Send([]byte("hello")); err != nil {
		t.Error(err)
	}
	in.want(t, "in read hello")
	out.want(t, "out read hello")
	if state, is := secure.State(c); !is || state.Version != tls.VersionTLS13 || len(state.PeerCertificates) != 1 {
		t.Errorf("TLS %t: %+v", is, state)
	}
	if err := c.ShutdownSend(); err != nil { // half-close as TLS allows it
		t.Error(err)
	}
	in.want(t, "in client close", "in closed peer_closed", "released", "secure released")
	out.want(t, "out client close")
	c.Release()
	out.want(t, "out closed peer_closed", "released", "secure released")
	if _, is := secure.State(c); !is {
		t.Error("the state has gone with the connection")
	}
}

var errDeadline = os.ErrDeadlineExceeded

// marked is what would be recognised in the log: 16 bytes.
const marked = "0123456789abcdef"

// seed-contract.md 2: OnFatalError, OnRemoteFatalError; faults.md, TLS: garbage, plaintext,
// SSLv2 hello, oversize record, ALPN mismatch, a client that doesn't trust us, truncation: alert,
// close, no attacker bytes in logs.
func TestTLSFailures(t *testing.T) {
	x, _, roots := contexts(t)
	trusting := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	established := []string{"in negotiated localhost ", "in secure", "in established", "in read ping"}
	ping := func(t *testing.T, c *tls.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Error(err)
		}
	}
	tests := map[string]struct {
		do   func(t *testing.T, at string)
		want []string
	}{
		"plaintext": {func(t *testing.T, at string) {
			c := dialSaying(t, at, "GET /"+marked+" HTTP/1.1\r\n\r\n")
			if got, err := io.ReadAll(c); err != nil || len(got) == 0 || got[0] != 21 {
				t.Errorf("the answer is % x, %v: want an alert and the end", got, err)
			}
			_ = c.Close()
		}, []string{"in fatal", "released", "secure released"}},
		"SSLv2": {func(t *testing.T, at string) {
			c := dialSaying(t, at, "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"+marked)
			if got, err := io.ReadAll(c); err != nil || len(got) == 0 || got[0] != 21 {
				t.Errorf("the answer is % x, %v: want an alert and the end", got, err)
			}
			_ = c.Close()
		}, []string{"in fatal", "released", "secure released"}},
		"garbage": {func(t *testing.T, at string) {
			c := dialSaying(t, at, "\x16\x03\x01\x00\x20"+marked+marked)
			if got, err := io.ReadAll(c); err != nil || len(got) == 0 || got[0] != 21 {
				t.Errorf("the answer is % x, %v: want an alert and the end", got, err)
			}
			_ = c.Close()
		}, []string{"in fatal", "released", "secure released"}},
		"an unknown protocol": {func(t *testing.T, at string) {
			_, err := tls.Dial("tcp", at, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{marked}})
			if err == nil || !strings.Contains(err.Error(), "no application protocol") {
				t.Errorf("%v, want an alert", err)
			}
		}, []string{"in fatal", "released", "secure released"}},
		"a record that's too large": {func(t *testing.T, at string) {
			c := dialSaying(t, at, "\x16\x03\x01\xff\xff"+strings.Repeat(marked, 2000))
			if got, err := io.ReadAll(c); err != nil || len(got) == 0 || got[0] != 21 {
				t.Errorf("the answer is % x, %v: want an alert and the end", got, err)
			}
			_ = c.Close()
		}, []string{"in fatal", "released", "secure released"}},
		"a client that doesn't trust us": {func(t *testing.T, at string) {
			if _, err := tls.Dial("tcp", at, &tls.Config{ServerName: "localhost"}); err == nil {
				t.Error("it trusts us")
			}
		}, []string{"in remote fatal", "released", "secure released"}},
		"a probe": {func(t *testing.T, at string) {
			_ = dialSaying(t, at, "").Close()
		}, []string{"in fatal", "released", "secure released"}},
		"an end in the handshake": {func(t *testing.T, at string) {
			_ = dialSaying(t, at, "\x16\x03").Close()
		}, []string{"in fatal", "released", "secure released"}},
		"an end before the handshake": {func(t *testing.T, at string) {
			_ = dialSaying(t, at, "").Close()
		}, []string{"in fatal", "released", "secure released"}},
		"close_notify in the handshake": {func(t *testing.T, at string) {
			_ = dialSaying(t, at, "\x15\x03\x01\x00\x02\x01\x00").Close()
		}, []string{"in fatal", "released", "secure released"}},
		"truncation": {func(t *testing.T, at string) {
			raw := dialSaying(t, at, "")
			c := tls.Client(raw, trusting)
			ping(t, c)
			_ = raw.Close()
		}, append(slices.Clone(established), "in closed tls_truncated", "released", "secure released")},
		"close_notify": {func(t *testing.T, at string) {
			c, err := tls.Dial("tcp", at, trusting)
			if err != nil {
				t.Fatal(err)
			}
			ping(t, c)
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
				t.Errorf("%q, %v: want a clean end", rest, err)
			}
			_ = c.Close()
		}, append(slices.Clone(established), "in client close", "in closed peer_closed", "released", "secure released")},
		"garbage later": {func(t *testing.T, at string) {
			raw := dialSaying(t, at, "")
			c := tls.Client(raw, trusting)
			ping(t, c)
			if _, err := raw.Write([]byte("\x17\x03\x03\x00\x20" + marked + marked)); err != nil {
				t.Error(err)
			}
			var alert tls.AlertError
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &alert) {
				t.Errorf("%v, want bad record MAC", err)
			}
			_ = c.Close()
		}, append(slices.Clone(established), "in fatal", "in closed tls_alert", "released", "secure released")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newTeller()
			log := &debugLog{}
			srv, at := startSecure(t, d, x, func(c *server.Config) { c.Logger = slog.New(log) })
			tt.do(t, at)
			d.want(t, tt.want...)
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if text := strings.Join(log.lines, "\n"); strings.Contains(text, marked) {
				t.Errorf("the log has what the peer has made up:\n%s", text)
			}
		})
	}
}

func dialSaying(t *testing.T, at, say string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(say)); err != nil {
		t.Fatal(err)
	}
	return c
}

// An outgoing connection whose handshake fails is told of once; Connect says why.
func TestSecureConnectFails(t *testing.T) {
	x, y, _ := contexts(t)
	in, out := newTeller(), newTeller()
	_, at := startSecure(t, in, x)
	client, _ := startSecure(t, out, x)
	target := server.Target{Network: "tls", Address: at, ServerName: "elsewhere", TLS: y}
	var wrong x509.HostnameError
	if c, err := client.Connect(t.Context(), target, nil); !errors.As(err, &wrong) {
		t.Errorf("%v, %v: want a wrong name", c, err)
	}
	out.want(t, "released", "secure released")
	in.want(t, "in remote fatal", "released", "secure released")
	if err := client.AsyncConnect(target, nil); err != nil {
		t.Error(err)
	}
	out.want(t, "out failed by TLS true", "released", "secure released")
}

// faults.md, TLS: TLS to plaintext: one who answers in the clear is told so, and gone.
func TestTLSToPlaintext(t *testing.T) {
	x, y, _ := contexts(t)
	out := newTeller()
	client, _ := startSecure(t, out, x)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answering := spawn("the plain server", func() error {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "220 welcome\r\n"); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, c) // a ClientHello and an alert, until the end
		return nil
	})
	var plain tls.RecordHeaderError
	if _, err := client.Connect(t.Context(), server.Target{Network: "tls", Address: l.Addr().String(), TLS: y}, nil); !errors.As(err, &plain) {
		t.Errorf("%v: want that it isn't TLS", err)
	}
	answering.wait(t)
	out.want(t, "released", "secure released")
}

// faults.md, TLS: a stall: an absolute deadline.
func TestHandshakeDeadline(t *testing.T) {
	x, _, _ := contexts(t)
	d := newTeller()
	_, at := startSecure(t, d, x, func(c *server.Config) { c.Timeouts.Handshake = 50 * time.Millisecond })
	c := dialSaying(t, at, "\x16\x03\x01")
	if _, err := io.ReadAll(c); err == nil {
		t.Error("a clean end, want a reset")
	}
	_ = c.Close()
	d.want(t, "in fatal")
}

// What's wrong with a secure listener or target is said.
func TestBadSecureSettings(t *testing.T) {
	x, _, _ := contexts(t)
	for want, l := range map[string]server.Listener{
		"TLS is nil":       {Network: "tls", Address: "127.0.0.1:0"},
		"TLS and Sessions": {Network: "tcp", Address: "127.0.0.1:0", TLS: x, Sessions: x},
	} {
		if _, err := server.New(server.Config{Callback: newTeller(), Listeners: []server.Listener{l}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	srv, _ := startSecure(t, newTeller(), x)
	if err := srv.AsyncConnect(server.Target{Network: "tls", Address: "127.0.0.1:1"}, nil); err == nil || !strings.Contains(err.Error(), "TLS is nil") {
		t.Errorf("%v", err)
	}
	if l, err := server.ParseListener("tls://127.0.0.1:7443"); err != nil || l.Network != "tls" {
		t.Errorf("%+v, %v", l, err)
	}
}
