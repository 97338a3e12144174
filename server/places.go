package server

import "github.com/sluice-net/sluice/internal/lock"

// places counts connections against the limits: the server's, and each listener's. An
// acceptor takes a place before it accepts, because afterwards it would be too late to
// refuse without harm; so a place is tentative until a connection has it. A listener's
// place and the server's are taken and given back together, under one lock: nobody holds
// one while he's refused the other.
type places struct {
	empty chan struct{} // signalled when the server's fall to 0

	mu  lock.Mutex
	all account // the server's
}

// account is one limit and what's taken of it, guarded by places.mu. Each endpoint has
// one.
type account struct {
	limit     int // 0: none; never changes
	taken     int
	tentative int  // of taken
	waiting   bool // somebody was refused a place
	told      bool // … and it was reported
}

// scope says whom something about the limits concerns.
type scope struct{ server, listener bool }

func newPlaces(limit int) *places {
	return &places{all: account{limit: limit}, empty: make(chan struct{}, 1)}
}

// admit takes a tentative place. If there's none, news says which limits are reached
// that weren't before: connections, and not just attempts, have all their places.
func (p *places) admit(own *account) (ok bool, news scope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case own.full(): // whoever makes room here tells those of this listener
		own.waiting = true
	case p.all.full():
		p.all.waiting = true
	default:
		p.all.tentative++
		own.tentative++
		p.takeLocked(own)
		return true, scope{}
	}
	return false, scope{server: p.all.reached(), listener: own.reached()}
}

// full reports whether there's no place.
func (a *account) full() bool { return a.limit > 0 && a.taken >= a.limit }

// reached reports once whether connections have all places, until one of them leaves.
func (a *account) reached() bool {
	if a.told || a.limit == 0 || a.taken-a.tentative < a.limit {
		return false
	}
	a.told = true
	return true
}

// take takes a place whatever the limit is: for connections of our own making.
func (p *places) take(own *account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeLocked(own)
}

func (p *places) takeLocked(own *account) {
	p.all.taken++
	own.taken++
}

// placed makes a tentative place a connection's.
func (p *places) placed(own *account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.tentative--
	own.tentative--
}

// cancel gives a tentative place back; resume says who waits for it.
func (p *places) cancel(own *account) (resume scope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.tentative--
	own.tentative--
	return p.leaveLocked(own)
}

// leave gives a connection's place back; resume says who waits for it.
func (p *places) leave(own *account) (resume scope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.told, own.told = false, false
	return p.leaveLocked(own)
}

func (p *places) leaveLocked(own *account) (resume scope) {
	own.taken--
	if p.all.taken--; p.all.taken == 0 {
		select {
		case p.empty <- struct{}{}:
		default:
		}
	}
	resume = scope{server: p.all.waiting, listener: own.waiting}
	p.all.waiting, own.waiting = false, false
	return resume
}

// open is how many places connections have.
func (p *places) open() int { return p.openAt(&p.all) }

// openAt is how many of an account's places connections have.
func (p *places) openAt(a *account) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return a.taken - a.tentative
}

// any reports whether a place is taken, be it tentatively.
func (p *places) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.taken > 0
}
