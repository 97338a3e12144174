package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is the program as it runs.
type program struct {
	t       *testing.T
	network string
	address string
	reasons chan string // of the connections' ends
}

// start runs the program until the test ends.
func start(t *testing.T, network, slow string) *program {
	t.Helper()
	p := &program{t: t, network: network, reasons: make(chan string, 100)}
	addresses := make(chan string, 1)
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case "address":
				addresses <- a.Value.String()
			case "reason":
				p.reasons <- a.Value.String()
			}
			return a
		},
	}))
	listen := "tcp://127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "chat") //nolint:usetesting // t.TempDir is too long a path for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		listen = "unix://" + filepath.Join(dir, "s")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, log, listen, slow) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	p.address = <-addresses
	return p
}

// client is somebody at the other end.
type client struct {
	t *testing.T
	net.Conn
	lines  *bufio.Scanner
	aside  string // a line that next counts and passes over
	asides int
}

func (p *program) dial() *client {
	p.t.Helper()
	c, err := net.Dial(p.network, p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return &client{t: p.t, Conn: c, lines: bufio.NewScanner(c)}
}

// join gives a name, which those hear who are there.
func (p *program) join(name string, there ...*client) *client {
	p.t.Helper()
	c := p.dial()
	c.say(name)
	c.want("* your name?", "* welcome, "+name)
	for _, other := range there {
		other.want("* " + name + " has joined")
	}
	return c
}

func (c *client) say(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(lines, "\n")+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// next is a line, or "" at the end.
func (c *client) next() string {
	for c.lines.Scan() && c.lines.Text() == c.aside {
		c.asides++
	}
	return c.lines.Text()
}

func (c *client) want(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if got := c.next(); got != line {
			c.t.Fatalf("got %.60q (%v), want %.60q", got, c.lines.Err(), line)
		}
	}
}

// Names, joining, leaving, and who hears what.
func TestChat(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := start(t, network, "drop")
			ann := p.join("ann")
			bob := p.join("bob", ann)
			ann.say("hello", "how are you?")
			bob.want("ann: hello", "ann: how are you?")

			again := p.dial() // hears nothing without a name
			again.say("ann", "", "a name of more than twenty letters", " cy ", "it's me")
			const refused = "* that name is taken, too long, or none: another?"
			again.want("* your name?", refused, refused, refused, "* welcome, cy")
			ann.want("* cy has joined", "cy: it's me")
			bob.want("* cy has joined", "cy: it's me")

			bob.say("bye")
			_ = bob.Conn.(interface{ CloseWrite() error }).CloseWrite()
			ann.want("bob: bye", "* bob has left: peer_closed")
			again.want("bob: bye", "* bob has left: peer_closed")
			if last := bob.next(); last != "" {
				t.Errorf("after his end bob got %q", last)
			}
		})
	}
}

// A line that's too long ends whoever sent it, and nobody else.
func TestTooLong(t *testing.T) {
	p := start(t, "tcp", "drop")
	ann := p.join("ann")
	bob := p.join("bob", ann)
	bob.say(strings.Repeat("x", maxLine+1))
	ann.want("* bob has left: local_abort")
}

// flood is what ann says in the tests below: more than the sockets and a member's output
// have room for.
const (
	floodLines = 3000
	floodBatch = 20
)

func floodLine(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", 500)) }

// flood has ann say it, and all others hear it, line by line. Each batch is heard by all of
// them before the next, so that none of them is slow, on however busy a machine.
func flood(ann *client, others ...*client) {
	ann.t.Helper()
	for i := 0; i < floodLines; i += floodBatch {
		var batch []string
		for k := range floodBatch {
			batch = append(batch, floodLine(i+k))
		}
		ann.say(batch...)
		for _, c := range others {
			for _, line := range batch {
				c.want("ann: " + line)
			}
		}
	}
}

// -slow=drop: one who reads nothing misses what there's no room for. Once he reads he gets
// the lines from before, in order, where some are missing how many, and then each line
// again. The others get all of them.
func TestSlowIsDropped(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := start(t, network, "drop")
			ann := p.join("ann")
			bob := p.join("bob", ann)
			slow := p.join("slow", ann, bob)
			cy := p.join("cy", ann, bob, slow)
			flood(ann, bob, cy)

			// There may be several gaps: the kernel can find some more room meanwhile.
			got, missed := 0, 0
			for got+missed < floodLines {
				line, gap := slow.next(), 0
				if line == "ann: "+floodLine(got+missed) {
					got++
				} else if _, err := fmt.Sscanf(line, "* you missed %d lines", &gap); err == nil && gap > 0 {
					missed += gap
				} else {
					t.Fatalf("after %d lines, and %d missed: %.60q, %v", got, missed, line, slow.lines.Err())
				}
			}
			if got == 0 || missed == 0 || got+missed != floodLines {
				t.Errorf("%d lines came and %d were missed, of %d", got, missed, floodLines)
			}
			t.Logf("%d lines came and %d were missed", got, missed)
			ann.say("still there?")
			slow.want("ann: still there?")
			slow.say("yes")
			for _, c := range []*client{ann, bob, cy} {
				if c != ann {
					c.want("ann: still there?")
				}
				c.want("slow: yes")
			}
		})
	}
}

// -slow=disconnect: one who reads nothing is out, which the others hear between two lines.
func TestSlowIsDisconnected(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := start(t, network, "disconnect")
			ann := p.join("ann")
			bob := p.join("bob", ann)
			slow := p.join("slow", ann, bob)

			const left = "* slow has left: too slow"
			bob.aside = left // sooner or later
			flood(ann, bob)
			ann.want(left)
			if got := <-p.reasons; got != "too slow" {
				t.Errorf("the log says %q", got)
			}
			ann.say("over")
			bob.want("ann: over")
			if bob.asides != 1 {
				t.Errorf("bob heard %d times that somebody has left", bob.asides)
			}
			for n := 0; slow.next() != ""; n++ {
				if n > floodLines {
					t.Fatal("there's no end to it")
				}
			}
		})
	}
}

func TestBadFlags(t *testing.T) {
	for _, flags := range [][2]string{{"nowhere", "drop"}, {"tcp://127.0.0.1:99999", "drop"}, {"tcp://127.0.0.1:0", "wait"}} {
		if run(t.Context(), slog.New(slog.DiscardHandler), flags[0], flags[1]) == nil {
			t.Errorf("%q: no error", flags)
		}
	}
}
