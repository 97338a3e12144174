package sim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-net/sluice/internal/reactor"
)

// Poller is a reactor.Poller in the manner of epoll: edge-triggered, what's reported is
// the state at the time of the report, and a batch that was fetched is reported whatever
// becomes of its descriptors meanwhile.
type Poller struct {
	w      *World
	name   string
	regs   map[int]*registration
	ready  []*registration // in the order of their edges
	woken  bool
	closed bool
}

// registration is a descriptor's place in a poller.
type registration struct {
	p     *Poller
	fd    int
	state func() reactor.Events
	due   bool // in p.ready
}

// NewPoller is what reactor.Config.NewPoller should be.
func (w *World) NewPoller() (reactor.Poller, error) {
	if w.Kernel.broken() {
		return nil, errors.New("epoll_create: no descriptors")
	}
	p := &Poller{w: w, name: fmt.Sprintf("loop %d", len(w.pollers)), regs: map[int]*registration{}}
	w.pollers = append(w.pollers, p)
	return p, nil
}

// edge has the registration reported.
func (r *registration) edge() {
	if !r.due {
		r.due = true
		r.p.ready = append(r.p.ready, r)
	}
}

func (p *Poller) add(fd int, state func() reactor.Events) (*registration, error) {
	p.w.Yield()
	if p.w.Kernel.broken() {
		return nil, errors.New("epoll_ctl: no space")
	}
	if p.regs[fd] != nil {
		p.w.Failf("descriptor %d is registered twice", fd)
	}
	r := &registration{p: p, fd: fd, state: state}
	p.regs[fd] = r
	r.edge()
	return r, nil
}

// Add implements reactor.Poller.
func (p *Poller) Add(fd int) error {
	s := p.w.Kernel.stream(fd, "epoll_ctl")
	r, err := p.add(fd, s.events)
	p.w.call("register", "%s: %v", s.label(), err)
	s.reg = r
	return err
}

// AddListener implements reactor.Poller.
func (p *Poller) AddListener(fd int) error {
	l, ok := p.w.Kernel.files[fd].(*listener)
	if !ok {
		p.w.Failf("descriptor %d is registered as a listener", fd)
		return errors.ErrUnsupported
	}
	r, err := p.add(fd, func() (ev reactor.Events) {
		if len(l.backlog) > 0 {
			ev = reactor.In
		}
		return ev
	})
	l.reg = r
	return err
}

// Delete implements reactor.Poller.
func (p *Poller) Delete(fd int) error {
	p.w.enter()
	r := p.regs[fd]
	if r == nil {
		return errors.New("epoll_ctl: not registered")
	}
	delete(p.regs, fd)
	p.ready = slices.DeleteFunc(p.ready, func(o *registration) bool { return o == r })
	switch f := p.w.Kernel.files[fd].(type) {
	case *stream:
		f.reg = nil
	case *listener:
		f.reg = nil
	}
	return nil
}

// Wake implements reactor.Poller.
func (p *Poller) Wake() error {
	p.w.enter()
	if p.closed {
		p.w.Failf("Wake after Close")
	}
	p.woken = true
	p.w.yield("wake", p.name)
	return nil
}

// Close implements reactor.Poller.
func (p *Poller) Close() error {
	p.w.enter()
	p.closed = true
	return nil
}

// event is one of a batch.
type event struct {
	fd int
	ev reactor.Events
}

// Wait implements reactor.Poller.
func (p *Poller) Wait(dispatch func(int, reactor.Events) bool) error {
	p.w.enter()
	p.w.Name(p.name)
	for {
		var batch []event
		wake := false
		p.w.Wait("epoll_wait", func() bool { return p.woken || len(p.ready) > 0 })
		batch = p.fetch()
		if p.woken && (len(batch) == 0 || p.w.IntN(4) > 0) {
			p.woken, wake = false, true
		}
		for _, e := range batch {
			p.w.call("event", "fd %d: %s", e.fd, describe(e.ev))
			if dispatch(e.fd, e.ev) {
				return nil
			}
			p.w.call("event", "fd %d: done", e.fd)
			p.w.Yield()
		}
		if wake {
			p.w.call("event", "posts")
			if dispatch(reactor.WakeFD, 0) {
				p.w.call("event", "posts: done; the loop ends")
				return nil
			}
			p.w.call("event", "posts: done")
		}
	}
}

// fetch takes some of what is ready, in any order.
func (p *Poller) fetch() (batch []event) {
	for i := 0; i < len(p.ready); {
		if p.w.IntN(3) == 0 && len(p.ready)+len(batch) > 1 {
			i++ // later
			continue
		}
		r := p.ready[i]
		p.ready = slices.Delete(p.ready, i, i+1)
		r.due = false
		if ev := r.state(); ev != 0 {
			batch = append(batch, event{r.fd, ev})
			if p.w.Chance(p.w.Faults.Stale) {
				batch = append(batch, event{r.fd, ev})
			}
		}
	}
	for range len(batch) / 2 {
		i, j := p.w.IntN(len(batch)), p.w.IntN(len(batch))
		batch[i], batch[j] = batch[j], batch[i]
	}
	if p.w.Chance(p.w.Faults.Stale) {
		// A hint about whoever has the number now, without a cause.
		all := reactor.In | reactor.Out | reactor.Pri | reactor.RdHup | reactor.Hup | reactor.Err
		if fds := p.w.Kernel.Open(); len(fds) > 0 {
			batch = append(batch, event{fds[p.w.IntN(len(fds))], reactor.Events(p.w.IntN(int(all) + 1))})
		}
	}
	return batch
}

func describe(ev reactor.Events) (s string) {
	for _, e := range []struct {
		bit  reactor.Events
		name string
	}{{reactor.In, "IN"}, {reactor.Out, "OUT"}, {reactor.Pri, "PRI"}, {reactor.RdHup, "RDHUP"}, {reactor.Hup, "HUP"}, {reactor.Err, "ERR"}} {
		if ev&e.bit != 0 {
			if s != "" {
				s += "+"
			}
			s += e.name
		}
	}
	return s
}
