package secure_test

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// beginning tells when a connection has begun.
type beginning struct {
	*secure.Context
	begun chan struct{}
}

func (b beginning) NewSession(role conn.Role, serverName string) (conn.Session, error) {
	s, err := b.Context.NewSession(role, serverName)
	b.begun <- struct{}{}
	return s, err
}

// Contract: ours: Reload: connections see all that has changed at once, and only those that begin
// after it: not one whose ClientHello comes after it.
func TestReloadIsForThoseThatBeginAfterIt(t *testing.T) {
	ca, dir := authority(t, "servers"), t.TempDir()
	shown := []*identity{ca.leaf(t, "ECDSA", "a.test"), ca.leaf(t, "ECDSA", "a.test")}
	trusted := []*identity{authority(t, "first"), authority(t, "second")}
	file := filepath.Join(dir, "clients.pem")
	write(t, file, trusted[0].certPEM())
	x := newContext(t, secure.Config{
		Certificates: []secure.Certificate{shown[0].save(t, dir)}, ALPN: []string{"first"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAFiles: []string{file},
	})
	sessions := beginning{x, make(chan struct{}, 1)}
	srv, err := server.New(server.Config{
		Callback: echo{}, Logger: discard,
		Listeners: []server.Listener{{Name: "l", Network: "tcp", Address: "127.0.0.1:0", Sessions: sessions}},
	})
	must(t, err)
	must(t, srv.Start())
	begin := func() net.Conn {
		raw, err := net.Dial("tcp", srv.Addrs()["l"][0].String())
		must(t, err)
		<-sessions.begun
		return raw
	}
	finish := func(raw net.Conn, which int, protocol string) {
		t.Helper()
		config := trusting(ca, "a.test")
		config.Certificates = []tls.Certificate{*trusted[which].leaf(t, "another", "client").pair()}
		config.NextProtos = []string{"first", "second"}
		o := shake(raw, config)
		if o.err != nil {
			t.Fatal(o.err)
		}
		if !o.state.PeerCertificates[0].Equal(shown[which].Certificate) || o.state.NegotiatedProtocol != protocol {
			t.Errorf("the certificate isn't number %d, or %q isn't %q", which, o.state.NegotiatedProtocol, protocol)
		}
	}
	early := begin()
	shown[1].save(t, dir)
	write(t, file, trusted[1].certPEM())
	must(t, x.Reload())
	must(t, x.SetALPNProtocols("second"))
	late := begin()
	finish(early, 0, "first")
	finish(late, 1, "second")
	must(t, srv.Shutdown(t.Context()))
}
