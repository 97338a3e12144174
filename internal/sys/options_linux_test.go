package sys_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// kernel.go: options are set on the listening socket, and accepted sockets inherit
// them.
func TestAcceptedSocketsInheritOptions(t *testing.T) {
	type option struct {
		name          string
		level, number int
		want          int
	}
	const sol, tcpLevel = unix.SOL_SOCKET, unix.IPPROTO_TCP
	tests := []struct {
		name    string
		options sys.Options
		want    []option
	}{
		{"defaults", sys.Options{}, []option{
			{"TCP_NODELAY", tcpLevel, unix.TCP_NODELAY, 1},
			{"SO_KEEPALIVE", sol, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", tcpLevel, unix.TCP_KEEPIDLE, 15},
			{"TCP_KEEPINTVL", tcpLevel, unix.TCP_KEEPINTVL, 15},
			{"TCP_KEEPCNT", tcpLevel, unix.TCP_KEEPCNT, 9},
			{"TCP_USER_TIMEOUT", tcpLevel, unix.TCP_USER_TIMEOUT, 0},
		}},
		{"Nagle", sys.Options{Nagle: true}, []option{{"TCP_NODELAY", tcpLevel, unix.TCP_NODELAY, 0}}},
		{"no keep-alive", sys.Options{KeepAlive: -1}, []option{{"SO_KEEPALIVE", sol, unix.SO_KEEPALIVE, 0}}},
		{"keep-alive", sys.Options{KeepAlive: 40 * time.Second, KeepAliveInterval: 7 * time.Second, KeepAliveCount: 3}, []option{
			{"SO_KEEPALIVE", sol, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", tcpLevel, unix.TCP_KEEPIDLE, 40},
			{"TCP_KEEPINTVL", tcpLevel, unix.TCP_KEEPINTVL, 7},
			{"TCP_KEEPCNT", tcpLevel, unix.TCP_KEEPCNT, 3},
		}},
		{"fractions of a second", sys.Options{KeepAlive: time.Millisecond, KeepAliveInterval: 1500 * time.Millisecond}, []option{
			{"TCP_KEEPIDLE", tcpLevel, unix.TCP_KEEPIDLE, 1},
			{"TCP_KEEPINTVL", tcpLevel, unix.TCP_KEEPINTVL, 2},
		}},
		{"buffers", sys.Options{SendBuffer: 40_000, ReceiveBuffer: 50_000}, []option{
			{"SO_SNDBUF", sol, unix.SO_SNDBUF, 80_000}, // the kernel doubles them
			{"SO_RCVBUF", sol, unix.SO_RCVBUF, 100_000},
		}},
		{"user time-out", sys.Options{UserTimeout: 2500 * time.Millisecond}, []option{
			{"TCP_USER_TIMEOUT", tcpLevel, unix.TCP_USER_TIMEOUT, 2500},
		}},
	}
	for _, tt := range tests {
		for _, host := range []string{"127.0.0.1", "[::1]"} {
			t.Run(fmt.Sprintf("%s on %s", tt.name, host), func(t *testing.T) {
				c := newCloser(t)
				l, at := listen(t, c, sys.ListenSpec{Addr: tcp(host + ":0"), Options: tt.options})
				dial(t, c, at, "")
				server, _ := accept(t, c, l)
				for _, o := range tt.want {
					got, err := unix.GetsockoptInt(server, o.level, o.number)
					must(t, err)
					if got != o.want {
						t.Errorf("%s is %d, want %d", o.name, got, o.want)
					}
				}
			})
		}
	}
}

func TestAcceptedSocketsInheritLinger(t *testing.T) {
	for _, tt := range []struct {
		linger time.Duration
		want   unix.Linger
	}{
		{0, unix.Linger{}},
		{3 * time.Second, unix.Linger{Onoff: 1, Linger: 3}},
		{time.Millisecond, unix.Linger{Onoff: 1, Linger: 1}},
	} {
		c := newCloser(t)
		l, at := listen(t, c, sys.ListenSpec{Addr: tcp("127.0.0.1:0"), Options: sys.Options{Linger: tt.linger}})
		dial(t, c, at, "")
		server, _ := accept(t, c, l)
		got, err := unix.GetsockoptLinger(server, unix.SOL_SOCKET, unix.SO_LINGER)
		must(t, err)
		if *got != tt.want {
			t.Errorf("Linger %v: SO_LINGER is %+v, want %+v", tt.linger, *got, tt.want)
		}
		wantErrno(t, "linger off", kernel.SetLinger(server, false, 9), 0)
		if got, err = unix.GetsockoptLinger(server, unix.SOL_SOCKET, unix.SO_LINGER); err != nil || got.Onoff != 0 {
			t.Errorf("SO_LINGER is %+v, %v after it was cleared", got, err)
		}
	}
}

func TestUnixListenerTakesBufferSizes(t *testing.T) {
	l, _ := listen(t, newCloser(t), sys.ListenSpec{Options: sys.Options{SendBuffer: 40_000, ReceiveBuffer: 50_000}})
	if n := sendBuffer(t, l); n != 80_000 {
		t.Errorf("SO_SNDBUF is %d, want 80000", n)
	}
}
