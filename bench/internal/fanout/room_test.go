package fanout_test

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/bench/internal/fanout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sent struct {
	to   int
	text string
}

func TestRoom(t *testing.T) {
	out := make(chan sent)
	r := fanout.New(func(to int, p []byte) { out <- sent{to, string(p)} })
	defer r.Close()
	// Publications are collected and sorted: their order among the subscribers is the room's.
	expect := func(what string, want ...sent) {
		t.Helper()
		var got []sent
		for range want {
			got = append(got, <-out)
		}
		slices.SortFunc(got, func(a, b sent) int { return a.to - b.to })
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	message := []byte("a")
	r.Received(1, message)
	message[0] = 'x' // the room has a copy
	expect("subscription", sent{1, "a"})
	r.Received(2, []byte("b"))
	expect("subscription", sent{2, "b"})
	r.Received(3, []byte("c"))
	expect("subscription", sent{3, "c"})
	r.Received(2, []byte("to all"))
	expect("publication", sent{1, "to all"}, sent{2, "to all"}, sent{3, "to all"})
	r.Left(1)
	r.Left(4) // never was there
	r.Received(3, []byte("to the rest"))
	expect("after an end", sent{2, "to the rest"}, sent{3, "to the rest"})
	r.Received(1, []byte("again"))
	expect("subscription again", sent{1, "again"})
}
