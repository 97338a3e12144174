package reactor

import (
	"encoding/binary"
	"os"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

func translate(ev netpoll.IOEvent, _ netpoll.IOFlags) (e Events) {
	if ev&unix.EPOLLIN != 0 {
		e |= In
	}
	if ev&unix.EPOLLOUT != 0 {
		e |= Out
	}
	if ev&(unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return e
	}
	if ev&unix.EPOLLPRI != 0 {
		e |= Pri
	}
	if ev&unix.EPOLLRDHUP != 0 {
		e |= RdHup
	}
	if ev&unix.EPOLLHUP != 0 {
		e |= Hup
	}
	if ev&unix.EPOLLERR != 0 {
		e |= Err
	}
	return e
}

// wakePipe is an eventfd. Registered edge-triggered, each write is an edge, so its
// counter is never read (it would take 2⁶⁴ wake-ups to fill).
type wakePipe int

func newWakePipe() (wakePipe, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return wakePipe(fd), os.NewSyscallError("eventfd", err)
}

func (w wakePipe) reader() int  { return int(w) }
func (w wakePipe) drain()       {}
func (w wakePipe) close() error { return os.NewSyscallError("close", unix.Close(int(w))) }

func (w wakePipe) write() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	for {
		_, err := unix.Write(int(w), one[:])
		if err != unix.EINTR {
			return err
		}
	}
}
