package reactor_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
)

const peerEnd = reactor.RdHup

// peers, Edge-triggered epoll: out-of-band data is announced by PRI, an error by ERR.
func TestPriAndErr(t *testing.T) {
	g := start(t, reactor.Config{Loops: 1})
	r := g.Reactors()[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer client.Close()
	server, err := l.Accept()
	must(t, err)
	file, err := server.(*net.TCPConn).File()
	must(t, err)
	server.Close()
	fd := int(file.Fd())
	must(t, unix.SetNonblock(fd, true))

	events := make(chan reactor.Events, 100)
	onLoop(t, r, func() { must(t, r.Register(fd, &handler{event: func(ev reactor.Events) { events <- ev }})) })
	until := func(want reactor.Events) {
		t.Helper()
		for receive(t, events, "an event")&want != want {
		}
	}
	raw, err := client.(*net.TCPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) }))
	must(t, err)
	until(reactor.Pri)
	must(t, client.(*net.TCPConn).SetLinger(0))
	must(t, client.Close())
	until(reactor.Err | reactor.Hup | reactor.RdHup)
	onLoop(t, r, func() { r.Deregister(fd) })
	must(t, file.Close())
}
