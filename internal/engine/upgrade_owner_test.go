package engine_test

import (
	"testing"

	"github.com/sluice-net/sluice/internal/reactor"
)

// DESIGN, Buffers: what's lent is the caller's again when the call returns: an upgrade that has
// to wait keeps a copy of its Prefix, and writes nothing behind it.
func TestUpgradeCopiesItsPrefix(t *testing.T) {
	f := &sessions{}
	drive(t, setup{memory: true}, func(k *kit) {
		s, c := k.connect()
		must(t, c.Recv(make([]byte, 10), false))
		k.deliver(s, "B")
		s.splits = []int{0} // the output before it has to wait
		must(t, c.Send([]byte("go")))
		block := []byte("hAxxxx")
		u := upgradeTo(f)
		u.Prefix = block[:2]
		must(t, c.Upgrade(u))
		copy(block, "######")
		k.settle()
		k.fire(s, reactor.Out)
		p := make([]byte, 2)
		must(t, c.Recv(p, false))
		k.settle()
		if string(p) != "ab" {
			t.Errorf("received %q, want %q", p, "ab")
		}
		if string(block) != "######" {
			t.Errorf("the caller's memory is %q", block)
		}
	})
}
