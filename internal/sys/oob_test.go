package sys_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// peers, Edge-triggered epoll: an out-of-band mark cuts a read short with bytes
// behind it.
func TestOutOfBand(t *testing.T) {
	client, server, _ := tcpPair(t)
	one := make([]byte, 1)
	_, errno := kernel.RecvOOB(server, one)
	wantErrno(t, "recvoob without any", errno, unix.EINVAL)

	send(t, client, []byte("aaaa"))
	n, errno := kernel.SendOOB(client, []byte("X"))
	wantErrno(t, "sendoob", errno, 0)
	if n != 1 {
		t.Errorf("sendoob moved %d bytes", n)
	}
	send(t, client, []byte("bbbb"))
	wait(t, server, unix.POLLPRI)

	n, errno = kernel.RecvOOB(server, one)
	wantErrno(t, "recvoob", errno, 0)
	if n != 1 || one[0] != 'X' {
		t.Errorf("recvoob gives %q", one[:n])
	}
	atMark := func(want bool) {
		t.Helper()
		at, errno := kernel.AtMark(server)
		wantErrno(t, "sockatmark", errno, 0)
		if at != want {
			t.Errorf("at the mark: %t, want %t", at, want)
		}
	}
	buf := make([]byte, 100)
	atMark(false)
	if n := receive(t, server, buf); string(buf[:n]) != "aaaa" {
		t.Errorf("before the mark: %q", buf[:n])
	}
	atMark(true)
	if n := receive(t, server, buf); string(buf[:n]) != "bbbb" {
		t.Errorf("behind the mark: %q", buf[:n])
	}
	atMark(false)
	_, errno = kernel.RecvOOB(server, one)
	wantErrno(t, "recvoob once more", errno, unix.EINVAL)
}

// kernel.go: the last byte is the out-of-band one.
func TestSendOOBSendsTheLastByteOutOfBand(t *testing.T) {
	client, server, _ := tcpPair(t)
	n, errno := kernel.SendOOB(client, []byte("abX"))
	wantErrno(t, "sendoob", errno, 0)
	if n != 3 {
		t.Fatalf("sendoob moved %d bytes of 3", n)
	}
	wait(t, server, unix.POLLPRI)
	buf := make([]byte, 10)
	if n := receive(t, server, buf); string(buf[:n]) != "ab" {
		t.Errorf("in band: %q", buf[:n])
	}
	n, errno = kernel.RecvOOB(server, buf)
	wantErrno(t, "recvoob", errno, 0)
	if string(buf[:n]) != "X" {
		t.Errorf("out of band: %q", buf[:n])
	}
}
