package loadtest_test

import (
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// What a server does to its clients is counted by kind, with an example that says where.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	tests := []struct {
		name   string
		handle func(net.Conn)
		want   result.ErrorKind
	}{
		{"closes", func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, faultSize)) }, result.PeerClosed},
		{"resets", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, result.PeerReset},
		{"is silent", func(c net.Conn) { // and doesn't end either: that would be a loss
			_, _ = io.Copy(io.Discard, c)
			<-over
		}, result.ReplyTimeout},
		{"greets", func(c net.Conn) {
			_ = write(c, []byte("220 welcome, and tell me what you want\r\n"))
			echo(c)
		}, result.Corrupted},
		{"says too much", func(c net.Conn) {
			echo(c)
			_ = write(c, []byte("good-bye"))
		}, result.Unsolicited},
	}
	for _, tt := range tests {
		target := serve(t, listen(t), tt.handle)
		t.Run(tt.name, func(t *testing.T) { // not parallel: the servers are the outer test's
			r, total := run(t, loadtest.Load{
				Targets:     []loadtest.Target{target},
				Connections: 1,
				Messages:    2,
				Timeout:     time.Second,
			})
			// A connection on which nothing was sent any more has heard the greeting, too.
			if tt.want == result.Corrupted {
				delete(total.Errors, result.Unsolicited)
			}
			if total.Errors[tt.want] == 0 || len(total.Errors) != 1 {
				t.Errorf("%v, want %s\n%v", total.Errors, tt.want, r.Examples)
			}
			if text := r.Examples[tt.want].Text; !strings.HasPrefix(text, "connection ") || !strings.Contains(text, " to 127.0.0.1:") {
				t.Errorf("it doesn't say where: %q", text)
			}
		})
	}
	close(over)
}

// A load that can't be says why in one line, and what to do.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	closed := listen(t)
	closed.Close()
	nobody := loadtest.Target{Network: "tcp", Address: closed.Addr().String()}
	somebody := serve(t, listen(t), echo)
	mute := serve(t, listen(t), func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	mute.TLS = true
	plain := somebody
	plain.TLS = true
	at := func(target loadtest.Target) loadtest.Load {
		return loadtest.Load{Targets: []loadtest.Target{target}, Messages: 1, Timeout: time.Second}
	}
	with := func(change func(*loadtest.Load)) loadtest.Load {
		l := at(somebody)
		change(&l)
		return l
	}
	tests := []struct {
		name string
		load loadtest.Load
		want []string
	}{
		{"no target", loadtest.Load{}, []string{"no target", "want tcp://"}},
		{"nobody there", at(nobody), []string{nobody.String(), "refused", "start the server"}},
		{"no such socket", at(loadtest.Target{Network: "unix", Address: filepath.Join(testenv.SocketDir(t), "e.sock")}), []string{"unix:///", "start the server"}},
		{"no such host", at(loadtest.Target{Network: "tcp", Address: "no..host:1"}), []string{"no..host", "check the host's name"}},
		{"not TLS", at(plain), []string{"tls://", "speaks TLS there"}},
		{"no answer to the handshake", at(mute), []string{"tls://", "speaks TLS there"}},
		{"negative", with(func(l *loadtest.Load) { l.InFlight = -1 }), []string{"InFlight"}},
		{"more in flight than fits", with(func(l *loadtest.Load) { l.InFlight = 1 << 31 }), []string{"InFlight", "at most 65536"}},
		{"thinking about several", with(func(l *loadtest.Load) { l.Think, l.InFlight = 1, 2 }), []string{"Think needs InFlight 1"}},
		{"thinking in an open loop", with(func(l *loadtest.Load) { l.Think, l.Rate = 1, 1 }), []string{"closed loops"}},
		{"Poisson without a rate", with(func(l *loadtest.Load) { l.Poisson = true }), []string{"needs a Rate"}},
		{"no rate", with(func(l *loadtest.Load) { l.Rate = math.NaN() }), []string{"Rate is"}},
		{"any rate", with(func(l *loadtest.Load) { l.Rate = math.Inf(1) }), []string{"Rate is", "1e+07"}},
		{"more than time can tell apart", with(func(l *loadtest.Load) { l.Rate = 1e11 }), []string{"Rate is", "1e+07"}},
		{"less than one in a lifetime", with(func(l *loadtest.Load) { l.Rate = 1e-12 }), []string{"Rate is"}},
		{"no rate of connections", with(func(l *loadtest.Load) { l.ConnectRate = math.NaN() }), []string{"ConnectRate"}},
		{"no part", with(func(l *loadtest.Load) { l.Resume = math.NaN() }), []string{"Resume"}},
		{"hostile to what", with(func(l *loadtest.Load) { l.Hostile = map[loadtest.HostileKind]int{"rude": 1} }), []string{`"rude"`, "slowloris"}},
		{"more than the prefix holds", with(func(l *loadtest.Load) {
			l.Codec = loadtest.LengthPrefixed{Bytes: 1}
			l.Sizes, _ = loadtest.ParseSizes("100,256")
		}), []string{"256 bytes", "length1", "255 at most"}},
		{"beyond all descriptors", with(func(l *loadtest.Load) { l.Connections = 1 << 30 }), []string{"descriptors", "--procs", "ulimit -n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := loadtest.Run(t.Context(), tt.load)
			if r != nil || err == nil {
				t.Fatalf("it ran: %v", err)
			}
			for _, text := range tt.want {
				if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%q isn't in %q", text, err)
				}
			}
		})
	}
}

// A certificate that nobody vouches for is told apart from a server without TLS.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	server := startTLS(t, nil)
	_, err := loadtest.Run(t.Context(), loadtest.Load{Targets: []loadtest.Target{server.target}, Messages: 1})
	var bad *tls.CertificateVerificationError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "--tls-ca") {
		t.Error(err)
	}
}
