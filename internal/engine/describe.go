package engine

import (
	"fmt"
	"strings"
)

// Describe tells in one line what a connection is doing and waiting for: for whoever has
// to find out why it doesn't get on. Any goroutine may ask.
func (c *Conn) Describe() string {
	c.mu.Lock()
	defer c.unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%v, reason %v, %d references; %v", c.state, c.reason, c.refs.Load(), c.flags)
	reads, posts, done := 0, 0, 0
	if c.read.kind != readNone {
		reads = 1
	}
	if x := c.ext; x != nil {
		reads += len(x.reads)
		posts, done = len(x.posts), x.done.Segments()
	}
	fmt.Fprintf(&b, "; %d reads (of %d) waiting, %d posts, %d completions; output %d bytes in %d pieces",
		reads, c.read.need, posts, done, c.out.Len(), c.out.Segments())
	if x := c.ext; x != nil && x.waitsFor != nil {
		fmt.Fprintf(&b, "; reads wait for connection %d, high %t", x.waitsFor.of.id, x.waitsFor.high.Load())
	}
	if x := c.ext; x != nil && x.gate != nil {
		fmt.Fprintf(&b, "; %d wait for its output, high %t", len(x.gate.watchers), x.gate.high.Load())
	}
	fmt.Fprintf(&b, "; to do: %v", c.nextLocked())
	return b.String()
}

// flagNames are the flags' names, from the lowest bit.
var flagNames = [...]string{
	"readable", "writable", "hadPri", "hadHup", "errDue", "oobDue",
	"eof", "eofTold", "finWanted", "finSent", "probed",
	"dispatching", "connectDue", "kicked", "posted", "hearFirst",
	"inbound", "starting", "established", "inRead", "gated", "blocked", "refused", "readFailed", "writeFailed", "aborted",
	"idleTimed", "writeTimed", "lastTry", "lingerTimed", "readTimed", "moved",
}

func (f flags) String() string {
	var set []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, " ")
}

var workNames = [...]string{
	"nothing", "open", "connect", "ask for the error", "posts", "out-of-band byte", "tell of a write", "upgrade", "tell of an upgrade", "session",
	"establish", "flush", "read", "tell of a canceled read", "expire a read", "cut a read", "tell of the end", "probe", "discard", "send the end",
	"tell that it's blocked", "tell that it's ready", "ungate", "unhold", "arm", "timers", "shut down", "close",
	"tell of the close", "release",
}

var _ = [1]struct{}{}[len(workNames)-int(doRelease)-1]

func (w work) String() string { return workNames[w] }
