//go:build !race

package engine_test

import (
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/internal/engine"
)

// DESIGN, headline 3: an echo in steady state allocates nothing.
func TestEchoAllocatesNothing(t *testing.T) {
	for _, size := range []int{1, 64, 4 << 10, 64 << 10, 200 << 10} {
		for _, track := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/track %t", size, track), func(t *testing.T) {
				drive(t, setup{env: &engine.Env{Track: track}}, func(k *kit) {
					echo := k.echoing(text(size))
					for range 5 {
						echo()
					}
					if n := testing.AllocsPerRun(100, echo); n != 0 {
						t.Errorf("%v allocations per echo", n)
					}
				})
			})
		}
	}
}

// … nor does one of messages of a known length, or one that's answered in other bytes.
func TestOtherEchoesAllocateNothing(t *testing.T) {
	reads := map[string]func(k *kit) func(*engine.Conn, *buffers.Buffer){
		"ReadFull": func(k *kit) func(*engine.Conn, *buffers.Buffer) {
			return func(c *engine.Conn, b *buffers.Buffer) {
				must(k.t, c.Write(b))
				must(k.t, c.ReadFull(100))
			}
		},
		"Send": func(k *kit) func(*engine.Conn, *buffers.Buffer) {
			return func(c *engine.Conn, b *buffers.Buffer) {
				must(k.t, c.Send(b.Bytes()))
				must(k.t, c.Read())
			}
		},
		"slices": func(k *kit) func(*engine.Conn, *buffers.Buffer) {
			return func(c *engine.Conn, b *buffers.Buffer) {
				head := b.Split(b.Len() / 2)
				must(k.t, c.Writev(head, b))
				head.Release()
				must(k.t, c.Read())
			}
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			drive(t, setup{}, func(k *kit) {
				echo := k.echoing(text(100))
				k.user.read = read(k)
				for range 5 {
					echo()
				}
				if n := testing.AllocsPerRun(100, echo); n != 0 {
					t.Errorf("%v allocations per echo", n)
				}
			})
		})
	}
}
