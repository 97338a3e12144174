package sim_test

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
)

// oob and the bytes above it are sent out of band, and never otherwise.
const oob = 0xf0

// client is a peer of the program: it sends a pattern, and checks the records that come
// back.
type client struct {
	*sim.Peer
	p    *program
	w    *sim.World
	name string
	to   sys.Addr
	from sys.Addr // what the program sees of it
	life *life    // at the program's end, once established

	// What it's going to do.
	total   int // bytes to send
	chunk   int
	window  int // bytes that can be under way
	reads   int // how: see Step
	finish  ending
	after   int           // steps until it ends without need
	rest    int           // steps until it pauses
	pause   time.Duration // for how long
	oobs    int           // bytes to send out of band
	pattern func(int) byte

	refused bool // nobody listened
	sent    int
	finSent bool
	until   time.Duration // when its pause is over
	broken  bool          // the connection has ended otherwise than it should
	reset   bool          // it was told of a reset
	guilty  bool          // … and it, or the network, has brought that about
	heard   bool          // the program's end of the stream has come
	parser  parser
	records [maxWriters]int
	echoed  int
}

type ending uint8

const (
	endsFirst  ending = iota // ends its side, then reads to the end
	endsSecond               // waits for the program's end
	resets
	closes
	fails
	endings
)

const (
	readsAll = iota
	readsSlowly
	readsNothing
	readings
)

func newClient(p *program, name string, to sys.Addr) *client {
	w := p.w
	c := &client{
		p: p, w: w, name: name, to: to, from: sys.Addr{Path: "@" + name},
		window: pick(w, 1, 50, 3000, 100_000), chunk: 1 + pick(w, 0, 10, 2000),
		after: w.IntN(60), oobs: pick(w, 0, 0, 3),
		rest: w.IntN(30), pause: pick(w, 0, 0, 500*time.Millisecond, 3*time.Second),
	}
	// So much that it has to wait a few times, not a thousand.
	c.total = min(pick(w, 0, 1, 100, 3000, 9000), 40*min(c.window, c.chunk))
	salt := w.IntN(200)
	c.pattern = func(at int) byte { return byte((at*31 + at>>8*7 + salt) % oob) }
	c.parser.c = c
	c.finish = pick(w, endsFirst, endsFirst, ending(w.IntN(int(endings))))
	c.reads = pick(w, readsAll, w.IntN(readings))
	return c
}

// Ready implements sim.Actor.
func (c *client) Ready() bool {
	switch {
	case c.Peer == nil:
		return !c.refused
	case c.Done() || c.w.Now() < c.until:
		return false
	case c.sent < c.total && c.Room() > 0, c.sent == c.total && c.finish == endsFirst && !c.finSent:
		return true
	case c.finish >= resets:
		return true
	default:
		return c.reads != readsNothing && c.Readable()
	}
}

// Until implements sim.Sleeper.
func (c *client) Until() time.Duration { return c.until }

// Step implements sim.Actor.
func (c *client) Step() {
	if c.Peer == nil {
		peer, err := c.w.ConnectFrom(c.from, c.name, c.to, c.window, c.window/pick(c.w, 1, 1, 10)+1)
		c.Peer, c.refused = peer, err != nil
		return
	}
	if c.rest--; c.rest == 0 {
		c.until = c.w.Now() + c.pause
		return
	}
	if c.finish >= resets {
		if c.after--; c.after < 0 {
			c.end()
			return
		}
	}
	switch what := c.w.IntN(10); {
	case what < 4 && c.sent < c.total:
		c.send()
	case what == 4 && c.oobs > 0 && !c.finSent && c.Room() > 0:
		c.oobs--
		_ = c.SendOOB(byte(oob + c.w.IntN(16)))
	case what < 9 && c.reads != readsNothing && c.Readable():
		c.recv()
	case c.sent == c.total && c.finish == endsFirst && !c.finSent:
		c.finSent = true
		c.CloseWrite()
	}
}

func (c *client) send() {
	p := make([]byte, min(1+c.w.IntN(c.chunk), c.total-c.sent))
	for i := range p {
		p[i] = c.pattern(c.sent + i)
	}
	n, errno := c.Send(p)
	c.sent += n
	if errno != 0 && errno != unix.EAGAIN {
		c.lost()
	}
}

func (c *client) recv() {
	size := max(c.Unread(), 1)
	if c.reads == readsSlowly {
		size = min(size, 1+c.w.IntN(20))
	}
	p := make([]byte, size)
	if b, ok := c.RecvOOB(); ok && b < oob {
		c.w.Failf("%s: %d came out of band", c.name, b)
	}
	n, errno := c.Recv(p)
	switch {
	case errno == unix.EAGAIN:
	case errno != 0:
		c.lost()
	case n == 0:
		c.heard = true
		if c.sent < c.total {
			c.total = c.sent // nobody listens
		}
		c.Close()
	default:
		for _, b := range p[:n] {
			if b < oob {
				c.parser.take(b)
			}
		}
	}
}

// lost notes that the connection is no more.
func (c *client) lost() {
	c.broken, c.reset = true, true
	c.Close()
}

// end ends it in another way than a good client does.
func (c *client) end() {
	c.broken, c.guilty = true, true
	switch c.finish {
	case resets:
		c.Reset()
	case closes:
		c.Close()
	case fails:
		c.Fail(pick(c.w, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ECONNRESET))
	case endsFirst, endsSecond, endings:
	}
	c.finish = endsSecond
}

// heardAll: all that the program sent has come, if it says so.
func (c *client) heardAll() bool { return c.heard && !c.broken }

// A record is a writer, its number, the payload's length and the payload. Digits are
// below 200, so that no byte is one that's sent out of band.
const digits = 200

func header(writer byte, number, length int) []byte {
	return []byte{writer, byte(number / digits % digits), byte(number % digits), byte(length / digits), byte(length % digits)}
}

// payload is what a worker writes.
func payload(writer byte, number, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((int(writer)*17 + number*5 + i) % oob)
	}
	return p
}

// parser checks records, byte by byte.
type parser struct {
	c    *client
	head []byte
	at   int // in the payload
}

func (r *parser) take(b byte) {
	c := r.c
	if len(r.head) < 5 {
		r.head = append(r.head, b)
		if len(r.head) < 5 {
			return
		}
		writer, number := r.head[0], int(r.head[1])*digits+int(r.head[2])
		if int(writer) >= maxWriters || number != c.records[writer] {
			c.w.Failf("%s: record %d of writer %d has come, want %d", c.name, number, writer, c.records[min(writer, maxWriters-1)])
		}
	} else {
		writer, number := r.head[0], int(r.head[1])*digits+int(r.head[2])
		want := byte((int(writer)*17 + number*5 + r.at) % oob)
		if writer == 0 {
			want = c.pattern(c.echoed)
			c.echoed++
		}
		if b != want {
			c.w.Failf("%s: byte %d of record %d of writer %d is %d, want %d", c.name, r.at, number, writer, b, want)
		}
		r.at++
	}
	if r.at == int(r.head[3])*digits+int(r.head[4]) {
		c.records[min(r.head[0], maxWriters-1)]++
		r.head, r.at = r.head[:0], 0
	}
}
