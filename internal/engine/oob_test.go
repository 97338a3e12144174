package engine_test

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
)

// kernel.go: EINVAL when there's none (overtaken, or a stale event), EAGAIN when it's
// announced but hasn't come: neither ends anything.
func TestReceiveOOB(t *testing.T) {
	tests := []struct {
		name string
		prep func(s *socket)
		want []string
	}{
		{"there", func(s *socket) { s.oob = []byte("X") }, []string{"oob X"}},
		{"none", func(*socket) {}, nil},
		{"not yet", func(s *socket) { s.oobErr = unix.EAGAIN }, nil},
		{"in line", func(s *socket) { s.oobErr = unix.EINVAL }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				s, c := k.connect()
				tt.prep(s)
				k.fire(s, reactor.Pri)
				k.user.want(c, tt.want...)
				must(t, c.Read())
				k.deliver(s, "in band")
				k.user.want(c, append(tt.want, "read 7")...)
			})
		})
	}
}

// DESIGN, Writes append: the out-of-band byte goes behind what was written before it,
// ahead of what's written after, through short writes and EAGAIN anywhere.
func TestSendOOBKeepsItsPlace(t *testing.T) {
	for split := range 8 {
		for _, place := range places {
			drive(t, setup{}, func(k *kit) {
				s, c := k.connect()
				s.splits = []int{0, split, 0, 1, 0}
				place.run(k, c, func() {
					must(t, c.Send([]byte("before")))
					must(t, c.SendOOB('1'))
					must(t, c.SendOOB('2'))
					must(t, c.Send([]byte("after")))
					must(t, c.SendOOB('3'))
				})
				for range 6 {
					k.settle()
					k.fire(s, reactor.Out)
				}
				if string(s.out) != "before!!after!" || string(s.urgent) != "123" {
					t.Errorf("%s, split %d: sent %q with %q out of band", place.name, split, s.out, s.urgent)
				}
			})
		}
	}
}

func TestSendOOBFails(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		s, c := k.connect()
		s.sendErr = unix.EPIPE
		must(t, c.SendOOB('!'))
		k.settle()
		k.user.want(c, "reset: broken pipe", "closed reset")
	})
	drive(t, setup{}, func(k *kit) {
		_, c := k.connect()
		must(t, c.ShutdownSend())
		if err := c.SendOOB('!'); !errors.Is(err, engine.ErrWriteClosed) {
			t.Errorf("%v, want ErrWriteClosed", err)
		}
	})
}

// Out-of-band bytes are output: bounded like it, flushed before the end, and they keep
// the connection.
func TestOOBIsOutput(t *testing.T) {
	drive(t, setup{env: &engine.Env{Flow: engine.Flow{MaxPending: 10_000}}}, func(k *kit) {
		s, c := k.connect()
		s.room = 0
		n := 0
		for ; n < 20_000; n++ {
			if err := c.SendOOB('!'); err != nil {
				if !errors.Is(err, engine.ErrOutputFull) {
					t.Error(err)
				}
				break
			}
		}
		if n > 10_000 {
			t.Errorf("%d out-of-band bytes are pending, MaxPending is 10000", n)
		}
		c.Release()
		k.settle()
		if c.State() != engine.Open || s.finSent {
			t.Errorf("state %v with output pending", c.State())
		}
		s.room = 1 << 20
		k.fire(s, reactor.Out)
		if len(s.urgent) != n || !s.finSent {
			t.Errorf("%d out-of-band bytes sent of %d; the end sent: %t", len(s.urgent), n, s.finSent)
		}
	})
}

// ISocket: AtMark tells inside the Read callback whether the mark comes next.
func TestAtMark(t *testing.T) {
	drive(t, setup{}, func(k *kit) {
		var marks []bool
		k.user.read = func(c *engine.Conn, _ *buffers.Buffer) {
			at, err := c.AtMark()
			must(t, err)
			marks = append(marks, at)
			must(t, c.Read())
		}
		s, c := k.connect()
		must(t, c.Read())
		s.atMark = true
		k.deliver(s, "a")
		s.atMark = false
		k.deliver(s, "b")
		if !slices.Equal(marks, []bool{true, false}) {
			t.Errorf("%v", marks)
		}
	})
}
