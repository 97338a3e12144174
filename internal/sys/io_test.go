package sys_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// DESIGN, Raw calls: MSG_DONTWAIT, because O_NONBLOCK belongs to the shared
// description. The sockets of these tests are in blocking mode.
func TestNothingBlocksOnABlockingDescriptor(t *testing.T) {
	for _, kind := range pairs {
		t.Run(kind.name, func(t *testing.T) {
			a, b, _ := kind.make(t)
			buf := make([]byte, 64<<10)
			_, errno := kernel.Recv(a, buf)
			wantErrno(t, "recv", errno, unix.EAGAIN)
			_, errno = kernel.Peek(a, buf)
			wantErrno(t, "peek", errno, unix.EAGAIN)

			fill := map[string]func() (int, sys.Errno){
				"send":  func() (int, sys.Errno) { return kernel.Send(a, buf) },
				"sendv": func() (int, sys.Errno) { return kernel.Sendv(a, [][]byte{buf, buf}) },
			}
			sent := 0
			for call, f := range fill {
				for {
					n, errno := f()
					if errno == unix.EAGAIN {
						if n != 0 {
							t.Errorf("%s: %d bytes and EAGAIN", call, n)
						}
						break
					}
					wantErrno(t, call, errno, 0)
					sent += n
				}
			}
			for got := 0; got < sent; {
				got += receive(t, b, buf)
			}
		})
	}
}

// kernel.go: a count of 0 with errno 0 is the end of the stream.
func TestEndOfStreamIsZero(t *testing.T) {
	ends := map[string]func(c *closer, peer int){
		"shutdown": func(c *closer, peer int) {
			wantErrno(c.t, "shutdown", kernel.ShutdownWrite(peer), 0)
		},
		"close": func(c *closer, peer int) { c.close(peer) },
	}
	for _, kind := range pairs {
		for name, end := range ends {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				a, b, c := kind.make(t)
				send(t, b, []byte("last"))
				end(c, b)

				buf := make([]byte, 10)
				if n := receive(t, a, buf); string(buf[:n]) != "last" {
					t.Fatalf("got %q", buf[:n])
				}
				wait(t, a, unix.POLLIN)
				for range 3 { // and it stays that way
					n, errno := kernel.Peek(a, buf)
					wantErrno(t, "peek", errno, 0)
					m, errno := kernel.Recv(a, buf)
					wantErrno(t, "recv", errno, 0)
					if n != 0 || m != 0 {
						t.Fatalf("at the end: peek gives %d, recv %d", n, m)
					}
				}
			})
		}
	}
}

func TestPeekLeavesTheBytes(t *testing.T) {
	for _, kind := range pairs {
		t.Run(kind.name, func(t *testing.T) {
			a, b, _ := kind.make(t)
			send(t, b, []byte("abc"))
			wait(t, a, unix.POLLIN)
			buf := make([]byte, 2)
			for range 2 {
				n, errno := kernel.Peek(a, buf)
				wantErrno(t, "peek", errno, 0)
				if string(buf[:n]) != "ab" {
					t.Fatalf("peek gives %q", buf[:n])
				}
			}
			for _, want := range []string{"ab", "c"} {
				if n := receive(t, a, buf); string(buf[:n]) != want {
					t.Fatalf("recv gives %q, want %q", buf[:n], want)
				}
			}
		})
	}
}

// kernel.go: one call moves at most MaxIO bytes.
func TestOneCallMovesAtMostMaxIO(t *testing.T) {
	piece := text(sys.MaxIO/2 + 1)
	calls := map[string]func(fd int) (int, sys.Errno){
		"send":  func(fd int) (int, sys.Errno) { return kernel.Send(fd, text(sys.MaxIO+1)) },
		"sendv": func(fd int) (int, sys.Errno) { return kernel.Sendv(fd, [][]byte{piece, piece}) },
	}
	for call, f := range calls {
		t.Run(call, func(t *testing.T) {
			a, b, _ := unixPair(t)
			must(t, unix.SetsockoptInt(a, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*sys.MaxIO))
			n, errno := f(a)
			wantErrno(t, call, errno, 0)
			if room := sendBuffer(t, a); n != sys.MaxIO && (n > sys.MaxIO || room > 3*sys.MaxIO) {
				t.Errorf("%s moved %d bytes with a buffer of %d, want %d", call, n, room, sys.MaxIO)
			}
			send(t, a, text(100))
			buf := make([]byte, 2*sys.MaxIO)
			if got := receive(t, b, buf); got > sys.MaxIO {
				t.Errorf("recv moved %d bytes, want at most %d", got, sys.MaxIO)
			}
		})
	}
}

func sendBuffer(t testing.TB, fd int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	must(t, err)
	return n
}

func TestSendvGathers(t *testing.T) {
	ones := func(n int) [][]byte {
		v := make([][]byte, n)
		for i := range v {
			v[i] = []byte{byte('0' + i%10)}
		}
		return v
	}
	spread := func(v [][]byte) (with [][]byte) { // empty pieces before, between and behind
		for _, p := range v {
			with = append(with, nil, []byte{}, p)
		}
		return append(with, nil)
	}
	tests := []struct {
		name string
		v    [][]byte
		want int // bytes
	}{
		{"one", ones(1), 1},
		{"several", [][]byte{[]byte("ab"), []byte("c"), []byte("defg")}, 7},
		{"as many as are looked at", ones(sys.MaxVectors), sys.MaxVectors},
		{"more than are looked at", ones(sys.MaxVectors + 36), sys.MaxVectors},
		{"with empty pieces", spread([][]byte{[]byte("ab"), []byte("c")}), 3},
		{"many with empty pieces", spread(ones(sys.MaxVectors)), sys.MaxVectors},
	}
	for _, kind := range pairs {
		for _, tt := range tests {
			t.Run(kind.name+"/"+tt.name, func(t *testing.T) {
				a, b, _ := kind.make(t)
				n, errno := kernel.Sendv(a, tt.v)
				wantErrno(t, "sendv", errno, 0)
				if n != tt.want {
					t.Errorf("sendv moved %d bytes, want %d", n, tt.want)
				}
				var got []byte
				buf := make([]byte, 1000)
				for len(got) < n {
					got = append(got, buf[:receive(t, b, buf)]...)
				}
				if want := bytes.Join(tt.v, nil)[:tt.want]; !bytes.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// All of a large message arrives in order through whatever short writes there are.
func TestShortWritesLoseNothing(t *testing.T) {
	for _, kind := range pairs {
		for _, call := range []string{"send", "sendv"} {
			t.Run(kind.name+"/"+call, func(t *testing.T) {
				a, b, _ := kind.make(t)
				message := text(3 << 20)
				got := make(chan []byte)
				go func() {
					var all []byte
					buf := make([]byte, 100_000)
					for len(all) < len(message) {
						p := []unix.PollFd{{Fd: int32(b), Events: unix.POLLIN}}
						if _, err := unix.Poll(p, 10_000); err != nil && err != unix.EINTR {
							break
						}
						n, errno := kernel.Recv(b, buf)
						if errno != 0 && errno != unix.EAGAIN {
							break
						}
						all = append(all, buf[:n]...)
					}
					got <- all
				}()
				for rest := message; len(rest) > 0; {
					var n int
					var errno sys.Errno
					if cut := len(rest) / 3; call == "sendv" && cut > 0 {
						n, errno = kernel.Sendv(a, [][]byte{rest[:cut], rest[cut : 2*cut], rest[2*cut:]})
					} else {
						n, errno = kernel.Send(a, rest)
					}
					if errno == unix.EAGAIN {
						wait(t, a, unix.POLLOUT)
						continue
					}
					wantErrno(t, call, errno, 0)
					rest = rest[n:]
				}
				if all := <-got; !bytes.Equal(all, message) {
					t.Errorf("%d bytes arrived of %d, or not the same", len(all), len(message))
				}
			})
		}
	}
}

// A descriptor that isn't one gives EBADF from each call, and nothing else happens.
func TestBadDescriptor(t *testing.T) {
	p := make([]byte, 1)
	errnoOf := func(_ int, e sys.Errno) sys.Errno { return e }
	tests := map[string]func(fd int) sys.Errno{
		"Recv":          func(fd int) sys.Errno { return errnoOf(kernel.Recv(fd, p)) },
		"Peek":          func(fd int) sys.Errno { return errnoOf(kernel.Peek(fd, p)) },
		"RecvOOB":       func(fd int) sys.Errno { return errnoOf(kernel.RecvOOB(fd, p)) },
		"Send":          func(fd int) sys.Errno { return errnoOf(kernel.Send(fd, p)) },
		"Sendv":         func(fd int) sys.Errno { return errnoOf(kernel.Sendv(fd, [][]byte{p, p})) },
		"SendOOB":       func(fd int) sys.Errno { return errnoOf(kernel.SendOOB(fd, p)) },
		"ShutdownWrite": kernel.ShutdownWrite,
		"SocketError":   kernel.SocketError,
		"SetLinger":     func(fd int) sys.Errno { return kernel.SetLinger(fd, false, 0) },
		"Close":         kernel.Close,
		"AtMark":        func(fd int) sys.Errno { _, e := kernel.AtMark(fd); return e },
		"LocalAddr":     func(fd int) sys.Errno { _, e := kernel.LocalAddr(fd); return e },
		"RemoteAddr":    func(fd int) sys.Errno { _, e := kernel.RemoteAddr(fd); return e },
		"Accept": func(fd int) sys.Errno {
			n, a, e := kernel.Accept(fd)
			if n != -1 || a != (sys.Addr{}) {
				t.Errorf("Accept: %d, %v with an error", n, a)
			}
			return e
		},
	}
	for _, fd := range []int{-1, 1 << 20} {
		for call, f := range tests {
			t.Run(fmt.Sprintf("%s/%d", call, fd), func(t *testing.T) {
				wantErrno(t, call, f(fd), unix.EBADF)
			})
		}
	}
}
