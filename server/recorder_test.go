package server_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// hooks are what a recorder does in a callback, beside noting it.
type hooks struct {
	created      func(fd int)
	established  func(c *conn.Stream)
	read         func(c *conn.Stream, b *buffers.Buffer)
	oob          func(c *conn.Stream, b *buffers.Buffer)
	clientClose  func(c *conn.Stream)
	readMayLive  func(c *conn.Stream, b *buffers.Buffer, err error) bool
	readError    func(c *conn.Stream, b *buffers.Buffer, err error)
	writeMayLive func(c *conn.Stream, b *buffers.Buffer, err error) bool
	writeError   func(c *conn.Stream, b *buffers.Buffer, err error)
	written      func(c *conn.Stream, b *buffers.Buffer)
	blocked      func(c *conn.Stream)
	ready        func(c *conn.Stream)
	reset        func(c *conn.Stream, err error)
	closure      func(c *conn.Stream, r conn.Reason)
	closed       func(c *conn.Stream)
	released     func(d *conn.UserData)
	server       func(name string) // server-level callbacks, on the control goroutine
}

// The names of the callbacks of a connection, as they're noted.
const (
	cbEstablished  = "OnConnectionEstablished"
	cbRead         = "OnReadCompleted"
	cbOOB          = "OnReadOOBCompleted"
	cbClientClose  = "OnConnectionClientClose"
	cbReadMayLive  = "OnReadCompletionErrorMayNotBeFatalConnectionError"
	cbReadError    = "OnReadCompletionError"
	cbWriteMayLive = "OnWriteCompletionErrorMayNotBeFatalConnectionError"
	cbWriteError   = "OnWriteCompletionError"
	cbWritten      = "OnWriteCompleted"
	cbBlocked      = "OnWriteBlocked"
	cbReady        = "OnWriteReady"
	cbReset        = "OnConnectionReset"
	cbClosure      = "OnConnectionClosure"
	cbClosed       = "OnConnectionClosed"
	cbReleased     = "OnSocketReleased"
)

// recorder is a Callback that notes every call, connection by connection, and checks
// that they come one at a time and in the documented order.
type recorder struct {
	server.BaseCallback
	do    hooks
	keep  bool               // journals keep what was read
	alloc *buffers.Allocator // the server's, set by start

	mu       sync.Mutex
	changed  chan struct{} // closed at the next note
	waiting  int
	journals map[uint64]*journal
	accepted []*journal
	fds      int      // OnSocketCreated calls
	events   []string // server-level callbacks
	wrong    []string
}

// tracker is a recorder that also hears of completed writes.
type tracker struct{ *recorder }

// journal is what was called for one connection.
type journal struct {
	id      uint64
	stream  *conn.Stream
	steps   []string // names in order, repetitions left out
	count   map[string]int
	data    []byte
	oob     []byte
	reason  conn.Reason
	reset   error
	lost    error // of the first OnReadCompletionError or OnWriteCompletionError
	inside  string
	up      bool // OnConnectionEstablished has returned
	blocked bool
}

func newRecorder(do hooks) *recorder {
	return &recorder{do: do, changed: make(chan struct{}), journals: map[uint64]*journal{}}
}

func (r *recorder) fail(j *journal, format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf("connection %d: %s (so far: %s)", j.id, fmt.Sprintf(format, args...), strings.Join(j.steps, " ")))
}

func (r *recorder) wakeLocked() {
	if r.waiting > 0 {
		close(r.changed)
		r.changed = make(chan struct{})
		r.waiting = 0
	}
}

// enter notes a callback's begin and returns the function that notes its end.
func (r *recorder) enter(id uint64, c *conn.Stream, name string, more func(*journal)) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.journals[id]
	if j == nil {
		j = &journal{id: id, count: map[string]int{}}
		r.journals[id] = j
		r.accepted = append(r.accepted, j)
	}
	if j.stream == nil {
		j.stream = c // for good: it's read without the lock
	}
	if j.inside != "" {
		r.fail(j, "%s came inside %s", name, j.inside)
	}
	r.checkOrderLocked(j, name)
	j.inside = name
	if n := len(j.steps); n == 0 || j.steps[n-1] != name {
		j.steps = append(j.steps, name)
	}
	j.count[name]++
	if more != nil {
		more(j)
	}
	r.wakeLocked()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		j.inside = ""
		j.up = j.up || name == cbEstablished
		r.wakeLocked()
	}
}

// rank orders the callbacks of a connection; 0 stands for those that may come at any
// time between OnConnectionEstablished and the end.
var rank = map[string]int{
	cbEstablished: 1, cbWriteMayLive: 2, cbWriteError: 2, cbReset: 3, cbClosure: 4, cbClosed: 5, cbReleased: 6,
}

func (r *recorder) checkOrderLocked(j *journal, name string) {
	now := rank[name]
	last := 0
	for _, s := range j.steps {
		last = max(last, rank[s])
	}
	switch {
	case last == 6:
		r.fail(j, "%s after the last callback", name)
	case last == 0 && name != cbEstablished && name != cbReleased:
		r.fail(j, "%s before %s", name, cbEstablished)
	case now != 0 && now < last, now == 0 && last > 2, now == last && now != 2:
		r.fail(j, "%s out of order", name)
	case name == cbWritten && last >= 2:
		r.fail(j, "%s after a write has failed", name)
	case name == cbClientClose && j.count[name] > 0:
		r.fail(j, "%s again", name)
	case name == cbBlocked && j.blocked, name == cbReady && !j.blocked:
		r.fail(j, "%s out of turn", name)
	}
	switch name {
	case cbBlocked:
		j.blocked = true
	case cbReady:
		j.blocked = false
	}
}

// await waits until cond, which is called with the lock held, is true.
func (r *recorder) await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(failSafe)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		if cond() {
			r.mu.Unlock()
			return
		}
		r.waiting++
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("waited too long for %s\n%s", what, r.dump())
		}
	}
}

// next waits until connection number i, in the order of their first callbacks, has been
// established: the hook has returned.
func (r *recorder) next(t testing.TB, i int) *journal {
	t.Helper()
	j := r.arrived(t, i)
	r.await(t, fmt.Sprintf("connection number %d being established", i), func() bool { return j.up })
	return j
}

// arrived is next, but the hook may not have returned.
func (r *recorder) arrived(t testing.TB, i int) *journal {
	t.Helper()
	var j *journal
	r.await(t, fmt.Sprintf("connection number %d", i), func() bool {
		if len(r.accepted) > i && r.accepted[i].stream != nil {
			j = r.accepted[i]
		}
		return j != nil
	})
	return j
}

// seen waits until connection i has had a callback n times.
func (r *recorder) seen(t testing.TB, j *journal, name string, n int) {
	t.Helper()
	r.await(t, fmt.Sprintf("%s × %d on connection %d", name, n, j.id), func() bool { return j.count[name] >= n })
}

// ended waits for the end of a connection, but for OnSocketReleased, which waits for
// its references. It returns the journal as it's then.
func (r *recorder) ended(t testing.TB, j *journal) journal {
	t.Helper()
	r.seen(t, j, cbClosed, 1)
	return r.copy(j)
}

// released waits for the very end, and returns the journal as it's then.
func (r *recorder) released(t testing.TB, j *journal) journal {
	t.Helper()
	r.seen(t, j, cbReleased, 1)
	return r.copy(j)
}

func (r *recorder) copy(j *journal) journal {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *j
	c.count = maps.Clone(j.count)
	c.steps = slices.Clone(j.steps)
	return c
}

// count is how often a connection has had a callback.
func (r *recorder) count(j *journal, name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return j.count[name]
}

// eventually waits for a server-level callback.
func (r *recorder) heard(t testing.TB, event string) {
	t.Helper()
	r.await(t, event, func() bool { return slices.Contains(r.events, event) })
}

func (r *recorder) dump() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for i, j := range r.accepted {
		if i == 20 {
			fmt.Fprintf(&b, "… %d in all\n", len(r.accepted))
			break
		}
		fmt.Fprintf(&b, "connection %d: %s %v", j.id, strings.Join(j.steps, " "), j.count)
		if j.stream != nil {
			cause, err := j.stream.Cause()
			fmt.Fprintf(&b, "; %v, %v, %v, pending %d", j.stream.State(), cause, err, j.stream.Pending())
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "server: %v\n", r.events)
	return b.String()
}

// check fails t for what went wrong, and for connections without a proper end.
func (r *recorder) check(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wrong {
		t.Error(w)
	}
	for _, j := range r.accepted {
		n := j.count
		if n[cbReleased] != 1 || n[cbClosure] != n[cbEstablished] || n[cbClosed] != n[cbEstablished] {
			t.Errorf("connection %d ended with %v", j.id, n)
		}
	}
}

func (r *recorder) note(c *conn.Stream, name string) func() { return r.enter(c.ID(), c, name, nil) }

func (r *recorder) OnSocketCreated(fd int) {
	r.mu.Lock()
	r.fds++
	r.wakeLocked()
	r.mu.Unlock()
	if r.do.created != nil {
		r.do.created(fd)
	}
}

func (r *recorder) OnConnectionEstablished(c *conn.Stream, peer conn.Addr) {
	defer r.enter(c.ID(), c, cbEstablished, func(j *journal) {
		if peer != c.RemoteAddr() {
			r.fail(j, "established with %v, but RemoteAddr is %v", peer, c.RemoteAddr())
		}
	})()
	if r.do.established != nil {
		r.do.established(c)
	}
}

func (r *recorder) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	defer r.enter(c.ID(), c, cbRead, func(j *journal) {
		if r.keep {
			j.data = append(j.data, b.Bytes()...)
		}
	})()
	if r.do.read != nil {
		r.do.read(c, b)
	}
}

func (r *recorder) OnReadOOBCompleted(c *conn.Stream, b *buffers.Buffer) {
	defer r.enter(c.ID(), c, cbOOB, func(j *journal) { j.oob = append(j.oob, b.Bytes()...) })()
	if r.do.oob != nil {
		r.do.oob(c, b)
	}
}

func (r *recorder) OnConnectionClientClose(c *conn.Stream) {
	defer r.note(c, cbClientClose)()
	if r.do.clientClose != nil {
		r.do.clientClose(c)
	}
}

func (r *recorder) OnReadCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, b *buffers.Buffer, err error) bool {
	defer r.note(c, cbReadMayLive)()
	return r.do.readMayLive != nil && r.do.readMayLive(c, b, err)
}

func (r *recorder) OnReadCompletionError(c *conn.Stream, b *buffers.Buffer, err error) {
	defer r.enter(c.ID(), c, cbReadError, func(j *journal) { j.noteError(b, err) })()
	if r.do.readError != nil {
		r.do.readError(c, b, err)
	}
}

func (r *recorder) OnWriteCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, b *buffers.Buffer, err error) bool {
	defer r.note(c, cbWriteMayLive)()
	return r.do.writeMayLive != nil && r.do.writeMayLive(c, b, err)
}

func (r *recorder) OnWriteCompletionError(c *conn.Stream, b *buffers.Buffer, err error) {
	defer r.enter(c.ID(), c, cbWriteError, func(j *journal) { j.noteError(b, err) })()
	if r.do.writeError != nil {
		r.do.writeError(c, b, err)
	}
}

func (j *journal) noteError(b *buffers.Buffer, err error) {
	if j.lost == nil {
		j.lost = err
	}
	if b == nil || err == nil {
		j.lost = fmt.Errorf("a failure with buffer %v and error %w", b, err)
	}
}

func (r *recorder) OnWriteBlocked(c *conn.Stream) {
	defer r.note(c, cbBlocked)()
	if r.do.blocked != nil {
		r.do.blocked(c)
	}
}

func (r *recorder) OnWriteReady(c *conn.Stream) {
	defer r.note(c, cbReady)()
	if r.do.ready != nil {
		r.do.ready(c)
	}
}

func (r *recorder) OnConnectionReset(c *conn.Stream, err error) {
	defer r.enter(c.ID(), c, cbReset, func(j *journal) { j.reset = err })()
	if r.do.reset != nil {
		r.do.reset(c, err)
	}
}

func (r *recorder) OnConnectionClosure(c *conn.Stream, reason conn.Reason) {
	defer r.enter(c.ID(), c, cbClosure, func(j *journal) { j.reason = reason })()
	if r.do.closure != nil {
		r.do.closure(c, reason)
	}
}

func (r *recorder) OnConnectionClosed(c *conn.Stream) {
	defer r.note(c, cbClosed)()
	if r.do.closed != nil {
		r.do.closed(c)
	}
}

func (r *recorder) OnSocketReleased(d *conn.UserData) {
	defer r.enter(d.ID(), nil, cbReleased, nil)()
	if r.do.released != nil {
		r.do.released(d)
	}
}

func (t tracker) OnWriteCompleted(c *conn.Stream, b *buffers.Buffer) {
	defer t.note(c, cbWritten)()
	if t.do.written != nil {
		t.do.written(c, b)
	}
}

func (r *recorder) atServer(event string) {
	r.mu.Lock()
	r.events = append(r.events, event)
	r.wakeLocked()
	r.mu.Unlock()
	if r.do.server != nil {
		name, _, _ := strings.Cut(event, " ")
		r.do.server(name)
	}
}

func (r *recorder) OnStartAcceptingConnections() { r.atServer("OnStartAcceptingConnections") }
func (r *recorder) OnStopAcceptingConnections()  { r.atServer("OnStopAcceptingConnections") }
func (r *recorder) OnShutdownInitiated()         { r.atServer("OnShutdownInitiated") }
func (r *recorder) OnShutdownComplete()          { r.atServer("OnShutdownComplete") }
func (r *recorder) OnAcceptError(listener string, err error) {
	r.atServer(fmt.Sprintf("OnAcceptError %s: %v", listener, err))
}

func (r *recorder) OnMaximumConnections(listener string) {
	r.atServer(fmt.Sprintf("OnMaximumConnections %q", listener))
}

func (r *recorder) OnAllConnectionsAborted(n int) {
	r.atServer(fmt.Sprintf("OnAllConnectionsAborted %d", n))
}

func (r *recorder) OnError(message string, err error) {
	r.atServer(fmt.Sprintf("OnError %s: %v", message, err))
}
