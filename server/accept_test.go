package server_test

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// faultyKernel is the system's, but for what accept fails with first.
type faultyKernel struct {
	sys.OS

	mu     sync.Mutex
	faults []syscall.Errno
}

func (k *faultyKernel) inject(errno syscall.Errno, times int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range times {
		k.faults = append(k.faults, errno)
	}
}

func (k *faultyKernel) Accept(fd int) (int, sys.Addr, sys.Errno) {
	k.mu.Lock()
	if len(k.faults) > 0 {
		errno := k.faults[0]
		k.faults = k.faults[1:]
		k.mu.Unlock()
		return -1, sys.Addr{}, errno
	}
	k.mu.Unlock()
	return k.OS.Accept(fd)
}

// kernel gives the server a Mux of its own over k.
func kernel(t *testing.T, k sys.Kernel, n int) func(*server.Config) {
	return func(c *server.Config) {
		mux, err := engine.NewMux(engine.MuxConfig{
			Loops: n, Logger: c.Logger, SlowCallback: -1, Reactor: reactor.Config{Kernel: k},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := mux.Terminate(); err != nil {
				t.Error("Terminate:", err)
			}
		})
		c.Mux = (*conn.Mux)(mux)
	}
}

// peers.md: gnet: any accept error other than EAGAIN/EINTR/ECONNRESET/ECONNABORTED ends the
// loop. faults.md: EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPERM on accept.
func TestAcceptErrorsEndNothing(t *testing.T) {
	cases := []struct {
		errno syscall.Errno
		times int
	}{
		{syscall.EMFILE, 4}, {syscall.ENFILE, 4}, {syscall.ENOBUFS, 4}, {syscall.ENOMEM, 4},
		{syscall.ECONNABORTED, 20}, {syscall.EPERM, 20}, {syscall.EPROTO, 1}, {syscall.ENETDOWN, 1},
		{syscall.EHOSTUNREACH, 1}, {syscall.ETIMEDOUT, 1}, {syscall.ECONNRESET, 1}, {syscall.EIO, 1},
	}
	for _, c := range cases {
		t.Run(c.errno.Error(), func(t *testing.T) {
			k := &faultyKernel{}
			rec := newRecorder(echoing())
			f := start(t, "tcp", rec, kernel(t, k, 1))
			f.dial().echo("before")
			before := f.dispatches()
			k.inject(c.errno, c.times)
			p := f.dial()
			p.echo("after")
			f.dial().echo("and once more")
			rec.await(t, "OnAcceptError", func() bool {
				for _, e := range rec.events {
					if strings.HasPrefix(e, "OnAcceptError main: ") && strings.Contains(e, c.errno.Error()) {
						return true
					}
				}
				return false
			})
			if st := f.mainStats(); st.AcceptErrors != uint64(c.times) {
				t.Errorf("%d accept errors counted, %d injected", st.AcceptErrors, c.times)
			}
			if n := f.dispatches() - before; n > 100 {
				t.Errorf("%d dispatches for %d failures", n, c.times)
			}
		})
	}
}

// DESIGN: only EBADF and EINVAL are ACCEPT_FAILED: that listener ends, the server and the
// connections don't.
func TestBrokenListenerIsClosed(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EBADF, syscall.EINVAL} {
		t.Run(errno.Error(), func(t *testing.T) {
			k := &faultyKernel{}
			rec := newRecorder(echoing())
			f := start(t, "tcp", rec, kernel(t, k, 2))
			p := f.dial()
			p.echo("before")
			k.inject(errno, 1)
			if q, err := tryDial(t, "tcp", f.addr); err == nil {
				if n, err := q.Read(make([]byte, 1)); err == nil {
					t.Errorf("a broken listener served %d bytes", n)
				}
			}
			rec.heard(t, "OnAcceptError main: "+errno.Error())
			p.echo("after")
		})
	}
}

// DESIGN: pause with back-off on EMFILE: the delays grow, and the failures stay few.
// faults.md: back off 5 ms–1 s, no spin, resume.
func TestAcceptBacksOff(t *testing.T) {
	k := &faultyKernel{}
	rec := newRecorder(echoing())
	f := start(t, "tcp", rec, kernel(t, k, 1), timeouts(conn.Timeouts{Idle: -1}))
	p := f.dial()
	p.echo("before")
	k.inject(syscall.EMFILE, 1<<20)
	q := f.dial()
	begun := time.Now()
	for range 1000 {
		p.echo("ping")
	}
	k.mu.Lock()
	failed := 1<<20 - len(k.faults)
	k.faults = nil
	k.mu.Unlock()
	// 5 ms, doubled up to a second; then two a second, with the reserve descriptor.
	if most := 10 + 2*int(time.Since(begun)/time.Second); failed > most {
		t.Errorf("accept failed %d times within %v", failed, time.Since(begun))
	}
	q.echo("after")
}
