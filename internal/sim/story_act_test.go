package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// act is an action: NAME stands for a connection, BYTES for data such as "x" * 300.
type act struct {
	form *regexp.Regexp
	do   func(p *teller, arg []string) error
}

// newActs has all actions.
func newActs() (all []act) {
	words := strings.NewReplacer("NAME", `(\w+)`, "BYTES", "("+quoted.String()+")", "WORD", `(\w+)`, "SETTINGS", "(.*)")
	on := func(form string, do func(p *teller, arg []string) error) {
		all = append(all, act{regexp.MustCompile("^" + words.Replace(form) + "$"), do})
	}
	of := func(form string, do func(p *teller, c *conn.Stream, arg []string) error) {
		on(form, func(p *teller, arg []string) error {
			c := p.conns[arg[0]]
			if c == nil {
				return fmt.Errorf("no connection is called %q", arg[0])
			}
			return do(p, c, arg)
		})
	}

	// The world.
	on(`listen SETTINGS`, func(p *teller, arg []string) error { return p.listen(arg[0]) })
	on(`time passes (.+)`, func(p *teller, arg []string) error {
		d, err := time.ParseDuration(arg[0])
		p.w.Sleep(d)
		return err
	})
	on(`descriptors run out`, func(p *teller, _ []string) error {
		p.w.Kernel.Limit = len(p.w.Kernel.Open())
		return nil
	})
	on(`descriptors are free`, func(p *teller, _ []string) error {
		p.w.Kernel.Limit = 0
		return nil
	})
	on(`the next accept fails WORD`, func(p *teller, arg []string) error {
		p.w.Kernel.Refusals = append(p.w.Kernel.Refusals, errnoOf(arg[0]))
		return nil
	})

	// The server.
	of(`server reads NAME`, func(_ *teller, c *conn.Stream, _ []string) error { return c.Read() })
	of(`server reads NAME (\d+) bytes`, func(_ *teller, c *conn.Stream, arg []string) error {
		n, err := strconv.Atoi(arg[1])
		return errors.Join(err, c.ReadFull(n))
	})
	of(`server sends NAME BYTES`, func(_ *teller, c *conn.Stream, arg []string) error { return c.Send(bytesOf(arg[1])) })
	of(`server sends NAME BYTES out of band`, func(_ *teller, c *conn.Stream, arg []string) error { return c.SendOOB(bytesOf(arg[1])[0]) })
	of(`server writes NAME BYTES`, func(p *teller, c *conn.Stream, arg []string) error {
		b := p.alloc.Copy(bytesOf(arg[1]))
		defer b.Release()
		return c.Write(b)
	})
	of(`server writes NAME BYTES BYTES`, func(p *teller, c *conn.Stream, arg []string) error {
		a, b := p.alloc.Copy(bytesOf(arg[1])), p.alloc.Copy(bytesOf(arg[2]))
		defer a.Release()
		defer b.Release()
		return c.Writev(a, b)
	})
	of(`server ends NAME`, func(_ *teller, c *conn.Stream, _ []string) error { return c.ShutdownSend() })
	of(`server shuts down NAME`, func(_ *teller, c *conn.Stream, _ []string) error { return c.Shutdown() })
	of(`server aborts NAME`, func(_ *teller, c *conn.Stream, _ []string) error {
		c.Abort(errInjected)
		return nil
	})
	of(`server posts to NAME`, func(p *teller, c *conn.Stream, arg []string) error {
		return c.Post(func(*conn.Stream) { p.called("posted", arg[0], "") })
	})
	of(`server gates NAME by NAME`, func(p *teller, c *conn.Stream, arg []string) error {
		c.SetReadGate(p.conns[arg[1]]) // nothing: nil
		return nil
	})
	of(`server sets NAME SETTINGS`, func(_ *teller, c *conn.Stream, arg []string) error {
		flow, timeouts, err := parse(arg[1])
		if flow != (conn.Flow{}) {
			c.SetFlow(flow)
		}
		if timeouts != (conn.Timeouts{}) {
			c.SetTimeouts(timeouts)
		}
		return err
	})
	of(`server holds NAME`, func(p *teller, c *conn.Stream, arg []string) error {
		p.held[arg[0]]++
		c.AddRef()
		return nil
	})
	of(`server releases NAME`, func(p *teller, c *conn.Stream, arg []string) error {
		switch name := arg[0]; {
		case p.held[name] > 0:
			p.held[name]--
		case p.lent[name]:
			p.lent[name] = false
		default:
			return errors.New("it isn't held")
		}
		c.Release()
		return nil
	})
	on(`server aborts all connections`, func(p *teller, _ []string) error {
		p.srv.AbortAllConnections()
		return nil
	})
	on(`server stops`, func(p *teller, _ []string) error {
		p.stop(context.Background(), func() {})
		return nil
	})
	on(`server stops within (.+)`, func(p *teller, arg []string) error {
		d, err := time.ParseDuration(arg[0])
		p.stop(context.WithTimeout(context.Background(), d))
		return err
	})
	on(`a post to the loops panics`, func(p *teller, _ []string) error {
		return (*conn.Mux)(p.mux).Post(func() { panic(errInjected) })
	})
	on(`panic`, func(*teller, []string) error { panic(errInjected) })
	on(`answer true`, func(p *teller, _ []string) error {
		p.answer = true
		return nil
	})

	// The clients.
	on(`client NAME connects`, func(p *teller, arg []string) error { return p.connect(arg[0], 100_000) })
	on(`client NAME connects, window (\d+)`, func(p *teller, arg []string) error {
		window, err := strconv.Atoi(arg[1])
		return errors.Join(err, p.connect(arg[0], window))
	})
	peer := func(form string, do func(p *teller, c *sim.Peer, arg []string) error) {
		on(form, func(p *teller, arg []string) error {
			c := p.peers[arg[0]]
			if c == nil {
				return fmt.Errorf("nobody is called %q", arg[0])
			}
			return do(p, c, arg)
		})
	}
	peer(`NAME receives BYTES`, func(p *teller, c *sim.Peer, arg []string) error { return p.receive(c, bytesOf(arg[1])) })
	peer(`NAME sends BYTES`, func(_ *teller, c *sim.Peer, arg []string) error {
		b := bytesOf(arg[1])
		n, errno := c.Send(b)
		if errno == 0 && n < len(b) {
			return fmt.Errorf("%d bytes of %d", n, len(b))
		}
		return orNil(errno)
	})
	peer(`NAME sends BYTES out of band`, func(_ *teller, c *sim.Peer, arg []string) error { return orNil(c.SendOOB(bytesOf(arg[1])[0])) })
	peer(`NAME ends`, func(_ *teller, c *sim.Peer, _ []string) error {
		c.CloseWrite()
		return nil
	})
	peer(`NAME closes`, func(_ *teller, c *sim.Peer, _ []string) error {
		c.Close()
		return nil
	})
	peer(`NAME resets`, func(_ *teller, c *sim.Peer, _ []string) error {
		c.Reset()
		return nil
	})
	peer(`NAME fails WORD`, func(_ *teller, c *sim.Peer, arg []string) error {
		c.Fail(errnoOf(arg[1]))
		return nil
	})
	peer(`NAME receives BYTES out of band`, func(_ *teller, c *sim.Peer, arg []string) error {
		if b, ok := c.RecvOOB(); !ok || b != bytesOf(arg[1])[0] {
			return fmt.Errorf("%q, %t", b, ok)
		}
		return nil
	})
	peer(`NAME receives nothing`, func(_ *teller, c *sim.Peer, _ []string) error {
		if n, errno := c.Recv(make([]byte, 100)); n != 0 || errno != unix.EAGAIN {
			return errors.New(whatCame(n, errno))
		}
		return nil
	})
	peer(`NAME receives the end`, func(_ *teller, c *sim.Peer, _ []string) error {
		n, errno := c.Recv(make([]byte, 100))
		if n > 0 {
			return errors.New(whatCame(n, errno))
		}
		return orNil(errno)
	})
	tlsActs(of, peer)
	return all
}

// listen starts the server.
func (p *teller) listen(how string) error {
	l := server.Listener{Name: "l", Network: "tcp", Address: "127.0.0.1:7007"}
	p.to = tcpAt
	asked := strings.Fields(strings.ReplaceAll(how, ",", ""))
	for _, word := range asked {
		if !strings.Contains(word, "=") && !slices.Contains([]string{"tcp", "unix", "anywhere", "everything", "unheld", "track", "tls"}, word) {
			return fmt.Errorf("what's %q?", word)
		}
	}
	if asked[0] == "unix" || asked[0] == "anywhere" && p.w.IntN(2) == 0 {
		l.Network, l.Address, p.to = "unix", "@sluice", unixAt
	}
	if slices.Contains(asked, "tls") {
		x, err := storyContext()
		if err != nil {
			return err
		}
		l.TLS = x
	}
	config := server.Config{
		Callback: p, Listeners: []server.Listener{l}, Allocator: p.alloc, Debug: true, DrainTimeout: -1,
		Logger: slog.New(slog.DiscardHandler),
	}
	flow, timeouts, err := parse(how)
	if err != nil {
		return err
	}
	config.Flow, config.Timeouts = flow, timeouts
	if slices.Contains(asked, "track") {
		config.Callback = storyTracking{p}
	}
	if i := strings.Index(how, "limit="); i >= 0 {
		config.MaxConnections = int(how[i+len("limit=")] - '0')
	}
	p.everything, p.unheld = slices.Contains(asked, "everything"), slices.Contains(asked, "unheld")
	mux, err := engine.NewMux(engine.MuxConfig{
		Loops: 1 + p.w.IntN(2), SlowCallback: -1, Logger: config.Logger,
		Reactor: reactor.Config{
			NewPoller: p.w.NewPoller, Kernel: p.w.Kernel, Clock: p.w.Clock,
			Spawn: func(f func()) { p.w.Spawn("spawned", f) },
		},
	})
	if err != nil {
		return err
	}
	p.mux, config.Mux = mux, (*conn.Mux)(mux)
	if p.srv, err = server.New(config); err != nil {
		return err
	}
	return p.srv.Start()
}

// parse reads settings such as high=10 idle=1s.
func parse(how string) (f conn.Flow, t conn.Timeouts, err error) {
	for _, m := range settings.FindAllStringSubmatch(how, -1) {
		var e error
		switch name, value := m[1], m[2]; name {
		case "high":
			f.High, e = strconv.Atoi(value)
		case "low":
			f.Low, e = strconv.Atoi(value)
		case "pending":
			f.MaxPending, e = strconv.Atoi(value)
		case "maxread":
			f.MaxRead, e = strconv.Atoi(value)
		case "idle":
			t.Idle, e = time.ParseDuration(value)
		case "write":
			t.Write, e = time.ParseDuration(value)
		case "linger":
			t.Linger, e = time.ParseDuration(value)
		case "limit":
		default:
			e = fmt.Errorf("nothing is called %q", name)
		}
		err = errors.Join(err, e)
	}
	return f, t, err
}

func (p *teller) connect(name string, window int) error {
	c, err := p.w.Connect(name, p.to, 100_000, window)
	if err == nil {
		p.peers[name] = c
	}
	return err
}

// receive has a peer take what there is until it has as much as it should.
func (p *teller) receive(c *sim.Peer, want []byte) error {
	var got []byte
	for waited := false; len(got) < len(want); {
		b := make([]byte, len(want)-len(got))
		n, errno := c.Recv(b)
		switch {
		case errno == unix.EAGAIN && !waited:
			p.w.Quiet()
			waited = true
			continue
		case errno != 0 || n == 0:
			return fmt.Errorf("%s, then %s", show(got), whatCame(n, errno))
		}
		got, waited = append(got, b[:n]...), false
	}
	if string(got) != string(want) {
		return errors.New(show(got))
	}
	return nil
}

func whatCame(n int, errno sys.Errno) string {
	switch {
	case errno != 0:
		return unix.ErrnoName(errno)
	case n == 0:
		return "the end"
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

// How data and errors are written.

var (
	quoted   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(?: \* \d+)?`)
	settings = regexp.MustCompile(`(\w+)=([-\w]+)`)
)

func bytesOf(q string) []byte {
	q, times, repeated := strings.Cut(q, " * ")
	s, err := strconv.Unquote(q)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", q, err))
	}
	n := 1
	if repeated {
		n, _ = strconv.Atoi(times)
	}
	return []byte(strings.Repeat(s, n))
}

func show(b []byte) string {
	if s := string(b); len(s) <= 20 || strings.Trim(s, s[:1]) != "" {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q * %d", b[:1], len(b))
}

func errnoOf(name string) sys.Errno {
	for e := range sys.Errno(200) {
		if unix.ErrnoName(e) == name {
			return e
		}
	}
	panic("no errno is called " + name)
}

func orNil(errno sys.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func nameOf(err error) string {
	for name, is := range map[string]error{
		"ErrClosed": conn.ErrClosed, "ErrMode": conn.ErrMode, "ErrReadClosed": conn.ErrReadClosed,
		"ErrWriteClosed": conn.ErrWriteClosed, "ErrOutputFull": conn.ErrOutputFull, "ErrTooLarge": conn.ErrTooLarge,
		"ErrOnLoop": conn.ErrOnLoop, "ErrUnexpectedEOF": io.ErrUnexpectedEOF, "ErrDeadlineExceeded": os.ErrDeadlineExceeded,
		"ErrCanceled": conn.ErrCanceled, "injected": errInjected,
	} {
		if errors.Is(err, is) {
			return name
		}
	}
	var errno sys.Errno
	var left *server.ShutdownError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &left):
		return fmt.Sprintf("%d aborted, %d held", left.Aborted, left.Held)
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	default:
		return err.Error()
	}
}

// usual are callbacks that come in each story. They're listed in those that listen with
// "everything".
var usual = []string{
	"OnSocketCreated", "OnStartAcceptingConnections", "OnStopAcceptingConnections", "OnShutdownInitiated", "OnShutdownComplete",
}

// hear notes a callback.
func (p *teller) hear(who string, words ...string) {
	text := strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
	p.w.Note("CALLBACK", "%s", text)
	if p.complete && who != "" && words[0] != "OnSocketReleased" { // which waits for who holds it
		p.w.Failf("%s after OnShutdownComplete", text)
	}
	p.complete = p.complete || words[0] == "OnShutdownComplete"
	if p.everything || !slices.Contains(usual, words[0]) {
		p.heard = append(p.heard, heard{who, text})
	}
}

// called is what happens in each callback: it's noted, and does what the story says.
func (p *teller) called(callback, who string, words ...string) {
	p.w.Yield()
	p.hear(who, append([]string{callback, who}, words...)...)
	if callback == "OnConnectionClosed" && p.lent[who] {
		p.lent[who] = false
		p.conns[who].Release()
	}
	key := strings.TrimSuffix(callback+" "+who, " ")
	todo := p.inside[key]
	delete(p.inside, key)
	for _, a := range todo {
		p.do(a)
	}
	p.w.Yield()
}

// asked is called, of a callback that answers.
func (p *teller) asked(callback, who string, words ...string) bool {
	p.called(callback, who, words...)
	answer := p.answer
	p.answer = false
	return answer
}

func (p *teller) name(c *conn.Stream) string { return p.names[c.ID()] }

// OnStartAcceptingConnections implements server.Callback, as all that follows.
func (p *teller) OnStartAcceptingConnections() { p.called("OnStartAcceptingConnections", "") }

func (p *teller) OnStopAcceptingConnections() { p.called("OnStopAcceptingConnections", "") }

func (p *teller) OnAcceptError(listener string, err error) {
	p.called("OnAcceptError", "", listener, nameOf(err))
}

func (p *teller) OnMaximumConnections(listener string) {
	p.called("OnMaximumConnections", "", listener)
}

func (p *teller) OnSocketCreated(fd int) {
	p.open++
	peer, errno := p.w.Kernel.RemoteAddr(fd)
	if errno != 0 {
		p.w.Failf("getpeername in OnSocketCreated: %v", errno)
		return
	}
	name := peer.Path[1:]
	p.creating[sys.G()] = name
	p.called("OnSocketCreated", name)
}

func (p *teller) OnConnectionEstablished(c *conn.Stream, peer conn.Addr) {
	name := peer.Path[1:]
	p.conns[name], p.names[c.ID()] = c, name
	if !p.unheld {
		p.lent[name] = true
		c.AddRef()
	}
	p.called("OnConnectionEstablished", name)
}

func (p *teller) OnConnectionClientClose(c *conn.Stream) {
	p.called("OnConnectionClientClose", p.name(c))
}

func (p *teller) OnConnectionReset(c *conn.Stream, err error) {
	p.called("OnConnectionReset", p.name(c), nameOf(err))
}

func (p *teller) OnConnectionClosure(c *conn.Stream, r conn.Reason) {
	p.called("OnConnectionClosure", p.name(c), r.String())
}

func (p *teller) OnConnectionClosed(c *conn.Stream) { p.called("OnConnectionClosed", p.name(c)) }

func (p *teller) OnSocketReleased(d *conn.UserData) {
	p.open--
	name := p.names[d.ID()]
	if name == "" { // it was never established
		name = p.creating[sys.G()]
	}
	p.called("OnSocketReleased", name)
}

func (p *teller) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	p.called("OnReadCompleted", p.name(c), show(b.Bytes()))
}

func (p *teller) OnReadOOBCompleted(c *conn.Stream, b *buffers.Buffer) {
	p.called("OnReadOOBCompleted", p.name(c), show(b.Bytes()))
}

func (p *teller) OnReadCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, b *buffers.Buffer, err error) bool {
	return p.asked("OnReadCompletionErrorMayNotBeFatalConnectionError", p.name(c), show(b.Bytes()), nameOf(err))
}

func (p *teller) OnReadCompletionError(c *conn.Stream, b *buffers.Buffer, err error) {
	p.called("OnReadCompletionError", p.name(c), show(b.Bytes()), nameOf(err))
}

func (p *teller) OnWriteCompletionErrorMayNotBeFatalConnectionError(c *conn.Stream, b *buffers.Buffer, err error) bool {
	return p.asked("OnWriteCompletionErrorMayNotBeFatalConnectionError", p.name(c), show(b.Bytes()), nameOf(err))
}

func (p *teller) OnWriteCompletionError(c *conn.Stream, b *buffers.Buffer, err error) {
	p.called("OnWriteCompletionError", p.name(c), show(b.Bytes()), nameOf(err))
}

func (p *teller) OnWriteBlocked(c *conn.Stream) { p.called("OnWriteBlocked", p.name(c)) }

func (p *teller) OnWriteReady(c *conn.Stream) { p.called("OnWriteReady", p.name(c)) }

func (p *teller) OnShutdownInitiated() { p.called("OnShutdownInitiated", "") }

func (p *teller) OnShutdownComplete() { p.called("OnShutdownComplete", "") }

func (p *teller) OnAllConnectionsAborted(n int) {
	p.called("OnAllConnectionsAborted", "", strconv.Itoa(n))
}

func (p *teller) OnError(message string, err error) {
	p.called("OnError", "", strconv.Quote(message), nameOf(err))
}

// storyTracking is a teller that hears of completed writes.
type storyTracking struct{ *teller }

func (s storyTracking) OnWriteCompleted(c *conn.Stream, b *buffers.Buffer) {
	s.called("OnWriteCompleted", s.name(c), show(b.Bytes()))
}
