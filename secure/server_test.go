package secure_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

func TestEcho(t *testing.T) {
	self, err := secure.SelfSigned(time.Hour, "localhost", "127.0.0.1")
	must(t, err)
	x, err := secure.NewContext(secure.Config{Certificates: []secure.Certificate{self}, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tcp", Address: "127.0.0.1:0", Sessions: x}},
	})
	must(t, err)
	must(t, srv.Start())
	defer srv.Shutdown(t.Context())
	at := srv.Addrs()["l"][0].String()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, MaxVersion: v})
		must(t, err)
		for _, n := range []int{1, 64, 16 << 10, 100 << 10} {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(i)
			}
			go func() { _, _ = c.Write(p) }()
			got := make([]byte, n)
			_, err := io.ReadFull(c, got)
			must(t, err)
			if string(got) != string(p) {
				t.Error("not the same")
			}
		}
		must(t, c.CloseWrite())
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		must(t, c.Close())
	}
}

// starttls is a line protocol that can be upgraded.
type starttls struct {
	server.BaseCallback
	x    *secure.Context
	told chan string
}

func (d *starttls) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { _ = c.Read() }

func (d *starttls) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	if string(b.Bytes()) == "STARTTLS\n" {
		_ = c.Read() // is canceled
		_ = c.Send([]byte("GO\n"))
		if err := secure.UpgradeStream(c, d.x, secure.UpgradeOptions{ServerSide: true}); err != nil {
			d.told <- err.Error()
		}
		_ = c.Read()
		return
	}
	_ = c.Write(b)
	_ = c.Read()
}

func (d *starttls) OnReadCompletionError(_ *conn.Stream, _ *buffers.Buffer, err error) {
	d.told <- err.Error()
}

func (d *starttls) OnNegotiationComplete(_ *conn.Stream, n secure.Negotiation) {
	d.told <- "negotiated " + n.ServerName
}

func (d *starttls) OnSecureConnectionEstablished(*conn.Stream, conn.Addr) { d.told <- "secure" }
func (d *starttls) OnSecureSocketReleased(*conn.UserData)                 { d.told <- "released" }

// DESIGN, TLS: UpgradeStream: the output before it goes out as it is, pending reads are
// cancelled, and the same connection goes on with TLS.
func TestUpgradeStream(t *testing.T) {
	x, _, roots := pair(t)
	d := &starttls{x: x, told: make(chan string, 100)}
	srv, err := server.New(server.Config{
		Callback: d, Logger: slog.New(slog.DiscardHandler),
		Listeners: []server.Listener{{Name: "l", Network: "tcp", Address: "127.0.0.1:0"}},
	})
	must(t, err)
	must(t, srv.Start())
	raw, err := net.Dial("tcp", srv.Addrs()["l"][0].String())
	must(t, err)
	exchange := func(c net.Conn, say, want string) {
		t.Helper()
		if _, err := c.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, len(want))
		if _, err := io.ReadFull(c, p); err != nil || string(p) != want {
			t.Fatalf("%q, %v, want %q", p, err, want)
		}
	}
	exchange(raw, "plain", "plain")
	exchange(raw, "STARTTLS\n", "GO\n")
	c := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	exchange(c, "secret", "secret")
	exchange(c, "STARTTLS\n", "GO\n") // once is enough
	must(t, c.CloseWrite())
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v: want a clean end", rest, err)
	}
	must(t, c.Close())
	must(t, srv.Shutdown(t.Context()))
	close(d.told)
	var told []string
	for what := range d.told {
		told = append(told, what)
	}
	want := []string{conn.ErrCanceled.Error(), "negotiated localhost", "secure", conn.ErrMode.Error(), "released"}
	if !slices.Equal(told, want) {
		t.Errorf("\n got %q\nwant %q", told, want)
	}
}

// seed-contract.md 1: LOG_TLS: the log of connections with TLS, switched by itself.
func TestLogTLS(t *testing.T) {
	for _, muted := range []bool{false, true} {
		x, _, roots := pair(t)
		var log strings.Builder
		c := server.Config{
			Callback: echo{}, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Listeners: []server.Listener{{Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x}},
		}
		if muted {
			c.Mute = conn.LogTLS
		}
		srv, err := server.New(c)
		must(t, err)
		must(t, srv.Start())
		client, err := tls.Dial("tcp", srv.Addrs()["l"][0].String(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
		must(t, err)
		if _, err := client.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			t.Error(err)
		}
		must(t, client.Close())
		must(t, srv.Shutdown(t.Context()))
		if strings.Contains(log.String(), "category=tls") == muted {
			t.Errorf("muted %t:\n%s", muted, log.String())
		}
	}
}
