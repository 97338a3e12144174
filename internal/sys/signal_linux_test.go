package sys_test

import (
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sys"
)

// DESIGN, Raw calls: MSG_NOSIGNAL; never write or writev, which raise SIGPIPE.
func TestBrokenPipeRaisesNoSignal(t *testing.T) {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, unix.SIGPIPE, unix.SIGWINCH)
	defer signal.Stop(signals)
	// raised reports whether f raised SIGPIPE. The runtime passes signals on in the
	// order of their numbers, so SIGPIPE, raised before SIGWINCH, is seen before it.
	raised := func(f func()) bool {
		f()
		must(t, unix.Kill(os.Getpid(), unix.SIGWINCH))
		found := false
		for s := range signals {
			if s == unix.SIGWINCH {
				break
			}
			found = true
		}
		return found
	}

	a, b, c := unixPair(t)
	c.close(b)
	p := []byte("x")
	for call, f := range map[string]func() (int, sys.Errno){
		"send":    func() (int, sys.Errno) { return kernel.Send(a, p) },
		"sendv":   func() (int, sys.Errno) { return kernel.Sendv(a, [][]byte{p, p}) },
		"sendoob": func() (int, sys.Errno) { return kernel.SendOOB(a, p) },
	} {
		if raised(func() {
			n, errno := f()
			wantErrno(t, call, errno, unix.EPIPE)
			if n != 0 {
				t.Errorf("%s: %d bytes sent", call, n)
			}
		}) {
			t.Errorf("%s raised SIGPIPE", call)
		}
	}
	if !raised(func() { _, _ = unix.Write(a, p) }) {
		t.Error("write raised no SIGPIPE: this test sees none")
	}
}
