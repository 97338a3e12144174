package sim_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sim"
)

// life is what the program knows of one of its connections, and what must be true of it.
type life struct {
	p    *program
	w    *sim.World
	c    *conn.Stream
	name string
	peer *client

	// The order of callbacks.
	inside                                  string
	eof, reset, closure, closed, isReleased bool
	reason                                  conn.Reason

	// Input.
	asked, answered int
	shut            bool // Shutdown was called: reads aren't answered any more
	at              int  // bytes of the peer's stream that came
	reader          *framing.Reader

	// Output.
	accepted, completed int // operations, where completions are told of
	failed              int // OnWriteCompletionError
	records             [maxWriters]int
	stash               []*buffers.Buffer // echoes that were refused
	blocked             bool

	// What keeps it open.
	refs, workers, posts int // posts that were accepted and haven't run
	timer                *conn.Timer
	gates                []*life // whose output its reads may wait for, or once did
}

// maxWriters is how many write to one connection: its callbacks (0) and its workers.
const maxWriters = 4

var errInjected = errors.New("injected")

// enter begins a callback, and leave ends it.
func (l *life) enter(callback string) *life {
	l.w.Note(callback, "%s", l.name)
	switch {
	case l.inside != "":
		l.w.Failf("%s of %s inside its %s", callback, l.name, l.inside)
	case l.isReleased:
		l.w.Failf("%s of %s after OnSocketReleased", callback, l.name)
	case l.closed && callback != "OnSocketReleased":
		l.w.Failf("%s of %s after OnConnectionClosed", callback, l.name)
	case l.closure && callback != "OnConnectionClosed" && callback != "OnSocketReleased":
		l.w.Failf("%s of %s after OnConnectionClosure", callback, l.name)
	case l.reset && callback != "OnConnectionClosure" && callback != "OnConnectionClosed" && callback != "OnSocketReleased":
		l.w.Failf("%s of %s after OnConnectionReset", callback, l.name)
	}
	l.inside = callback
	reached[callback]++
	l.w.Yield()
	return l
}

func (l *life) leave() {
	if !l.closure && l.w.Chance(l.p.plan.pulses) {
		l.act(0)
	}
	l.w.Yield()
	l.inside = ""
	if l.p.plan.panics && l.w.Chance(10) {
		l.w.Note("panic", "%s", l.name)
		reached["panic"]++
		panic(errInjected)
	}
}

func (p *program) life(c *conn.Stream) *life {
	l := p.lives[c.ID()]
	if l == nil {
		p.w.Failf("a callback of connection %d, which wasn't established", c.ID())
		l = &life{p: p, w: p.w, c: c, peer: p.all[0]}
		p.lives[c.ID()] = l
	}
	if got := p.slot.Get(c); got != l {
		p.w.Failf("%s: the slot has %p, not %p", l.name, got, l)
	}
	return l
}

// OnSocketCreated implements server.Callback, as all that follows.
func (p *program) OnSocketCreated(int) { p.created++ }

func (p *program) OnShutdownComplete() {
	if p.complete {
		p.w.Failf("a second OnShutdownComplete")
	}
	p.complete = true
}

func (p *program) OnConnectionEstablished(c *conn.Stream, peer conn.Addr) {
	if p.lives[c.ID()] != nil {
		p.w.Failf("connection %d is established twice", c.ID())
	}
	d := p.outgoing[c.ID()]
	cl := p.from(peer)
	if d != nil {
		cl = p.peers[peerOf(c)]
	}
	l := &life{p: p, w: p.w, c: c, name: cl.name, peer: cl}
	switch {
	case d == nil:
	case d.sync:
		d.life = l
		l.refs++
	default:
		p.told++
	}
	cl.life = l
	p.lives[c.ID()] = l
	p.slot.Set(c, l)
	if p.plan.message > 0 {
		fixed, err := framing.NewFixed(framing.FixedConfig{Size: p.plan.message})
		if err != nil {
			panic(err)
		}
		l.reader = framing.NewReader(fixed, p.alloc)
	}
	if d == nil {
		p.checkLimits(l)
	}
	defer l.enter("OnConnectionEstablished").leave()
	for i := range p.w.IntN(maxWriters) {
		l.work(byte(i + 1))
	}
	l.ask()
}

func (p *program) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	l := p.life(c)
	defer l.enter("OnReadCompleted").leave()
	l.answer()
	l.receive(b)
	if len(l.stash) == 0 {
		l.ask()
	}
}

func (p *program) OnReadOOBCompleted(c *conn.Stream, b *buffers.Buffer) {
	l := p.life(c)
	defer l.enter("OnReadOOBCompleted").leave()
	if got := b.Bytes(); len(got) != 1 || got[0] < oob {
		p.w.Failf("%s: % x out of band", l.name, got)
	}
}

func (p *program) OnConnectionClientClose(c *conn.Stream) {
	l := p.life(c)
	defer l.enter("OnConnectionClientClose").leave()
	if l.eof {
		p.w.Failf("%s: a second OnConnectionClientClose", l.name)
	}
	l.eof = true
	if l.at != l.peer.sent && !l.peer.broken {
		p.w.Failf("%s: told of its end after %d bytes of %d", l.name, l.at, l.peer.sent)
	}
}

func (p *program) OnReadCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, b *buffers.Buffer, err error) bool {
	l := p.life(c)
	defer l.enter("OnReadCompletionErrorMayNot…").leave()
	live := p.w.IntN(2) == 0
	if live && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded)) {
		l.answer()
		l.receive(b)
		if len(l.stash) == 0 {
			l.ask()
		}
	}
	return live
}

func (p *program) OnReadCompletionError(c *conn.Stream, b *buffers.Buffer, _ error) {
	l := p.life(c)
	defer l.enter("OnReadCompletionError").leave()
	l.answer()
	l.receive(b)
}

func (p *program) OnWriteCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, _ *buffers.Buffer, _ error) bool {
	defer p.life(c).enter("OnWriteCompletionErrorMayNot…").leave()
	return p.w.IntN(2) == 0
}

func (p *program) OnWriteCompletionError(c *conn.Stream, _ *buffers.Buffer, _ error) {
	l := p.life(c)
	defer l.enter("OnWriteCompletionError").leave()
	l.failed++
}

// tracking is a program that hears of completed writes.
type tracking struct{ *program }

func (t tracking) OnWriteCompleted(c *conn.Stream, _ *buffers.Buffer) {
	l := t.life(c)
	defer l.enter("OnWriteCompleted").leave()
	l.completed++
}

func (p *program) OnWriteBlocked(c *conn.Stream) {
	l := p.life(c)
	defer l.enter("OnWriteBlocked").leave()
	if l.blocked {
		p.w.Failf("%s: a second OnWriteBlocked", l.name)
	}
	l.blocked = true
}

func (p *program) OnWriteReady(c *conn.Stream) {
	l := p.life(c)
	defer l.enter("OnWriteReady").leave()
	if !l.blocked {
		p.w.Failf("%s: OnWriteReady without OnWriteBlocked", l.name)
	}
	l.blocked = false
	if len(l.stash) > 0 && l.unstash() {
		l.ask()
	}
}

func (p *program) OnConnectionReset(c *conn.Stream, err error) {
	l := p.life(c)
	defer l.enter("OnConnectionReset").leave()
	if l.reset {
		p.w.Failf("%s: a second OnConnectionReset", l.name)
	}
	if err == nil {
		p.w.Failf("%s: reset without a cause", l.name)
	}
	l.reset = true
}

func (p *program) OnConnectionClosure(c *conn.Stream, r conn.Reason) {
	l := p.life(c)
	defer l.enter("OnConnectionClosure").leave()
	if l.closure {
		p.w.Failf("%s: a second OnConnectionClosure", l.name)
	}
	l.closure, l.reason = true, r
	reached[r.String()]++
	p.w.Note("closed", "%s for %v", l.name, r)
	if fromPeer := r == conn.ReasonReset || r == conn.ReasonLost; l.reset != fromPeer {
		p.w.Failf("%s: closed for %v, and OnConnectionReset %t", l.name, r, l.reset)
	}
	for _, b := range l.stash {
		b.Release()
	}
	l.stash = nil
	if l.reader != nil {
		_ = l.reader.Close()
	}
}

func (p *program) OnConnectionClosed(c *conn.Stream) {
	l := p.life(c)
	defer l.enter("OnConnectionClosed").leave()
	if l.closed || !l.closure {
		p.w.Failf("%s: OnConnectionClosed when closed %t, closure %t", l.name, l.closed, l.closure)
	}
	l.closed = true
}

func (p *program) OnSocketReleased(d *conn.UserData) {
	if p.outgoing[d.ID()] == nil {
		p.released++
	}
	l := p.lives[d.ID()]
	if l == nil {
		return // it was never established
	}
	defer l.enter("OnSocketReleased").leave()
	if got := p.slot.Get(d); got != l {
		p.w.Failf("%s: in the end the slot has %p, not %p", l.name, got, l)
	}
	if l.isReleased || !l.closed || l.refs > 0 {
		p.w.Failf("%s: released; before %t, closed %t, %d references", l.name, l.isReleased, l.closed, l.refs)
	}
	l.isReleased = true
}

// ask asks for the next piece of input, in one of several ways.
func (l *life) ask() {
	switch l.w.IntN(40) {
	case 0: // that's enough
	case 1, 2, 3, 4, 5, 6, 7, 8:
		l.read(l.w.IntN(60))
	case 9, 10, 11, 12:
		l.read(-1)
		l.read(1 + l.w.IntN(300))
		l.read(-1)
	default:
		l.read(-1)
	}
}

// read asks for n bytes, or with −1 for whatever comes.
func (l *life) read(n int) {
	if l.asked-l.answered > 10 {
		return
	}
	l.asked++ // before it can be answered
	var err error
	if n < 0 {
		err = l.c.Read()
	} else {
		err = l.c.ReadFull(n)
	}
	if err != nil {
		l.asked--
	}
	l.w.Note("Read", "%s: %d bytes: %v", l.name, n, err)
}

func (l *life) answer() {
	if l.answered++; l.answered > l.asked {
		l.w.Failf("%s: %d reads were answered, of %d", l.name, l.answered, l.asked)
	}
}

// receive takes what came, and sends it back: at once, or message by message.
func (l *life) receive(b *buffers.Buffer) {
	l.check(b)
	if l.reader == nil {
		l.echo(b)
		return
	}
	err := l.reader.Feed(b, func(msg *buffers.Buffer) error {
		if msg.Len() != l.p.plan.message {
			l.w.Failf("%s: a message of %d bytes", l.name, msg.Len())
		}
		l.echo(msg)
		return nil
	})
	if left := l.reader.Need(); err != nil || left < 1 || left > l.p.plan.message {
		l.w.Failf("%s: %d bytes are left of a message, and the error is %v", l.name, left, err)
	}
}

// check holds that what came is the peer's stream, from where it was. A byte out of
// band that came too late, or wasn't fetched before the next, may be anywhere in it.
func (l *life) check(b *buffers.Buffer) {
	for _, got := range b.Bytes() {
		if got >= oob {
			continue
		}
		if want := l.peer.pattern(l.at); got != want {
			l.w.Failf("%s: byte %d of its stream is %d, not %d", l.name, l.at, got, want)
			return
		}
		l.at++
	}
}

// echo sends back what came, as a record of writer 0. If there's no room it keeps it,
// and asks for no more.
func (l *life) echo(b *buffers.Buffer) {
	var keep []byte
	for _, x := range b.Bytes() {
		if x < oob {
			keep = append(keep, x)
		}
	}
	for len(keep) > 0 {
		part := keep[:min(len(keep), 900)]
		keep = keep[len(part):]
		var copied *buffers.Buffer
		if len(part) == b.Len() {
			copied = b.AddRef()
		} else {
			copied = l.p.alloc.Copy(part)
		}
		l.stash = append(l.stash, copied)
	}
	l.unstash()
}

// unstash sends what waits, and returns whether nothing waits any more.
func (l *life) unstash() bool {
	for len(l.stash) > 0 {
		b := l.stash[0]
		err := l.write(0, b.Bytes(), b)
		if errors.Is(err, conn.ErrOutputFull) && l.c.State() != conn.Draining {
			return false
		}
		b.Release()
		l.stash = l.stash[1:]
	}
	return true
}

// write writes a record, with one call, in one of several ways. b, if it isn't nil, is
// payload in a buffer.
func (l *life) write(writer byte, payload []byte, b *buffers.Buffer) (err error) {
	head := header(writer, l.records[writer], len(payload))
	n, call := 1, "Write"
	l.records[writer]++ // before it can arrive
	l.accepted++
	switch way := l.w.IntN(3); {
	case way == 0:
		call = "Send"
		err = l.c.Send(append(head, payload...))
	case way == 1 || b == nil:
		all := l.p.alloc.Copy(append(head, payload...))
		err = l.c.Write(all)
		all.Release()
	default:
		n, call = 2, "Writev"
		l.accepted++
		h := l.p.alloc.Copy(head)
		err = l.c.Writev(h, b)
		h.Release()
	}
	if err != nil {
		l.accepted -= n
		l.records[writer]--
	}
	l.w.Note(call, "%s: %d bytes: %v", l.name, len(head)+len(payload), err)
	return err
}

// work starts a goroutine that uses the connection.
func (l *life) work(writer byte) {
	l.c.AddRef()
	l.refs++
	l.workers++
	l.w.Spawn(fmt.Sprintf("%s.%d", l.name, writer), func() {
		for range l.w.IntN(15) {
			l.act(writer)
			l.w.Pause()
		}
		l.refs--
		l.w.Yield()
		l.c.Release()
		l.w.Note("Release", "%s: %d of the program's references are left", l.name, l.refs)
		l.workers--
	})
}

// act does one thing with the connection, as writer: 0 is a callback's.
func (l *life) act(writer byte) {
	w, c := l.w, l.c
	what := w.IntN(40)
	switch {
	case what < 20:
		n := w.IntN(50)
		if w.IntN(8) == 0 {
			n = w.IntN(min(4000, 10*l.peer.window))
		}
		if writer > 0 {
			_ = l.write(writer, payload(writer, l.records[writer], n), nil)
		}
	case what == 20:
		l.shut = true
		w.Note("Shutdown", "%s: %v", l.name, c.Shutdown())
	case what == 21:
		l.shut = true
		w.Note("Abort", "%s", l.name)
		c.Abort(errInjected)
	case what == 22:
		w.Note("ShutdownSend", "%s: %v", l.name, c.ShutdownSend())
	case what < 26:
		l.read(w.IntN(3) - 1)
	case what < 28:
		w.Note("SendOOB", "%s: %v", l.name, c.SendOOB(oob+1))
	case what < 31:
		l.posts++
		if c.Post(func(*conn.Stream) {
			defer l.enter("posted").leave()
			l.posts--
		}) != nil {
			l.posts--
		}
		w.Note("Post", "%s: %d are waiting", l.name, l.posts)
	case what == 31:
		f := conn.Flow{High: 1 + w.IntN(3000), Low: 1 + w.IntN(100)}
		c.SetFlow(f)
		w.Note("SetFlow", "%s: %+v", l.name, f)
	case what == 32:
		c.SetTimeouts(conn.Timeouts{Linger: l.p.plan.timeouts.Linger})
		w.Note("SetTimeouts", "%s", l.name)
	case what == 33:
		others := l.p.inOrder()
		o := others[w.IntN(len(others))]
		l.gates = append(l.gates, o)
		w.Note("SetReadGate", "%s on %s", l.name, o.name)
		c.SetReadGate(o.c)
	case what == 34:
		c.SetReadGate(c)
		w.Note("SetReadGate", "%s on itself", l.name)
	case what == 35:
		_, _ = c.AtMark()
	case what == 36:
		c.AddRef()
		w.Yield()
		c.Release()
		w.Note("AddRef", "%s, and Release", l.name)
	case what == 37:
		for o := range l.p.srv.Connections() {
			_ = o.Pending()
		}
	case what == 38 && w.IntN(10) == 0:
		for _, o := range l.p.lives {
			o.shut = true
		}
		l.p.srv.AbortAllConnections()
	case what == 38:
		l.p.dial()
	case what == 39 && w.IntN(2) == 0:
		l.setTimer()
	case what == 39 && l.timer != nil:
		w.Note("Stop", "%s: %t", l.name, l.timer.Stop())
	default:
		_, _ = c.Cause()
		_ = c.LocalAddr()
	}
}

// describeAll notes what the engine says of the connections.
func (p *program) describeAll() {
	for _, l := range p.inOrder() {
		p.w.Note("engine", "%s: connection %d: %s; %+v", l.name, l.c.ID(), (*engine.Conn)(l.c).Describe(), l.peer.Level())
	}
}

// setTimer sets a timer, which must not go off early, after the end, or twice.
func (l *life) setTimer() {
	after := time.Duration(l.w.IntN(3000)) * time.Millisecond
	due, rang := l.w.Now()+after, false
	l.timer = l.c.AfterFunc(after, func(*conn.Stream) {
		defer l.enter("timer").leave()
		if l.w.Now() < due || rang {
			l.w.Failf("%s: a timer for %v goes off at %v, before %t", l.name, due, l.w.Now(), rang)
		}
		rang = true
	})
	l.w.Note("AfterFunc", "%s: %v", l.name, after)
}

// outstanding reads.
func (l *life) outstanding() int {
	if l.eof {
		return 0
	}
	return l.asked - l.answered
}

// checkProgress is asked when nothing more happens unless time passes.
func (l *life) checkProgress(when string) {
	fail := func(format string, args ...any) {
		if !l.w.Failed() {
			l.p.describeAll()
		}
		l.w.Failf("%s: %s: %s", when, l.name, fmt.Sprintf(format, args...))
	}
	if l.isReleased {
		return
	}
	state, pending, level := l.c.State(), l.c.Pending(), l.peer.Level()
	reason, _ := l.c.Cause()
	memory := l.w.Faults.Memory > 0 // there may be no edge then
	switch state {
	case conn.Closed:
		if l.refs == 0 {
			fail("closed, held by nobody, and not released")
		}
		return
	case conn.Draining:
		if level.End && level.Unread == 0 && pending == 0 && level.Room >= level.Edge && !memory {
			fail("both sides have ended, and it isn't closed")
		}
	case conn.Idle, conn.Connecting, conn.Released:
		fail("in a state that it can't be in")
	case conn.Open, conn.ReadClosed, conn.WriteClosed:
		gated := pending > 0
		for _, o := range l.gates {
			gated = gated || o.c.Pending() > 0
		}
		switch {
		case reason != conn.ReasonNone:
			fail("its end was decided, for %v", reason)
		case l.outstanding() > 0 && level.Unread > 0 && !gated:
			fail("what has arrived isn't read")
		case l.outstanding() > 0 && level.End && !gated:
			fail("the peer's end isn't told of")
		case level.End && level.Unread == 0 && !l.eof && l.outstanding() == 0:
			fail("the peer's end isn't told of")
		case len(l.stash) > 0 && pending == 0 && !memory: // an out-of-band byte may be waiting for some
			fail("a write was refused, and nobody has said that there's room")
		case l.unwanted() && pending == 0 && level.Room >= level.Edge && !memory: // an out-of-band byte may be waiting
			fail("nobody wants it, and it doesn't end")
		}
	}
	if pending > 0 && level.Room >= level.Edge && level.Room > 0 && !memory {
		fail("there's room for what's pending")
	}
}

// unwanted: nothing of the program's keeps the connection open.
func (l *life) unwanted() bool {
	if l.refs > 0 || l.outstanding() > 0 || l.posts > 0 || len(l.stash) > 0 {
		return false
	}
	for _, o := range l.p.lives {
		if slices.Contains(o.gates, l) {
			return false
		}
	}
	return true
}

// checkEnd is asked when all is over.
func (l *life) checkEnd() {
	fail := func(format string, args ...any) {
		if !l.w.Failed() {
			l.p.describeAll()
		}
		l.w.Failf("%s, which ended for %v: %s", l.name, l.reason, fmt.Sprintf(format, args...))
	}
	if !l.isReleased {
		fail("never released")
		return
	}
	fromPeer := l.reason == conn.ReasonReset || l.reason == conn.ReasonLost
	timed := l.p.plan.timeouts.Idle > 0 || l.p.plan.timeouts.Read > 0
	cancelled := l.shut || timed || l.p.stopping
	if fromPeer && !cancelled && l.outstanding() > 0 {
		fail("%d reads were asked for, %d answered", l.asked, l.answered)
	}
	if l.posts > 0 {
		fail("%d posts were accepted and haven't run", l.posts)
	}
	if l.p.plan.track && l.completed+l.failed != l.accepted {
		fail("%d writes were accepted, %d completed, %d failed", l.accepted, l.completed, l.failed)
	}
	clean := l.reason <= conn.ReasonDrain
	switch {
	case fromPeer && !l.peer.guilty:
		fail("the peer has done nothing that it shouldn't")
	case l.reason == conn.ReasonWriteTimeout && l.peer.reads != readsNothing && 2*l.peer.pause < l.p.plan.timeouts.Write && l.w.Faults.Memory == 0 && l.w.Faults.Late == 0:
		fail("the peer has read everything in time")
	case clean && l.peer.reset && !l.peer.guilty:
		fail("the peer was told of a reset")
	}
	if clean && l.failed > 0 {
		fail("%d writes failed", l.failed)
	}
	if clean && l.peer.heardAll() {
		for i, n := range l.records {
			if got := l.peer.records[i]; got != n {
				fail("%d writes of writer %d were accepted, and %d have arrived", n, i, got)
			}
		}
	}
}
