//go:build darwin || freebsd

package reactor

import (
	"errors"
	"os"
	"syscall"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// translate makes readiness of a kqueue event. End-of-file on the read filter means
// "read to the end"; on the write filter it also follows our own shutdown, so there
// it's no more than a reason to try.
func translate(filter netpoll.IOEvent, flags netpoll.IOFlags) Events {
	if filter == unix.EVFILT_WRITE {
		return Out
	}
	if flags&unix.EV_EOF != 0 {
		return In | RdHup
	}
	return In
}

type wakePipe struct{ r, w int }

func newWakePipe() (wakePipe, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return wakePipe{}, os.NewSyscallError("pipe", err)
	}
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return wakePipe{}, errors.Join(os.NewSyscallError("fcntl", err), wakePipe{p[0], p[1]}.close())
		}
	}
	return wakePipe{p[0], p[1]}, nil
}

func (w wakePipe) reader() int { return w.r }

func (w wakePipe) drain() {
	var buf [64]byte
	for {
		if n, err := unix.Read(w.r, buf[:]); n <= 0 || err != nil {
			return
		}
	}
}

func (w wakePipe) write() error {
	for {
		_, err := unix.Write(w.w, []byte{1})
		switch err {
		case unix.EINTR:
		case unix.EAGAIN: // full: the reader has an edge to come
			return nil
		default:
			return err
		}
	}
}

func (w wakePipe) close() error {
	return os.NewSyscallError("close", errors.Join(unix.Close(w.r), unix.Close(w.w)))
}
