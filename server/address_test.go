package server_test

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/server"
)

// DESIGN: LocalAddr and RemoteAddr of every kind of listener, also after the end; what comes
// as IPv4 in an IPv6 mapping is IPv4.
func TestAddresses(t *testing.T) {
	cases := []struct{ name, network, listen, dial, local string }{
		{"specific", "tcp", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"another loopback address", "tcp4", "127.0.0.2:0", "127.0.0.2", "127.0.0.2"},
		{"IPv4 wildcard", "tcp4", ":0", "127.0.0.3", "127.0.0.3"},
		{"IPv4 wildcard by address", "tcp4", "0.0.0.0:0", "127.0.0.1", "127.0.0.1"},
		{"both families, by IPv4", "tcp", ":0", "127.0.0.1", "127.0.0.1"},
		{"both families, by IPv6", "tcp", ":0", "::1", "::1"},
		{"IPv6", "tcp6", "[::1]:0", "::1", "::1"},
		{"IPv6 wildcard", "tcp6", ":0", "::1", "::1"},
		{"a name", "tcp", "localhost:0", "127.0.0.1", "127.0.0.1"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.dial, ":") && !hasIPv6() {
				testenv.Missing(t, "IPv6")
			}
			rec := newRecorder(echoing())
			rec.do.established = func(c *conn.Stream) { c.AddRef(); c.Read() }
			f := start(t, tc.network, rec, func(c *server.Config) { c.Listeners[0].Address = tc.listen })
			bound := f.srv.Addrs()["main"][0]
			if bound.AddrPort.Port() == 0 {
				t.Fatalf("bound to %v", bound)
			}
			p := dial(t, "tcp", net.JoinHostPort(tc.dial, f.addr[strings.LastIndexByte(f.addr, ':')+1:]))
			p.echo("up")
			j := rec.next(t, 0)
			want := netip.AddrPortFrom(netip.MustParseAddr(tc.local), bound.AddrPort.Port())
			remote := p.LocalAddr().(*net.TCPAddr).AddrPort()
			remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
			for _, when := range []string{"alive", "after the end"} {
				c := j.stream
				if got := c.LocalAddr(); got.AddrPort != want || got.Network() != "tcp" || got.String() != want.String() {
					t.Errorf("%s: LocalAddr is %v, want %v", when, got, want)
				}
				if got := c.RemoteAddr(); got.AddrPort != remote {
					t.Errorf("%s: RemoteAddr is %v, want %v", when, got, remote)
				}
				if _, err := c.PeerCredentials(); !errors.Is(err, conn.ErrMode) {
					t.Errorf("%s: PeerCredentials: %v", when, err)
				}
				if c.Origin() != "main" || !c.Inbound() {
					t.Errorf("%s: Origin %q, Inbound %v", when, c.Origin(), c.Inbound())
				}
				c.Abort(nil)
				rec.ended(t, j)
			}
			j.stream.Release()
		})
	}
}

// DESIGN: LocalAddr and RemoteAddr; a link-local address has its interface in it.
func TestLinkLocalAddresses(t *testing.T) {
	host := testenv.LinkLocal(t)
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, func(c *server.Config) {
		c.Listeners[0].Address = netip.AddrPortFrom(host, 0).String()
	})
	at := f.srv.Addrs()["main"][0]
	if at.AddrPort.Addr() != host {
		t.Errorf("listening on %v, asked for %v", at, host)
	}
	c, err := f.srv.Connect(t.Context(), server.Target{Network: "tcp6", Address: at.String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if c.RemoteAddr() != at || c.LocalAddr().AddrPort.Addr() != host {
		t.Errorf("connected from %v to %v, want %v", c.LocalAddr(), c.RemoteAddr(), at)
	}
	c.Abort(nil)
}

func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// DESIGN: the same for Unix-domain listeners: paths and abstract names, peers with and
// without a name; and PeerCredentials.
func TestUnixAddresses(t *testing.T) {
	for _, kind := range []string{"path", "abstract"} {
		t.Run(kind, func(t *testing.T) {
			rec := newRecorder(echoing())
			f := start(t, "unix", rec, func(c *server.Config) {
				if kind == "abstract" {
					c.Listeners[0].Address = "@" + filepath.Base(filepath.Dir(c.Listeners[0].Address))
				}
				c.Listeners = append(c.Listeners, server.Listener{Name: "side", Network: "tcp", Address: "127.0.0.1:0"})
			})
			own := socketPath(t)
			named, err := net.DialUnix("unix", &net.UnixAddr{Name: own}, &net.UnixAddr{Name: f.addr})
			if err != nil {
				t.Fatal(err)
			}
			defer named.Close()
			for i, want := range []string{own, ""} {
				if i == 1 {
					f.dial()
				}
				j := rec.next(t, i)
				if got := j.stream.RemoteAddr(); got.Path != want || !got.IsUnix() || got.Network() != "unix" {
					t.Errorf("RemoteAddr is %v, want %q", got, want)
				}
				if got := j.stream.LocalAddr(); got.String() != f.addr {
					t.Errorf("LocalAddr is %v, want %s", got, f.addr)
				}
				cred, err := j.stream.PeerCredentials()
				if err != nil || cred.PID != os.Getpid() || int(cred.UID) != os.Getuid() || int(cred.GID) != os.Getgid() {
					t.Errorf("credentials %+v, %v", cred, err)
				}
			}
		})
	}
}

// faults.md: Unix: stale file (probe before unlink), live file, symlink, mode.
func TestSocketFiles(t *testing.T) {
	listen := func(path string, mode fs.FileMode) (*server.Server, error) {
		srv, err := server.New(server.Config{
			Callback:  newRecorder(echoing()),
			Listeners: []server.Listener{{Name: "main", Network: "unix", Address: path, Mode: mode}},
		})
		if err != nil {
			return nil, err
		}
		return srv, srv.Start()
	}
	serve := func(t *testing.T, path string, mode fs.FileMode) {
		t.Helper()
		srv, err := listen(path, mode)
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, "unix", path)
		c.echo("up")
		c.Close()
		if info, err := os.Lstat(path); err != nil || mode != 0 && info.Mode().Perm() != mode {
			t.Errorf("the file is %v, %v", info, err)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	}
	refused := func(t *testing.T, path, why string) {
		t.Helper()
		if _, err := listen(path, 0); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Start: %v", err)
		}
	}
	t.Run("fresh", func(t *testing.T) { watchForLeaks(t); serve(t, socketPath(t), 0) })
	t.Run("mode", func(t *testing.T) { watchForLeaks(t); serve(t, socketPath(t), 0o600) })
	t.Run("stale", func(t *testing.T) {
		watchForLeaks(t)
		path := socketPath(t)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		serve(t, path, 0o666)
	})
	t.Run("live", func(t *testing.T) {
		watchForLeaks(t)
		path := socketPath(t)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		refused(t, path, "in use")
		if _, err := os.Lstat(path); err != nil {
			t.Error("the other's file is gone")
		}
	})
	t.Run("not a socket", func(t *testing.T) {
		watchForLeaks(t)
		path := socketPath(t)
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "isn't a socket")
		if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
			t.Error("the file was touched")
		}
	})
	t.Run("symbolic link", func(t *testing.T) {
		watchForLeaks(t)
		path := socketPath(t)
		if err := os.Symlink(path+".target", path); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "isn't a socket")
	})
	t.Run("no directory", func(t *testing.T) {
		watchForLeaks(t)
		if _, err := listen(socketPath(t)+"/none/s", 0); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("Start: %v", err)
		}
	})
	t.Run("replaced meanwhile", func(t *testing.T) {
		watchForLeaks(t)
		path := socketPath(t)
		srv, err := listen(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Error("another's file was removed")
		}
	})
}
