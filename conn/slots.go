package conn

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/sluice-net/sluice/internal/engine"
)

// Slots is a set of names under which users keep their own data with connections. The
// names are asked for with NewSlot before the first server that has the set in its Config
// starts; from then on the set is frozen. Servers may share a set. The zero value is empty
// and ready.
type Slots struct {
	mu     sync.Mutex
	names  map[string]bool
	frozen bool
}

// Freeze ends the time of NewSlot; servers call it when they start, and the first Set does.
func (s *Slots) Freeze() { s.freeze() }

func (s *Slots) add(name string) (index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.frozen:
		panic(fmt.Sprintf("sluice: NewSlot %q after a server with these Slots has started: ask for all slots before", name))
	case s.names[name]:
		panic(fmt.Sprintf("sluice: two slots are named %q", name))
	case s.names == nil:
		s.names = map[string]bool{}
	}
	s.names[name] = true
	return len(s.names) - 1
}

// freeze is Freeze, and tells how many slots there are.
func (s *Slots) freeze() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
	return len(s.names)
}

// Slot is a place for a *T with every connection. Any goroutine may use it at any time: also
// after the connection's end, so that OnSocketReleased finds what was stored.
type Slot[T any] struct {
	set   *Slots
	index int
}

// NewSlot asks for a slot. It panics if the name is taken, or a server with the set has
// started: both are mistakes of the program.
func NewSlot[T any](s *Slots, name string) Slot[T] { return Slot[T]{set: s, index: s.add(name)} }

// Holder is what slots are kept with: a *Stream or a *UserData.
type Holder interface{ holder() *engine.Conn }

func (c *Stream) holder() *engine.Conn   { return (*engine.Conn)(c) }
func (d *UserData) holder() *engine.Conn { return (*engine.Conn)(d) }

// Get returns what was set last, or nil.
func (s Slot[T]) Get(h Holder) *T { return (*T)(h.holder().Slot(s.set, s.index)) }

// Set stores v, which may be nil, for Get from any goroutine. What v points to is the
// user's to protect.
func (s Slot[T]) Set(h Holder, v *T) {
	h.holder().SetSlot(s.set, s.index, s.set.freeze(), unsafe.Pointer(v))
}
