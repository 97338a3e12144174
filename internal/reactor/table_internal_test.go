package reactor

import (
	"maps"
	"slices"
	"testing"
)

type numbered struct {
	Handler
	fd int
}

// reactor doc: the descriptor table is sparse; a large number doesn't cost a large
// table.
func TestTable(t *testing.T) {
	var tab table
	want := map[int]Handler{}
	fds := []int{0, 1, 2, 255, 256, 257, 511, 512, 19_999, 65_535, 65_536, 1 << 20, 1<<20 + 1}
	for _, fd := range fds {
		want[fd] = &numbered{fd: fd}
		tab.set(fd, want[fd])
	}
	check := func() {
		t.Helper()
		for _, fd := range append([]int{3, 254, 258, 1000, 1<<20 + 2, 1 << 24}, fds...) {
			if got := tab.get(fd); got != want[fd] {
				t.Errorf("get(%d) is %v, want %v", fd, got, want[fd])
			}
		}
		var seen []int
		tab.each(func(h Handler) bool {
			seen = append(seen, h.(*numbered).fd)
			return true
		})
		if all := slices.Sorted(maps.Keys(want)); !slices.Equal(seen, all) {
			t.Errorf("each gives %v, want %v", seen, all)
		}
	}
	check()
	used := 0
	for _, c := range tab.chunks {
		if c != nil {
			used++
		}
	}
	if used != 7 {
		t.Errorf("%d chunks for the descriptors %v", used, fds)
	}
	for _, fd := range []int{0, 256, 65_536, 1<<20 + 1, 7, 1 << 22} {
		delete(want, fd)
		tab.set(fd, nil)
		check()
	}
}

// Handlers that are stopped deregister while each goes on.
func TestTableChangesDuringEach(t *testing.T) {
	var tab table
	for fd := range 600 {
		tab.set(fd, &numbered{fd: fd})
	}
	seen := 0
	tab.each(func(h Handler) bool {
		seen++
		fd := h.(*numbered).fd
		tab.set(fd, nil)
		if fd%2 == 0 {
			tab.set(fd+1, nil)
		}
		return true
	})
	if seen != 300 {
		t.Errorf("%d handlers seen, want 300", seen)
	}
}
