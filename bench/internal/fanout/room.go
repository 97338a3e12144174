// Package fanout is what all fan-out servers have in common: who listens, and the goroutine
// that publishes.
//
// A connection's first message subscribes it, and is answered to it alone. Each later one is
// sent to all subscribers. All sending is done by the room's own goroutine, which is none of
// the event loops: the server's way of writing from elsewhere is what's measured.
package fanout

// A Room holds the subscribers, by any handle that compares. Its methods may be called from
// any goroutine.
type Room[C comparable] struct {
	// Fixed after construction.
	send   func(to C, p []byte)
	events chan event[C]

	// The goroutine's own.
	members []C
	place   map[C]int // in members
}

type event[C comparable] struct {
	from    C
	message []byte // nil: from has gone
}

// backlog is more than the driver has outstanding: callbacks don't wait.
const backlog = 1 << 16

// New starts a room. send may keep p; nobody writes to it.
func New[C comparable](send func(to C, p []byte)) *Room[C] {
	r := &Room[C]{send: send, events: make(chan event[C], backlog), place: map[C]int{}}
	go r.run()
	return r
}

// Received takes a copy of what a connection has sent: its subscription, or a message to all.
func (r *Room[C]) Received(from C, p []byte) {
	r.events <- event[C]{from, append([]byte{}, p...)}
}

// Left is for a connection that has ended.
func (r *Room[C]) Left(c C) { r.events <- event[C]{from: c} }

// Close ends the room's goroutine; nothing may be received afterwards. A server that ends with
// its process doesn't need it.
func (r *Room[C]) Close() { close(r.events) }

func (r *Room[C]) run() {
	for e := range r.events {
		i, subscribed := r.place[e.from]
		switch {
		case e.message == nil && subscribed:
			r.remove(i)
		case e.message == nil:
		case subscribed:
			for _, c := range r.members {
				r.send(c, e.message)
			}
		default:
			r.place[e.from] = len(r.members)
			r.members = append(r.members, e.from)
			r.send(e.from, e.message)
		}
	}
}

func (r *Room[C]) remove(i int) {
	last := len(r.members) - 1
	delete(r.place, r.members[i])
	if i != last {
		r.members[i] = r.members[last]
		r.place[r.members[i]] = i
	}
	r.members = r.members[:last]
}
