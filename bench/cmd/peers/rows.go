//go:build linux

package main

import (
	"bytes"
	"cmp"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A row is one thing that goes wrong with somebody.
type row struct {
	name    string
	network string // tcp, if empty
	role    string
	defects string            // servers that were seen to fail, in words
	skip    map[string]string // servers that have nothing of the kind, and why
	ask     func(s *subject) cell
}

// Bounds: what a connection may cost a server, and what an idle server may use of a processor.
const (
	maxMemory = 24 << 20
	maxTaken  = 24 << 20 // the kernel's buffers of both ends have some 10 MiB
	maxBusy   = 0.05
)

var rows = []row{
	{name: "Reply 100 ms after the peer's half-close", role: "delayed", defects: "gnet nbio netpoll", ask: askHalfClose},
	{name: "Out-of-band byte", role: "oob", defects: "gnet nbio netpoll", skip: map[string]string{"std": "no API"}, ask: askOutOfBand},
	{name: "64 MiB to a handler that wants no more", role: "once", defects: "gnet nbio netpoll", ask: askPause},
	{name: "Output to a peer that doesn't read", role: "flood", defects: "gnet nbio", ask: askFlood},
	{name: "Echo to a peer that doesn't read", role: "echo", defects: "gnet nbio", ask: askSlowEcho},
	{name: "Write 8 MiB and Close, slow reader", role: "bulk-close", defects: "gnet nbio netpoll", ask: askBulk},
	{name: "Writev of 8 MiB in 128 pieces, slow reader", role: "bulk-pieces", defects: "nbio", ask: askBulk},
	{name: "Write 8 MiB to a Unix socket, slow reader", network: "unix", role: "bulk", defects: "nbio", ask: askBulk},
	{name: "2 MiB from a peer that closes", role: "count", defects: "nbio", ask: askReceived},
	{name: "2 MiB from a peer that closes, Unix socket", network: "unix", role: "count", ask: askReceived},
	{name: "accept: out of descriptors", role: "few-files", defects: "gnet nbio", ask: askFewFiles},
	{name: "Write to an ended connection, its descriptor in use again", role: "stale", defects: "gnet", ask: askStale},
	{name: "Close in the opening callback, 200 times", role: "refuse", ask: askRefuse},
	{name: "Panic in a handler", role: "panic", defects: "gnet std", ask: askPanic},
	{name: "Idle time-out", role: "idle", defects: "gnet", ask: askIdle},
	{name: "Connect to [::1]", role: "dial", defects: "nbio", ask: askDial},
	{name: "Graceful stop with output on its way", role: "bulk-stop", defects: "gnet nbio", skip: map[string]string{"std": "no API"}, ask: askStop},
}

func askHalfClose(s *subject) cell {
	c := s.dial()
	if err := send(c, []byte("request")); err != nil {
		return fail("%v", err)
	}
	if h, ok := c.(*net.TCPConn); !ok || h.CloseWrite() != nil {
		return fail("can't half-close")
	}
	if got := receive(c, 100); string(got) != "reply" {
		return fail("lost")
	}
	return pass("arrives")
}

// askOutOfBand has the urgent byte between others, which must arrive, too.
func askOutOfBand(s *subject) cell {
	c, ok := s.dial().(*net.TCPConn)
	if !ok {
		return fail("no connection")
	}
	if err := send(c, []byte("aaaa")); err != nil {
		return fail("%v", err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return fail("%v", err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("X"), unix.MSG_OOB, nil) }); err != nil {
		return fail("%v", err)
	}
	if err == nil {
		err = send(c, []byte("bbbb"))
	}
	if err != nil {
		return fail("%v", err)
	}
	got := receive(c, len("aaaa<X>bbbb"))
	rest := bytes.Replace(got, []byte("<X>"), nil, 1)
	switch {
	case string(rest) != "aaaabbbb":
		return fail("%q comes back of aaaa, X, bbbb", got)
	case len(rest) == len(got):
		return fail("dropped")
	}
	return pass("delivered")
}

func askPause(s *subject) cell {
	c := s.dial()
	before := s.resident()
	if err := send(c, []byte("enough")); err != nil {
		return fail("%v", err)
	}
	s.pause(delay)
	sent := push(c, most)
	switch grown := int(s.resident()) - int(before); {
	case !s.alive():
		return fail("dies")
	case sent > maxTaken:
		if grown < maxMemory {
			return fail("all %d MiB are brought", sent>>20)
		}
		return fail("%d MiB taken, in %d MiB of memory", sent>>20, grown>>20)
	case grown > maxMemory:
		return fail("%d MiB of memory", grown>>20)
	}
	return pass("the peer has to wait")
}

func askFlood(s *subject) cell {
	c := s.dial()
	before := s.resident()
	if err := send(c, []byte("go")); err != nil {
		return fail("%v", err)
	}
	var grown int
	var said string
	for limit := time.Now().Add(lost); time.Now().Before(limit) && said == ""; s.pause(pollTime) {
		grown = max(grown, int(s.resident())-int(before))
		if text := s.process.Output(); strings.Contains(text, "accepted: ") || strings.Contains(text, "refused: ") {
			said = text
		}
	}
	grown = max(grown, int(s.resident())-int(before))
	switch {
	case !s.alive():
		return fail("dies")
	case grown > maxMemory:
		return fail("%d MiB of memory for one connection", grown>>20)
	case strings.Contains(said, "refused: "):
		return pass("refused beyond the bound")
	case said == "":
		return pass("the writer waits")
	}
	return fail("64 MiB taken, in %d MiB of memory", grown>>20)
}

// askSlowEcho lets everything come back in the end: what was accepted must.
func askSlowEcho(s *subject) cell {
	c := s.dial()
	before := s.resident()
	sent := push(c, most)
	grown := max(0, int(s.resident())-int(before))
	busy := s.busy()
	back := len(receive(c, sent))
	switch {
	case grown > maxMemory:
		return fail("%d MiB of memory for one connection", grown>>20)
	case busy > maxBusy:
		return fail("spins while nothing moves, at %.0f %% CPU", 100*busy)
	case back != sent:
		return fail("%s of %s bytes come back", grouped(back), grouped(sent))
	}
	return pass("the peer has to wait")
}

func askBulk(s *subject) cell {
	c := s.dial()
	if err := send(c, []byte("go")); err != nil {
		return fail("%v", err)
	}
	s.pause(lateStart)
	got := receive(c, large)
	claimed := ""
	if !bytes.Equal(got, content(large)) {
		claimed, _ = s.said("wrote")
	}
	return arrived(got, claimed)
}

func askReceived(s *subject) cell {
	c := s.dial()
	if err := send(c, content(medium)); err != nil {
		return fail("%v", err)
	}
	_ = c.Close()
	var got string
	for limit := time.Now().Add(patience); time.Now().Before(limit); s.pause(pollTime) {
		for text := range strings.Lines(s.process.Output()) {
			if n, ok := strings.CutPrefix(strings.TrimSpace(text), "received: "); ok && n != "0" {
				got = n
			}
		}
		if got != "" || !s.alive() {
			break
		}
	}
	switch got {
	case "2097152":
		return pass("all of 2 MiB")
	case "":
		return fail("the end is never told")
	}
	n, err := strconv.Atoi(got)
	if err != nil {
		return fail("%v", err)
	}
	return fail("%s of %s bytes", grouped(n), grouped(medium))
}

// askFewFiles has the server open files until it has no descriptor left, and then connects;
// and looks whether those who had to wait are served when there are descriptors again.
func askFewFiles(s *subject) cell {
	c := s.dial()
	if !answers(c, fillCommand) {
		return fail("no echo")
	}
	var waiting []net.Conn
	for range 5 {
		waiting = append(waiting, s.dial())
	}
	s.pause(delay)
	busy := s.busy()
	if why, ended := s.returned(); ended {
		return fail("the server ends, and returns %s", why)
	}
	if busy > maxBusy {
		return fail("spins, at %.0f %% CPU", 100*busy)
	}
	if !answers(c, freeCommand) {
		return fail("no echo any more")
	}
	for _, c := range append(waiting, s.dial()) {
		if !echoes(c) {
			return fail("doesn't serve those who had to wait")
		}
	}
	return pass("waits, and serves again")
}

// returned tells whether the framework has said that it has ended, and how.
func (s *subject) returned() (why string, ended bool) {
	if s.alive() {
		return "", false
	}
	switch why, _ := s.said("returned"); why {
	case "<nil>":
		return "nil", true
	case "":
		return "nothing", true
	default:
		return why, true
	}
}

func askStale(s *subject) cell {
	first := s.dial()
	if err := send(first, []byte("first")); err != nil {
		return fail("%v", err)
	}
	s.pause(delay)
	_ = first.Close()
	if !s.line("first closed") {
		return fail("the end is never told")
	}
	// More than one, as the descriptor is given to one of them.
	others := []net.Conn{s.dial(), s.dial(), s.dial()}
	for _, c := range others {
		if err := send(c, []byte("other")); err != nil {
			return fail("%v", err)
		}
	}
	var got []byte
	for _, silence := range []time.Duration{lost, delay} { // once all have an answer, all is written
		for _, c := range others {
			got = append(got, receiveWithin(c, len("other"), silence)...)
		}
	}
	if strings.Contains(string(got), stale) {
		return fail("reaches another connection")
	}
	switch result, _ := s.said("stale write"); result {
	case "":
		return fail("the call doesn't return")
	case "<nil>":
		return fail("no error")
	default:
		if strings.HasPrefix(result, panicked) {
			return fail("panics")
		}
	}
	return pass("an error")
}

// line waits for a line.
func (s *subject) line(text string) bool {
	for limit := time.Now().Add(patience); time.Now().Before(limit) && s.alive(); s.pause(pollTime) {
		if strings.Contains(s.process.Output(), text) {
			return true
		}
	}
	return false
}

func askRefuse(s *subject) cell {
	var all []net.Conn
	for range 200 {
		all = append(all, s.dial())
	}
	open := 0
	for _, c := range all {
		if !ended(c) {
			open++
			if open == 3 {
				break
			}
		}
	}
	switch {
	case !s.alive():
		return fail("dies")
	case open > 0:
		return fail("connections stay open")
	}
	return pass("all end")
}

func askPanic(s *subject) cell {
	witness := s.dial()
	if !echoes(witness) {
		return fail("no echo")
	}
	if err := send(s.dial(), []byte("panic")); err != nil {
		return fail("%v", err)
	}
	s.pause(delay)
	switch {
	case !s.alive():
		return fail("the process ends")
	case !echoes(witness), !echoes(s.dial()):
		return fail("no service any more")
	}
	return pass("that connection ends")
}

func askIdle(s *subject) cell {
	c := s.dial()
	if !echoes(c) {
		return fail("no echo")
	}
	if ended(c) {
		return pass("ends the connection")
	}
	if why, ok := s.said("deadline"); ok {
		return fail("%s", why)
	}
	return fail("nothing happens")
}

func askDial(s *subject) cell {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return cell{verdict: absent, text: "no IPv6 here"}
	}
	defer func() { _ = l.Close() }()
	if err := send(s.dial(), []byte(l.Addr().String())); err != nil {
		return fail("%v", err)
	}
	if why, ok := s.said("dialed"); !ok || why != "<nil>" {
		return fail("%s", cmp.Or(why, "nothing happens"))
	}
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		return fail("%v", err)
	}
	c, err := l.Accept()
	if err != nil {
		return fail("%v", err)
	}
	defer func() { _ = c.Close() }()
	if got := receive(c, len(greeting)); string(got) != greeting {
		return fail("says nothing")
	}
	return pass("connects")
}

func askStop(s *subject) cell {
	c := s.dial()
	if err := send(c, []byte("go")); err != nil {
		return fail("%v", err)
	}
	s.pause(lateStart)
	return arrived(receive(c, large), "")
}
