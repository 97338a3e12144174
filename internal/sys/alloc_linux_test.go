//go:build !race

package sys_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// DESIGN, Raw calls: iovecs are built inside internal/sys; nothing escapes.
func TestDataCallsAllocateNothing(t *testing.T) {
	a, b, _ := unixPair(t)
	p := make([]byte, 1000)
	v := [][]byte{p[:400], p[400:500], p[500:]}
	check := func(errno sys.Errno) {
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	drain := func() {
		_, errno := kernel.Recv(b, p)
		check(errno)
	}
	tests := map[string]func(){
		"Send and Recv": func() {
			_, errno := kernel.Send(a, p)
			check(errno)
			drain()
		},
		"Sendv": func() {
			_, errno := kernel.Sendv(a, v)
			check(errno)
			drain()
		},
		"Peek without data": func() {
			if _, errno := kernel.Peek(a, p); errno != unix.EAGAIN {
				t.Fatal(errno)
			}
		},
		"SocketError": func() { check(kernel.SocketError(a)) },
	}
	for name, f := range tests {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// io_linux.go: Accept parses the address itself, because the portable call allocates
// one for each connection.
func TestAcceptAllocatesNoAddress(t *testing.T) {
	c := newCloser(t)
	l, at := listen(t, c, sys.ListenSpec{Addr: tcp("127.0.0.1:0")})
	dialled := make([]int, 0, 201)
	for range cap(dialled) {
		dialled = append(dialled, dial(t, c, at, ""))
	}
	n := testing.AllocsPerRun(len(dialled)-1, func() {
		fd, _, errno := kernel.Accept(l)
		if errno != 0 {
			t.Fatal(errno)
		}
		kernel.Close(fd)
	})
	if n != 0 {
		t.Errorf("%v allocations per connection", n)
	}
}
