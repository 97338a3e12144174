package server

import "github.com/sluice-net/sluice/internal/lock"

// places counts connections against the limit. An acceptor takes a place before it
// accepts, because afterwards it would be too late to refuse without harm; so a place
// is tentative until a connection has it.
type places struct {
	limit int // 0: none

	mu        lock.Mutex
	taken     int
	tentative int           // of taken
	waiting   bool          // somebody was refused a place
	told      bool          // … and it was reported
	empty     chan struct{} // signalled when taken falls to 0
}

func newPlaces(limit int) *places { return &places{limit: limit, empty: make(chan struct{}, 1)} }

// admit takes a tentative place. If there's none, report says whether that's news:
// connections, and not just attempts, have them all.
func (p *places) admit() (ok, report bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 0 && p.taken >= p.limit {
		p.waiting = true
		report = !p.told && p.taken-p.tentative >= p.limit
		p.told = p.told || report
		return false, report
	}
	p.taken++
	p.tentative++
	return true, false
}

// take takes a place whatever the limit is: for connections of our own making.
func (p *places) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken++
}

// placed makes a tentative place a connection's.
func (p *places) placed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tentative--
}

// cancel gives a tentative place back; resume says that somebody waits for it.
func (p *places) cancel() (resume bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tentative--
	return p.leaveLocked()
}

// leave gives a connection's place back; resume says that somebody waits for it.
func (p *places) leave() (resume bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = false
	return p.leaveLocked()
}

func (p *places) leaveLocked() (resume bool) {
	if p.taken--; p.taken == 0 {
		select {
		case p.empty <- struct{}{}:
		default:
		}
	}
	resume, p.waiting = p.waiting, false
	return resume
}

// open is how many places connections have.
func (p *places) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken - p.tentative
}

// any reports whether a place is taken, be it tentatively.
func (p *places) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken > 0
}
