package reactor

// Events says what a descriptor may be ready for. They're hints, and the same bits
// on every system.
type Events uint32

// The bits. Everything but Out concerns the receiving side.
const (
	In    Events = 1 << iota // bytes, connections or an end to read
	Out                      // room to write
	Pri                      // out-of-band data (epoll only)
	RdHup                    // the peer won't send any more; bytes may still be unread
	Hup                      // both directions are closed; bytes may still be unread
	Err                      // SO_ERROR may be set
)

// Poller is the seam to the kernel's readiness interface.
type Poller interface {
	// Add registers a stream's descriptor, edge-triggered, for everything.
	Add(fd int) error
	// AddListener registers a listening descriptor, edge-triggered.
	AddListener(fd int) error
	// Delete ends the registration, and must precede close: a duplicate of the
	// descriptor elsewhere would keep it alive.
	Delete(fd int) error
	// Wait reports events to dispatch until it returns true. A wake-up is
	// reported as descriptor WakeFD.
	Wait(dispatch func(fd int, ev Events) (stop bool)) error
	// Wake makes Wait report WakeFD after the events that are ready now. Any
	// goroutine may call it, but not after Close.
	Wake() error
	Close() error
}

// WakeFD stands for the wake-up in Poller.Wait.
const WakeFD = -1
