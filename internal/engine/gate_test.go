package engine_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// gated is a setup with low marks.
func gated() setup { return setup{env: &engine.Env{Flow: engine.Flow{High: 1000, Low: 100}}} }

// DESIGN, Flow: SetReadGate(o) makes c's reads wait on all of o's output.
func TestReadGate(t *testing.T) {
	fill := map[string]func(k *kit, o *engine.Conn){
		"elsewhere": func(k *kit, o *engine.Conn) { off(func() { must(k.t, o.Send(text(2000))) }) },
		"callback": func(k *kit, o *engine.Conn) {
			must(k.t, o.Post(func(o *engine.Conn) { must(k.t, o.Send(text(2000))) }))
		},
		"many sends": func(k *kit, o *engine.Conn) {
			for range 20 {
				must(k.t, o.Send(text(100)))
			}
		},
	}
	for name, f := range fill {
		for _, first := range []string{"gate first", "output first"} {
			t.Run(name+"/"+first, func(t *testing.T) {
				drive(t, gated(), func(k *kit) {
					s, c := k.connect()
					out, o := k.connect()
					out.room = 0
					if first == "gate first" {
						c.SetReadGate(o)
						f(k, o)
					} else {
						f(k, o)
						c.SetReadGate(o)
					}
					k.settle()
					must(t, c.Read())
					k.deliver(s, "waits")
					out.room = 1899
					k.fire(out, reactor.Out)
					k.user.want(c)
					if len(s.recvs) != 0 {
						t.Error("received while the gate is closed")
					}
					out.room = 1
					k.fire(out, reactor.Out)
					k.user.want(c, "read 5")
				})
			})
		}
	}
}

// It opens for all that wait, when the connection that they wait for closes too.
func TestReadGateOpensForAll(t *testing.T) {
	ends := map[string]func(k *kit, out *socket, o *engine.Conn){
		"flushed": func(k *kit, out *socket, _ *engine.Conn) {
			out.room = 1 << 20
			k.fire(out, reactor.Out)
		},
		"aborted": func(k *kit, _ *socket, o *engine.Conn) { off(func() { o.Abort(nil) }) },
		"reset": func(k *kit, out *socket, _ *engine.Conn) {
			out.soError = unix.ECONNRESET
			k.fire(out, everything&^reactor.Pri)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			drive(t, gated(), func(k *kit) {
				out, o := k.connect()
				out.room = 0
				must(t, o.Send(text(5000)))
				var waiting []*engine.Conn
				for range 3 {
					s, c := k.connect()
					c.SetReadGate(o)
					must(t, c.Read())
					k.deliver(s, "waits")
					k.user.want(c)
					waiting = append(waiting, c)
				}
				end(k, out, o)
				k.settle()
				for _, c := range waiting {
					k.user.want(c, "read 5")
				}
			})
		})
	}
}

// A gate on one that's ending, or has ended, is open, or will be.
func TestReadGateOnOneThatEnds(t *testing.T) {
	moments := map[string]func(u *recorder, f func(*engine.Conn)){
		"in its write error": func(u *recorder, f func(*engine.Conn)) {
			u.writeError = func(o *engine.Conn, _ *buffers.Buffer, _ error) { f(o) }
		},
		"in its closure": func(u *recorder, f func(*engine.Conn)) { u.closed = f },
		"in its release": func(u *recorder, f func(*engine.Conn)) { u.released = f },
	}
	for name, at := range moments {
		t.Run(name, func(t *testing.T) {
			drive(t, gated(), func(k *kit) {
				s, c := k.connect()
				out, o := k.connect()
				out.room = 0
				b := k.buffer(string(text(900)))
				for range 5 { // the first fails, and more than High is left
					must(t, o.Write(b))
				}
				b.Release()
				must(t, c.Read())
				at(k.user, func(other *engine.Conn) {
					if other == o {
						c.SetReadGate(o)
					}
				})
				o.Release()
				o.Abort(nil)
				k.settle()
				k.deliver(s, "not for ever")
				k.user.want(c, "read 12")
			})
		})
	}
}

// SetReadGate(nil) turns it off, SetReadGate(c) waits for all of its own output.
func TestReadGateModes(t *testing.T) {
	drive(t, gated(), func(k *kit) {
		s, c := k.connect()
		s.room = 0
		c.SetReadGate(c)
		off(func() { must(t, c.Send(text(2000))) })
		must(t, c.Read())
		k.deliver(s, "waits")
		k.user.want(c, "blocked")
		off(func() { c.SetReadGate(nil) })
		k.settle()
		k.user.want(c, "blocked", "read 5")
		c.SetReadGate(c)
		must(t, c.Read())
		k.deliver(s, "more")
		s.room = 1900
		k.fire(s, reactor.Out)
		k.user.want(c, "blocked", "read 5", "ready", "read 4")
	})
}

// … also for a plain echo, which then isn't bounded.
func TestReadGateOff(t *testing.T) {
	drive(t, gated(), func(k *kit) {
		k.user.silent = true
		k.echo()
		s, c := k.connect()
		c.SetReadGate(nil)
		s.room = 0
		s.in = text(100_000)
		k.fire(s, reactor.In)
		if c.Pending() != 100_000 {
			t.Errorf("%d bytes are pending of 100000", c.Pending())
		}
	})
}

// DESIGN, Flow: a gate holds o until either closes; References: it keeps o open while its
// stream has a read pending, wherever that read was asked for.
func TestReadGateKeepsOpen(t *testing.T) {
	asks := map[string]func(k *kit, c *engine.Conn){
		"before":    nil,
		"loop":      func(k *kit, c *engine.Conn) { must(k.t, c.Read()) },
		"elsewhere": func(k *kit, c *engine.Conn) { off(func() { must(k.t, c.ReadFull(5)) }) },
		"callback": func(k *kit, c *engine.Conn) {
			must(k.t, c.Post(func(c *engine.Conn) { must(k.t, c.Read()) }))
			k.settle()
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			drive(t, gated(), func(k *kit) {
				s, c := k.connect()
				_, o := k.connect()
				if ask == nil {
					must(t, c.Read())
					c.SetReadGate(o)
				} else {
					c.SetReadGate(o)
					ask(k, c)
				}
				o.Release()
				k.settle()
				if o.State() != engine.Open {
					t.Fatalf("state %v, with a read pending that waits for it", o.State())
				}
				k.deliver(s, "hello") // answers the read; nothing is pending now
				k.user.want(c, "read 5")
				if o.State() != engine.Draining {
					t.Errorf("state %v, with nobody who wants it", o.State())
				}
			})
		})
	}
}

// Whatever ends the read, or the gate, lets the other go.
func TestReadGateLetsGo(t *testing.T) {
	ends := map[string]func(k *kit, s *socket, c *engine.Conn){
		"the peer's end": func(k *kit, s *socket, _ *engine.Conn) {
			s.fin = true
			k.fire(s, reactor.In|reactor.RdHup)
		},
		"a shutdown":   func(k *kit, _ *socket, c *engine.Conn) { must(k.t, c.Shutdown()) },
		"an abort":     func(_ *kit, _ *socket, c *engine.Conn) { c.Abort(nil) },
		"another gate": func(_ *kit, _ *socket, c *engine.Conn) { c.SetReadGate(c) },
		"no gate":      func(_ *kit, _ *socket, c *engine.Conn) { off(func() { c.SetReadGate(nil) }) },
		"a reset": func(k *kit, s *socket, _ *engine.Conn) {
			s.soError = unix.ECONNRESET
			k.fire(s, everything&^reactor.Pri)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			drive(t, gated(), func(k *kit) {
				s, c := k.connect()
				_, o := k.connect()
				c.SetReadGate(o)
				must(t, c.Read())
				k.settle()
				o.Release()
				k.settle()
				if o.State() != engine.Open {
					t.Fatalf("state %v, with a read pending that waits for it", o.State())
				}
				end(k, s, c)
				k.settle()
				if o.State() != engine.Draining {
					t.Errorf("state %v, with nobody who wants it", o.State())
				}
			})
		})
	}
}

// A proxy: two that wait for each other, held by nothing but their pending reads. Both
// end when both peers have ended.
func TestProxy(t *testing.T) {
	drive(t, gated(), func(k *kit) {
		other := map[*engine.Conn]*engine.Conn{}
		k.user.read = func(c *engine.Conn, b *buffers.Buffer) {
			must(t, other[c].Write(b))
			must(t, c.Read())
		}
		s1, c1 := k.connect()
		s2, c2 := k.connect()
		other[c1], other[c2] = c2, c1
		c1.SetReadGate(c2)
		c2.SetReadGate(c1)
		for c := range other {
			must(t, c.Read())
			c.Release()
		}
		k.settle()
		k.deliver(s1, "to the other side")
		k.deliver(s2, "and back")
		if string(s2.out) != "to the other side" || string(s1.out) != "and back" {
			t.Errorf("forwarded %q and %q", s2.out, s1.out)
		}
		s1.fin = true
		k.fire(s1, reactor.In|reactor.RdHup)
		k.deliver(s2, ", still")
		if string(s1.out) != "and back, still" {
			t.Errorf("forwarded %q after one peer's end", s1.out)
		}
		s2.fin = true
		k.fire(s2, reactor.In|reactor.RdHup)
		for c := range other {
			if c.State() != engine.Released {
				t.Errorf("state %v after both peers have ended", c.State())
			}
		}
	})
}
