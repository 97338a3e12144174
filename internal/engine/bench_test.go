package engine_test

import (
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// echoer is the plainest echo server.
type echoer struct{ nobody }

func (echoer) Established(c *engine.Conn) { _ = c.Read() }

func (echoer) Read(c *engine.Conn, b *buffers.Buffer) {
	_ = c.Write(b)
	_ = c.Read()
}

// echoing is a connection to an echo server over the scripted kernel. Each call of the
// returned function is one echo.
func (k *kit) echoing(payload []byte) (echo func()) {
	k.user.silent = true
	k.echo()
	s, _ := k.connect()
	return func() {
		s.in, s.out = payload, s.out[:0]
		s.recvs, s.sends = s.recvs[:0], s.sends[:0]
		k.event(s, reactor.In|reactor.Out)
		if len(s.out) != len(payload) {
			k.t.Fatalf("%d bytes echoed of %d", len(s.out), len(payload))
		}
	}
}

// BenchmarkEchoDispatch is what a connection costs per echo, without the system.
func BenchmarkEchoDispatch(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		for _, track := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/track=%t", size, track), func(b *testing.B) {
				b.ReportAllocs()
				drive(b, setup{env: &engine.Env{Track: track}}, func(k *kit) {
					echo := k.echoing(text(size))
					echo()
					for b.Loop() {
						echo()
					}
				})
			})
		}
	}
}

// BenchmarkEchoLoopback is a round trip over loopback TCP to one loop, by a client that
// makes plain system calls.
func BenchmarkEchoLoopback(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			n := newNet(b, netSetup{loops: 1, consumer: echoer{}})
			to := n.addr.AddrPort
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			must(b, err)
			client := os.NewFile(uintptr(fd), "client") // in blocking mode
			defer client.Close()
			must(b, unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}))
			must(b, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
			out, in := text(size), make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, err := client.Write(out)
				must(b, err)
				_, err = io.ReadFull(client, in)
				must(b, err)
			}
		})
	}
}

// BenchmarkSend is a write off the loop, which the caller sends himself.
func BenchmarkSend(b *testing.B) {
	b.ReportAllocs()
	drive(b, setup{}, func(k *kit) {
		s, c := k.connect()
		p := text(100)
		for b.Loop() {
			s.out, s.sends = s.out[:0], s.sends[:0]
			must(b, c.Send(p))
		}
	})
}
