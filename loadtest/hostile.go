package loadtest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// HostileKind is a way for clients to misbehave.
type HostileKind string

// The kinds. A client whose connection the server ends makes another one.
const (
	// Slowloris sends a message byte by byte, one in a second, and never the last.
	Slowloris HostileKind = "slowloris"
	// NeverRead sends messages for as long as it can, and reads nothing.
	NeverRead HostileKind = "neverread"
	// HalfClose sends a message, ends its direction, and waits for the server's end.
	HalfClose HostileKind = "halfclose"
	// Reset sends a message and resets the connection.
	Reset HostileKind = "reset"
	// StallHandshake connects, sends the beginning of a TLS handshake, and stops.
	StallHandshake HostileKind = "stallhandshake"
)

var hostileLives = map[HostileKind]func(*hostile, net.Conn){
	Slowloris:      (*hostile).slowloris,
	NeverRead:      (*hostile).neverRead,
	HalfClose:      (*hostile).halfClose,
	Reset:          (*hostile).reset,
	StallHandshake: (*hostile).stallHandshake,
}

func (k HostileKind) check() error {
	if hostileLives[k] == nil {
		return fmt.Errorf("%q: %s", string(k), hostileWant)
	}
	return nil
}

const hostileWant = "want a list such as slowloris=50,neverread=20,halfclose=10,reset=10,stallhandshake=20"

// ParseHostile reads a list such as slowloris=50,neverread=20.
func ParseHostile(text string) (map[HostileKind]int, error) {
	all := map[HostileKind]int{}
	for one := range strings.SplitSeq(text, ",") {
		kind, number, _ := strings.Cut(strings.TrimSpace(one), "=")
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || HostileKind(kind).check() != nil {
			return nil, fmt.Errorf("%q: %s", one, hostileWant)
		}
		all[HostileKind(kind)] += int(n)
	}
	return all, nil
}

const (
	hostilePause = 100 * time.Millisecond // between the connections of one client
	slowPace     = time.Second
)

// clientHello is how a TLS handshake begins: a record that announces more than will come.
var clientHello = []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3}

// hostiles are all hostile clients of a run.
type hostiles struct {
	run     *run
	numbers map[HostileKind]*atomic.Int64 // of open connections
}

func newHostiles(r *run) *hostiles {
	h := &hostiles{run: r, numbers: map[HostileKind]*atomic.Int64{}}
	for kind := range r.load.Hostile {
		h.numbers[kind] = new(atomic.Int64)
	}
	return h
}

// open is how many connections there are, by kind.
func (h *hostiles) open() map[string]uint64 {
	if len(h.numbers) == 0 {
		return nil
	}
	all := map[string]uint64{}
	for kind, n := range h.numbers {
		all[string(kind)] = uint64(max(n.Load(), 0))
	}
	return all
}

func (h *hostiles) start() {
	nth := h.run.load.Connections // after the honest ones, for the sources
	for _, kind := range slices.Sorted(maps.Keys(h.run.load.Hostile)) {
		for range h.run.load.Hostile[kind] {
			c := &hostile{run: h.run, kind: kind, nth: nth, open: h.numbers[kind]}
			h.run.others.Go(c.live)
			nth++
		}
	}
}

// A hostile is one client that misbehaves.
type hostile struct {
	run  *run
	kind HostileKind
	nth  int
	open *atomic.Int64
	pace sleeper
}

// live goes on until the run's last reply has come: it's the honest ones' end that should
// be measured too.
func (h *hostile) live() {
	for h.run.hard.Err() == nil {
		h.connection()
		h.pace.sleep(h.run.hard, hostilePause)
	}
}

// connection is one of its connections. Failures are what it's there for.
func (h *hostile) connection() {
	// A handshake that stalls is a TCP connection to begin with; the others misbehave after it.
	var c net.Conn
	if h.kind == StallHandshake {
		plain, err := h.run.dialer.connect(h.run.hard, h.nth)
		if err != nil {
			return
		}
		c = plain
	} else {
		made, _, err := h.run.dialer.dial(h.run.hard, h.nth, false)
		if err != nil {
			return
		}
		c = made.Conn
	}
	defer c.Close()
	release := context.AfterFunc(h.run.hard, func() { c.Close() })
	defer release()
	h.open.Add(1)
	defer h.open.Add(-1)
	hostileLives[h.kind](h, c)
}

func (h *hostile) message() []byte {
	m := Message{Connection: uint64(h.run.load.Seed)<<32 | 1<<31 | uint64(h.nth), Size: h.run.load.Sizes.largest()}
	return h.run.load.Codec.AppendRequest(nil, m)
}

// untilEnd reads until the server, or the run, ends the connection.
func (h *hostile) untilEnd(c net.Conn) {
	b := make([]byte, smallBuffer)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

func (h *hostile) slowloris(c net.Conn) {
	m := h.message()
	for i := 0; ; i = (i + 1) % max(len(m)-1, 1) {
		if _, err := c.Write(m[i : i+1]); err != nil || !h.pace.sleep(h.run.hard, slowPace) {
			return
		}
	}
}

func (h *hostile) neverRead(c net.Conn) {
	m := h.message()
	for {
		if _, err := c.Write(m); err != nil {
			return
		}
	}
}

func (h *hostile) halfClose(c net.Conn) {
	if _, err := c.Write(h.message()); err != nil {
		return
	}
	if half, ok := c.(halfCloser); ok && half.CloseWrite() == nil {
		h.untilEnd(c)
	}
}

func (h *hostile) reset(c net.Conn) {
	_, _ = c.Write(h.message())
	if layered, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS would say good-bye
		c = layered.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

func (h *hostile) stallHandshake(c net.Conn) {
	if _, err := c.Write(clientHello); err == nil {
		h.untilEnd(c)
	}
}
