package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
)

// recorder is an engine.Consumer that writes down what it's called for, connection by
// connection, and then does what a test wants.
type recorder struct {
	t      testing.TB
	silent bool // write nothing down
	mu     sync.Mutex
	logs   map[*engine.Conn][]string
	input  map[*engine.Conn][]byte
	byFD   map[int]*engine.Conn
	inside map[*engine.Conn]string // the callback that a connection is in

	created     func(*engine.Conn)
	established func(*engine.Conn)
	read        func(*engine.Conn, *buffers.Buffer)
	outOfBand   func(*engine.Conn, *buffers.Buffer)
	clientClose func(*engine.Conn)
	mayContinue func(error) bool
	readError   func(*engine.Conn, *buffers.Buffer, error)
	writeError  func(*engine.Conn, *buffers.Buffer, error)
	written     func(*engine.Conn, *buffers.Buffer)
	blocked     func(*engine.Conn)
	ready       func(*engine.Conn)
	reset       func(*engine.Conn)
	closed      func(*engine.Conn)
	released    func(*engine.Conn)
	upgraded    func(*engine.Conn)
	connecting  func(*engine.Conn)
	received    func(*engine.Conn, []byte, int)
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{
		t: t, logs: map[*engine.Conn][]string{}, input: map[*engine.Conn][]byte{},
		byFD: map[int]*engine.Conn{}, inside: map[*engine.Conn]string{},
		// By default a connection is held and read from.
		established: func(c *engine.Conn) { c.AddRef() },
	}
}

// named is an owner that callbacks are written down with.
type named string

// enter writes a callback down, and for whom if an owner has a name, and checks that the
// connection is in no other.
func (u *recorder) enter(c *engine.Conn, format string, args ...any) (leave func()) {
	if u.silent {
		return func() {}
	}
	what := fmt.Sprintf(format, args...)
	if name, is := c.Owner().(named); is {
		what += " for " + string(name)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if other := u.inside[c]; other != "" {
		u.t.Errorf("%s inside %s", what, other)
	}
	u.inside[c] = what
	u.logs[c] = append(u.logs[c], what)
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.inside[c] = ""
	}
}

func call(f func(*engine.Conn), c *engine.Conn) {
	if f != nil {
		f(c)
	}
}

func (u *recorder) Created(c *engine.Conn, fd int) {
	u.byFD[fd] = c
	defer u.enter(c, "created")()
	call(u.created, c)
}

func (u *recorder) Established(c *engine.Conn) {
	defer u.enter(c, "established")()
	call(u.established, c)
}

func (u *recorder) Upgraded(c *engine.Conn) {
	defer u.enter(c, "upgraded")()
	call(u.upgraded, c)
}

func (u *recorder) Read(c *engine.Conn, b *buffers.Buffer) {
	if !u.silent {
		defer u.enter(c, "read %d", b.Len())()
		u.input[c] = append(u.input[c], b.Bytes()...)
	}
	if u.read != nil {
		u.read(c, b)
	}
}

func (u *recorder) OutOfBand(c *engine.Conn, b *buffers.Buffer) {
	defer u.enter(c, "oob %s", b.Bytes())()
	if u.outOfBand != nil {
		u.outOfBand(c, b)
	}
}

func (u *recorder) ClientClose(c *engine.Conn) {
	defer u.enter(c, "client-close")()
	call(u.clientClose, c)
}

func direction(d engine.Direction) string {
	if d == engine.Sending {
		return "sending"
	}
	return "receiving"
}

// short is an error's innermost text.
func short(err error) string {
	var e *engine.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Sprint(err)
}

func (u *recorder) MayContinue(c *engine.Conn, b *buffers.Buffer, err error, d engine.Direction) bool {
	defer u.enter(c, "may-continue %s %d: %s", direction(d), b.Len(), short(err))()
	return u.mayContinue != nil && u.mayContinue(err)
}

func (u *recorder) ReadError(c *engine.Conn, b *buffers.Buffer, err error) {
	defer u.enter(c, "read-error %d: %s", b.Len(), short(err))()
	if u.readError != nil {
		u.readError(c, b, err)
	}
}

func (u *recorder) WriteError(c *engine.Conn, b *buffers.Buffer, err error) {
	defer u.enter(c, "write-error %d: %s", b.Len(), short(err))()
	if u.writeError != nil {
		u.writeError(c, b, err)
	}
}

func (u *recorder) Written(c *engine.Conn, b *buffers.Buffer) {
	if !u.silent {
		defer u.enter(c, "written %d", b.Len())()
	}
	if u.written != nil {
		u.written(c, b)
	}
}

func (u *recorder) WriteBlocked(c *engine.Conn) {
	defer u.enter(c, "blocked")()
	call(u.blocked, c)
}

func (u *recorder) WriteReady(c *engine.Conn) {
	defer u.enter(c, "ready")()
	call(u.ready, c)
}

func (u *recorder) Connecting(c *engine.Conn, to engine.Addr) {
	defer u.enter(c, "connecting %v", to)()
	call(u.connecting, c)
}

func (u *recorder) ConnectFailed(c *engine.Conn, at engine.Addr, err error) {
	defer u.enter(c, "connect-failed %v: %s", at, short(err))()
}

func (u *recorder) Reset(c *engine.Conn, err error) {
	defer u.enter(c, "reset: %s", short(err))()
	call(u.reset, c)
}

func (u *recorder) Closed(c *engine.Conn, r engine.Reason, established bool) {
	if !established {
		defer u.enter(c, "failed %v", r)()
		return
	}
	defer u.enter(c, "closed %v", r)()
	call(u.closed, c)
}

func (u *recorder) Released(c *engine.Conn) {
	defer u.enter(c, "released")()
	call(u.released, c)
}

// Received and Canceled implement engine.MemoryConsumer.
func (u *recorder) Received(c *engine.Conn, p []byte, n int) {
	defer u.enter(c, "received %d of %d", n, len(p))()
	if u.received != nil {
		u.received(c, p, n)
	}
}

func (u *recorder) Canceled(c *engine.Conn, p []byte) { defer u.enter(c, "canceled %d", len(p))() }

// log is what c has called the recorder for, after the beginning that all have.
func (u *recorder) log(c *engine.Conn) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	log := u.logs[c]
	if len(log) > 2 && log[0] == "created" && log[1] == "established" {
		return slices.Clone(log[2:])
	}
	if len(log) == 2 && log[1] == "established" {
		return nil
	}
	return slices.Clone(log)
}

// want compares what c has called the recorder for.
func (u *recorder) want(c *engine.Conn, want ...string) {
	u.t.Helper()
	if got := u.log(c); !slices.Equal(got, want) {
		u.t.Errorf("connection %d:\n got: %s\nwant: %s", c.ID(), brief(got), brief(want))
	}
}

// brief lists a log, with repetitions counted.
func brief(log []string) string {
	var parts []string
	for i := 0; i < len(log); {
		n := i + 1
		for n < len(log) && log[n] == log[i] {
			n++
		}
		part := log[i]
		if n-i > 1 {
			part = fmt.Sprintf("%d × %s", n-i, part)
		}
		parts = append(parts, part)
		i = n
	}
	return strings.Join(parts, ", ")
}

// forget begins the log of c anew.
func (u *recorder) forget(c *engine.Conn) { u.logs[c] = []string{"created", "established"} }

// check holds what's true of every connection: the end's callbacks come once and in
// order, and nothing comes after the last.
func (u *recorder) check() {
	u.t.Helper()
	for c, log := range u.logs {
		count := func(word string) (n, last int) {
			for i, entry := range log {
				if strings.HasPrefix(entry, word) {
					n, last = n+1, i
				}
			}
			return n, last
		}
		established, _ := count("established")
		clientClose, _ := count("client-close")
		resets, resetAt := count("reset")
		closed, closedAt := count("closed")
		released, releasedAt := count("released")
		switch {
		case clientClose > 1 || resets > 1 || closed > 1 || released > 1:
			u.t.Errorf("connection %d: more than one of: %s", c.ID(), brief(log))
		case resets == 1 && closed == 1 && resetAt > closedAt:
			u.t.Errorf("connection %d: reset after closed: %s", c.ID(), brief(log))
		case closed != established && c.State() >= engine.Closed:
			u.t.Errorf("connection %d: established %d times, closed %d times: %s", c.ID(), established, closed, brief(log))
		case released == 1 && releasedAt != len(log)-1:
			u.t.Errorf("connection %d: something follows released: %s", c.ID(), brief(log))
		case closed == 1 && released == 0 && closedAt != len(log)-1:
			u.t.Errorf("connection %d: something follows closed: %s", c.ID(), brief(log))
		}
		if s := c.State(); s != engine.Closed && s != engine.Released {
			u.t.Errorf("connection %d is %v in the end: %s", c.ID(), s, brief(log))
		}
	}
}

var _ engine.Consumer = (*recorder)(nil)
