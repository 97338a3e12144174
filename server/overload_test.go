package server_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// faults.md: EMFILE: back off, no spin, resume, keep a reserve descriptor. DESIGN: 300
// clients at 64 descriptors: the acceptor idle, alive and serving afterwards.
func TestMoreClientsThanDescriptors(t *testing.T) {
	const clients, descriptors = 300, 64
	c := startChild(t, "echo with 64 descriptors")
	var all []*peer
	for range clients {
		all = append(all, dial(t, "tcp", c.addr))
	}
	first := all[0]
	first.echo("alive")
	for c.stats().AcceptErrors == 0 {
		first.echo("still alive")
	}

	// While the others wait, the first is served and the acceptor does next to nothing.
	const trips = 500
	begun := time.Now()
	before := c.stats()
	for range trips {
		first.echo("ping")
	}
	after := c.stats()
	most := 10 + 2*uint64(time.Since(begun)/time.Second)
	if n := after.AcceptErrors - before.AcceptErrors; n > most {
		t.Errorf("accept failed %d times within %v", n, time.Since(begun))
	}
	if n := after.Events - before.Events; n > 4*trips+10*most {
		t.Errorf("%d dispatches for %d round trips", n, trips)
	}
	if after.Open > descriptors {
		t.Errorf("%d connections open with %d descriptors", after.Open, descriptors)
	}

	// The others go, but for ten that still wait; these are served then, unless they
	// were refused.
	rest := all[clients-10:]
	for _, p := range all[1 : clients-10] {
		p.Close()
	}
	for _, p := range rest {
		p.writeString("my turn")
		got := make([]byte, len("my turn"))
		if _, err := io.ReadFull(p, got); errors.Is(err, os.ErrDeadlineExceeded) || err == nil && string(got) != "my turn" {
			t.Errorf("a client that waited read %q, %v", got, err)
		}
		p.Close()
	}
	first.echo("to the end")
	last := dial(t, "tcp", c.addr)
	last.echo("and a new one")
	first.Close()
	last.Close()
	c.stop()
}

// DESIGN: 1,000 connections that push and never read hold the process below 256 KiB each.
func TestPushersThatNeverReadAreBounded(t *testing.T) {
	clients := 1000
	if raceEnabled {
		clients = 250 // it would take several seconds
	}
	limit := uint64(clients * 256 << 10)
	c := startChild(t, "echo with small kernel buffers")
	x := newText(20)
	var all []*peer
	for range clients {
		all = append(all, dial(t, "tcp", c.addr, smallReceive, mediumSend))
	}
	// Everyone pushes until nobody's socket takes anything any more.
	probe := dial(t, "tcp", c.addr)
	sent := make([]int, clients)
	for idle := 0; idle < 3; {
		moved := 0
		for i, p := range all {
			n := p.push(func(off int) []byte { return x.at(sent[i]+off, 64<<10) })
			sent[i] += n
			moved += n
		}
		if moved == 0 {
			idle++
		} else {
			idle = 0
		}
		probe.echo("a turn")
	}
	st := c.stats()
	total := 0
	for _, n := range sent {
		total += n
	}
	t.Logf("%d MiB taken from %d clients; buffers %d MiB, runtime %d MiB, resident %d MiB",
		total>>20, clients, st.Buffers>>20, st.Memory>>20, st.Resident>>20)
	if st.Open < clients {
		t.Errorf("%d connections are open, want %d", st.Open, clients)
	}
	if st.Memory > limit || st.Buffers > int64(limit) {
		t.Errorf("the server holds %d bytes, %d in buffers; want at most %d", st.Memory, st.Buffers, limit)
	}
	if !raceEnabled && st.Resident > limit {
		t.Errorf("the process has %d bytes, want at most %d", st.Resident, limit)
	}
	for _, p := range all {
		p.reset()
	}
	probe.echo("alive")
	probe.Close()
	c.stop()
}
