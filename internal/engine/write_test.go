package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/internal/sys"
)

// calls are the ways to write a message: in one piece, in several, by one call or more.
var calls = []struct {
	name    string
	write   func(k *kit, c *engine.Conn, message string)
	written int // completions, with Track
}{
	{"Send", func(k *kit, c *engine.Conn, m string) { must(k.t, c.Send([]byte(m))) }, 1},
	{"Write", func(k *kit, c *engine.Conn, m string) {
		b := k.buffer(m)
		defer b.Release()
		must(k.t, c.Write(b))
	}, 1},
	{"Writev", func(k *kit, c *engine.Conn, m string) {
		bs := []*buffers.Buffer{k.buffer(m[:2]), k.buffer(""), k.buffer(m[2:9]), k.buffer(m[9:]), k.buffer("")}
		must(k.t, c.Writev(bs...))
		for _, b := range bs {
			b.Release()
		}
	}, 5},
	{"mixed", func(k *kit, c *engine.Conn, m string) {
		b := k.buffer(m[3:8])
		defer b.Release()
		must(k.t, c.Send([]byte(m[:3])))
		must(k.t, c.Write(b))
		must(k.t, c.Send(nil))
		must(k.t, c.Send([]byte(m[8:])))
	}, 4},
}

// places are where calls are made from.
var places = []struct {
	name string
	run  func(k *kit, c *engine.Conn, f func())
}{
	{"loop", func(_ *kit, _ *engine.Conn, f func()) { f() }},
	{"callback", func(k *kit, c *engine.Conn, f func()) {
		must(k.t, c.Post(func(*engine.Conn) { f() }))
		k.settle()
	}},
	{"elsewhere", func(_ *kit, _ *engine.Conn, f func()) { off(f) }},
}

// peers, rule 7: short writes and EAGAIN at each offset. Two of them, anywhere, from
// anywhere, by any call: the bytes arrive once and in order, and each write completes
// once.
func TestShortWritesAtEachOffset(t *testing.T) {
	const message = "every offset counts"
	for _, call := range calls {
		for _, place := range places {
			for _, track := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/track %t", call.name, place.name, track), func(t *testing.T) {
					for first := range len(message) {
						for second := range len(message) - first {
							drive(t, setup{env: &engine.Env{Track: track}}, func(k *kit) {
								s, c := k.connect()
								s.splits = []int{first, 0, second, 0}
								if first == 0 {
									s.splits = []int{0, second, 0}
								}
								place.run(k, c, func() { call.write(k, c, message) })
								for range 4 {
									k.settle()
									k.fire(s, reactor.Out)
								}
								if got := string(s.out); got != message {
									t.Fatalf("split at %d and %d: sent %q", first, first+second, got)
								}
								completions(k, c, track, call.written)
							})
						}
					}
				})
			}
		}
	}
}

// completions checks that there was one for each write, and nothing else.
func completions(k *kit, c *engine.Conn, track bool, want int) {
	k.t.Helper()
	if !track {
		want = 0
	}
	log := k.user.log(c)
	if len(log) != want || slices.ContainsFunc(log, func(e string) bool { return e[:7] != "written" }) {
		k.t.Fatalf("callbacks %q, want %d completions", log, want)
	}
	if n := c.Pending(); n != 0 {
		k.t.Fatalf("%d bytes are pending", n)
	}
}

// DESIGN, Writes append: a completion lends a view of what was written, with its user
// data; a Send completes with an empty buffer; in order, with empty ones among them.
func TestCompletions(t *testing.T) {
	drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
		var got []string
		k.user.written = func(_ *engine.Conn, b *buffers.Buffer) {
			got = append(got, fmt.Sprintf("%v %q", b.UserData(), b.Bytes()))
		}
		s, c := k.connect()
		s.splits = []int{0}
		write := func(data string, p string) {
			b := k.buffer(p)
			b.SetUserData(data)
			must(t, c.Write(b))
			b.SetUserData("changed")
			b.Release()
		}
		write("a", "the first")
		must(t, c.Send([]byte("copied")))
		write("b", "")
		write("c", "the last")
		k.settle()
		if len(got) != 0 {
			t.Errorf("%q completed, and nothing was sent", got)
		}
		k.fire(s, reactor.Out)
		want := []string{`a "the first"`, `<nil> ""`, `b ""`, `c "the last"`}
		if !slices.Equal(got, want) {
			t.Errorf("completed: %q, want %q", got, want)
		}
	})
}

// DESIGN, Callbacks: a completion never comes on the caller's stack and never before
// the current callback returns. (The recorder checks that.)
func TestCompletionsComeAfterTheCallback(t *testing.T) {
	drive(t, setup{env: &engine.Env{Track: true}}, func(k *kit) {
		k.user.established = func(c *engine.Conn) {
			for range 3 {
				must(t, c.Send(text(300<<10))) // above what's flushed inline
			}
		}
		s, c := k.connect()
		if len(s.out) != 900<<10 {
			t.Errorf("%d bytes sent", len(s.out))
		}
		k.user.want(c, "written 0", "written 0", "written 0")
	})
}

// DESIGN, Writes append: within a callback they queue and are flushed once at its end;
// above 256 KiB inline.
func TestWritesOfACallbackAreFlushedTogether(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		must(t, c.Post(func(c *engine.Conn) {
			for i := range 50 {
				must(t, c.Send([]byte{byte(i)}))
			}
			if len(s.sends) != 0 {
				t.Error("sent inside the callback")
			}
		}))
		k.settle()
		if !slices.Equal(s.sends, []int{50}) {
			t.Errorf("sends of %v bytes, want one of 50", s.sends)
		}

		must(t, c.Post(func(c *engine.Conn) {
			must(t, c.Send(text(256<<10)))
			if len(s.sends) != 1 {
				t.Error("256 KiB were sent inside the callback")
			}
			must(t, c.Send(text(1)))
			if len(s.sends) == 1 || c.Pending() > 256<<10 {
				t.Errorf("%d bytes are pending inside the callback", c.Pending())
			}
		}))
		k.settle()
		if len(s.out) != 50+256<<10+1 {
			t.Errorf("%d bytes sent", len(s.out))
		}
	})
}

// DESIGN, Writes append: from another goroutine one attempt of at most 64 KiB, only if
// nothing is queued; the rest goes to the loop by a kick.
func TestDirectSend(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		off(func() { must(t, c.Send(text(100))) })
		if !slices.Equal(s.sends, []int{100}) || k.turn() {
			t.Errorf("sends %v, and a kick", s.sends)
		}
		s.sends = nil
		off(func() { must(t, c.Send(text(200<<10))) })
		if !slices.Equal(s.sends, []int{64 << 10}) {
			t.Errorf("sends %v, want 64 KiB first", s.sends)
		}
		off(func() { must(t, c.Send([]byte("behind"))) }) // something is queued
		if len(s.sends) != 1 {
			t.Errorf("sends %v: one overtook what's queued", s.sends)
		}
		k.settle()
		if want := slices.Concat(text(100), text(200<<10), []byte("behind")); !slices.Equal(s.out, want) {
			t.Errorf("%d bytes sent of %d, or not in order", len(s.out), len(want))
		}
		if n := k.count(engine.CountSentBytes); n != uint64(len(s.out)) {
			t.Errorf("%d bytes counted of %d", n, len(s.out))
		}
	})
}

// Bytes sent off the loop are counted by the connection's next dispatch or its end.
func TestDirectSendsAreCountedAtTheEnd(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		off(func() {
			must(t, c.Send(text(100)))
			c.Abort(nil)
		})
		k.settle()
		if n := k.count(engine.CountSentBytes); n != 100 {
			t.Errorf("%d bytes counted, want 100", n)
		}
		if n := k.count(engine.CountWrites); n != 1 {
			t.Errorf("%d writes counted, want 1", n)
		}
	})
}

// errnos are the failures of a receive or send, and what each means.
var errnos = []struct {
	errno  sys.Errno
	reason engine.Reason
}{
	{unix.ECONNRESET, engine.ReasonReset},
	{unix.EPIPE, engine.ReasonReset},
	{unix.ECONNABORTED, engine.ReasonReset},
	{unix.ETIMEDOUT, engine.ReasonLost},
	{unix.EHOSTUNREACH, engine.ReasonLost},
	{unix.ENETUNREACH, engine.ReasonLost},
	{unix.ENETDOWN, engine.ReasonLost},
	{unix.EIO, engine.ReasonLost},
}

// faults, TCP states: each failure of a send, from anywhere: every unsent write is
// answered, the cause is kept, and there's one closure.
func TestFailuresOfSend(t *testing.T) {
	for _, e := range errnos {
		for _, place := range places {
			for _, track := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%s/track %t", e.errno, place.name, track), func(t *testing.T) {
					drive(t, setup{env: &engine.Env{Track: track}}, func(k *kit) {
						s, c := k.connect()
						s.sendErr = e.errno
						place.run(k, c, func() {
							b := k.buffer("first")
							defer b.Release()
							must(t, c.Write(b))
							if err := c.Send([]byte("second")); err != nil && !errors.Is(err, engine.ErrClosed) {
								t.Errorf("Send: %v", err)
							}
						})
						k.settle()
						name := e.errno.Error()
						want := []string{"may-continue sending 5: " + name, "write-error 5: " + name}
						if place.name == "callback" { // both were queued before the failure
							want = append(want, "write-error 0: "+name)
						}
						k.user.want(c, append(want, "reset: "+name, "closed "+e.reason.String())...)
						reason, err := c.Cause()
						if reason != e.reason || !errors.Is(err, e.errno) {
							t.Errorf("cause %v: %v", reason, err)
						}
						counts := k.env.Counts()
						if n := counts.Closed(e.reason); n != 1 {
							t.Errorf("%d closures counted for %v", n, e.reason)
						}
					})
				})
			}
		}
	}
}

// faults, TCP states: each failure of a receive, with what was sent before it.
func TestFailuresOfRecv(t *testing.T) {
	for _, e := range errnos {
		t.Run(e.errno.Error(), func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				k.user.read = func(c *engine.Conn, _ *buffers.Buffer) { must(t, c.Read()) }
				s, c := k.connect()
				must(t, c.Read())
				s.in, s.broken = []byte("good"), e.errno
				k.fire(s, reactor.In|reactor.RdHup|reactor.Hup)
				name := e.errno.Error()
				k.user.want(c, "read 4", "may-continue receiving 0: "+name, "read-error 0: "+name,
					"reset: "+name, "closed "+e.reason.String())
				if s.linger == "off" {
					t.Error("closed without a reset")
				}
			})
		})
	}
}

// DESIGN, Time: EAGAIN under memory pressure may have no later edge. A shortage of the
// kernel's isn't the connection's end, from wherever the write is made.
func TestShortageOfTheKernelEndsNothing(t *testing.T) {
	for _, errno := range []sys.Errno{unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM} {
		for _, call := range calls {
			for _, place := range places {
				t.Run(fmt.Sprintf("%v/%s/%s", errno, call.name, place.name), func(t *testing.T) {
					const message = "in spite of it all"
					drive(t, setup{}, func(k *kit) {
						s, c := k.connect()
						s.sendErr = errno
						place.run(k, c, func() { call.write(k, c, message) })
						k.settle()
						k.user.want(c)
						k.fire(s, reactor.Out)
						if got := string(s.out); got != message {
							t.Errorf("sent %q", got)
						}
					})
				})
			}
		}
	}
}
