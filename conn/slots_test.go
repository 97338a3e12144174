package conn_test

import (
	"sync"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

type session struct{ user string }

// seed-contract.md: named user-data slots, all requested before the first socket.
func TestSlots(t *testing.T) {
	var set conn.Slots
	users, counts := conn.NewSlot[session](&set, "user"), conn.NewSlot[int](&set, "count")
	set.Freeze()
	c := (*conn.Stream)(&engine.Conn{})
	left := (*conn.UserData)(c)
	if users.Get(c) != nil || counts.Get(left) != nil {
		t.Error("a slot isn't empty at first")
	}
	users.Set(c, nil)
	me, one := &session{"me"}, 1
	users.Set(c, me)
	if users.Get(c) != me || users.Get(left) != me || counts.Get(c) != nil {
		t.Error("a slot doesn't have what was set, or the other has it")
	}
	counts.Set(left, &one)
	users.Set(c, nil)
	if users.Get(c) != nil || *counts.Get(c) != 1 {
		t.Error("a slot can't be emptied, or the other is")
	}
	if other := (*conn.Stream)(&engine.Conn{}); counts.Get(other) != nil {
		t.Error("a slot is shared by connections")
	}
}

func TestSlotsFromManyGoroutines(t *testing.T) {
	var set conn.Slots
	slots := []conn.Slot[int]{conn.NewSlot[int](&set, "a"), conn.NewSlot[int](&set, "b"), conn.NewSlot[int](&set, "c")}
	for range 200 {
		c := (*conn.Stream)(&engine.Conn{})
		var wg sync.WaitGroup
		for i, s := range slots {
			wg.Go(func() { s.Set(c, &i) })
		}
		wg.Wait()
		for i, s := range slots {
			if got := s.Get(c); got == nil || *got != i {
				t.Fatalf("slot %d has %v", i, got)
			}
		}
	}
}

func TestSlotsMisused(t *testing.T) {
	var set conn.Slots
	conn.NewSlot[int](&set, "a")
	mustPanic := func(what string, f func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if recover() == nil {
				t.Errorf("%s didn't panic", what)
			}
		}()
		f()
	}
	mustPanic("a second slot of a name", func() { conn.NewSlot[string](&set, "a") })
	// A slot of one set is nothing to a connection that has another's.
	var other conn.Slots
	mine, theirs := conn.NewSlot[int](&set, "mine"), conn.NewSlot[[]byte](&other, "theirs")
	c := (*conn.Stream)(&engine.Conn{})
	mine.Set(c, new(int))
	mustPanic("Get of another set's slot", func() { theirs.Get(c) })
	mustPanic("Set of another set's slot", func() { theirs.Set(c, nil) })
	set.Freeze()
	mustPanic("a slot in a frozen set", func() { conn.NewSlot[string](&set, "b") })
}
