package reactor

import (
	"errors"
	"os"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
)

// netPoller is gnet's poller with a wake descriptor of ours: its own is bound to its
// task queue.
type netPoller struct {
	poller *netpoll.Poller
	wake   wakePipe
}

// NewPoller opens the system's poller.
func NewPoller() (Poller, error) {
	p, err := netpoll.OpenPoller()
	if err != nil {
		return nil, err
	}
	wake, err := newWakePipe()
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	if err := p.AddRead(&netpoll.PollAttachment{FD: wake.reader()}, true); err != nil {
		return nil, errors.Join(err, wake.close(), p.Close())
	}
	return &netPoller{poller: p, wake: wake}, nil
}

func (p *netPoller) Add(fd int) error {
	return p.poller.AddReadWrite(&netpoll.PollAttachment{FD: fd}, true)
}

func (p *netPoller) AddListener(fd int) error {
	return p.poller.AddRead(&netpoll.PollAttachment{FD: fd}, true)
}

func (p *netPoller) Delete(fd int) error { return p.poller.Delete(fd) }

func (p *netPoller) Wake() error { return os.NewSyscallError("write", p.wake.write()) }

func (p *netPoller) Wait(dispatch func(int, Events) bool) error {
	wake := p.wake.reader()
	err := p.poller.Polling(func(fd int, ev netpoll.IOEvent, flags netpoll.IOFlags) error {
		events := translate(ev, flags)
		if fd == wake {
			p.wake.drain()
			fd = WakeFD
		}
		if dispatch(fd, events) {
			return gneterrors.ErrEngineShutdown
		}
		return nil
	})
	if errors.Is(err, gneterrors.ErrEngineShutdown) {
		return nil
	}
	return err
}

func (p *netPoller) Close() error { return errors.Join(p.wake.close(), p.poller.Close()) }
