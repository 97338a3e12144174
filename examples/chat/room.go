package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
)

// errTooSlow ends a member with -slow=disconnect.
var errTooSlow = errors.New("too slow")

// member is a client.
type member struct {
	// Fixed after construction.
	stream *conn.Stream // with a reference until OnConnectionClosure

	// The connection's loop's own.
	reader *framing.Reader

	// The room's own.
	name   string // "" until it's said
	missed int    // lines since the output was full; with -slow=drop
}

// room is all who have a name. Its goroutine does all that concerns more than one of them,
// and everything that's sent: callbacks tell it what to do, which never makes them wait.
// The queue is short. A member is read from when what he said before has been passed on, so
// he has one entry with lines in it, and one for what may happen to him besides.
type room struct {
	// Fixed after construction.
	disconnect bool          // who is too slow
	wake       chan struct{} // room for one: there's something to do
	quit, done chan struct{}

	mu   sync.Mutex
	todo []func() // guarded by mu

	// The goroutine's own.
	members []*member
}

func newRoom(disconnect bool) *room {
	return &room{disconnect: disconnect, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// do has the room's goroutine call f, after what it was told before.
func (r *room) do(f func()) {
	r.mu.Lock()
	r.todo = append(r.todo, f)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // it will see f when it looks
	}
}

// run is the goroutine, until end.
func (r *room) run() {
	defer close(r.done)
	for {
		r.work()
		select {
		case <-r.wake:
		case <-r.quit:
			r.work()
			return
		}
	}
}

// end waits until everything that the room was told to do is done.
func (r *room) end() {
	close(r.quit)
	<-r.done
}

func (r *room) work() {
	r.mu.Lock()
	todo := r.todo
	r.todo = nil
	r.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

// The rest is the room's goroutine's.

// greet begins to read what a client says.
func (r *room) greet(m *member) {
	r.send(m, "* your name?")
	_ = m.stream.Read()
}

// hear passes on what a member has said, and reads on.
func (r *room) hear(m *member, lines []string) {
	for _, line := range lines {
		if m.name == "" {
			r.join(m, strings.TrimSpace(line))
		} else {
			r.tell(m, m.name+": "+line)
		}
	}
	_ = m.stream.Read()
}

func (r *room) join(m *member, name string) {
	if name == "" || len(name) > 20 || r.has(name) {
		r.send(m, "* that name is taken, too long, or none: another?")
		return
	}
	m.name = name
	r.members = append(r.members, m)
	r.send(m, "* welcome, "+name)
	r.tell(m, "* "+name+" has joined")
}

func (r *room) has(name string) bool {
	for _, m := range r.members {
		if m.name == name {
			return true
		}
	}
	return false
}

// leave ends a client whose connection has ended.
func (r *room) leave(m *member, why string) {
	for i, other := range r.members {
		if other == m {
			r.members = append(r.members[:i], r.members[i+1:]...)
			r.tell(m, fmt.Sprintf("* %s has left: %s", m.name, why))
			return
		}
	}
}

// tell sends a line to everybody but one.
func (r *room) tell(but *member, line string) {
	for _, m := range r.members {
		if m != but {
			r.send(m, line)
		}
	}
}

// send sends a line to m, or doesn't, if he is slow. From the first line that his output has
// no room for, none is tried until OnWriteReady, so that what he missed is missing in one
// place: the framework promises that it follows ErrOutputFull.
func (r *room) send(m *member, line string) {
	if m.missed > 0 {
		m.missed++
		return
	}
	switch err := m.stream.Send([]byte(line + "\n")); {
	case !errors.Is(err, conn.ErrOutputFull): // sent, or he is about to leave
	case r.disconnect:
		m.stream.Abort(errTooSlow)
	default:
		m.missed = 1
	}
}

// catchUp tells a member what he missed, now that his output has room. It may be full again,
// if the OnWriteReady is older than the first miss; then another one will follow.
func (r *room) catchUp(m *member) {
	if m.missed == 0 {
		return
	}
	if err := m.stream.Send(fmt.Appendf(nil, "* you missed %d lines\n", m.missed)); err == nil {
		m.missed = 0
	}
}
