package sim_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sim"
	"github.com/sluice-net/sluice/internal/sys"
	"github.com/sluice-net/sluice/server"
)

// storySeeds is how many interleavings each story must hold in.
const storySeeds = 20

// story is a script: the life of one or several connections, with the callbacks that
// come. Of its lines,
//
//	# … (the first) names the row that the story proves,
//	> … is a callback that the action before it leads to: all of them are listed, in
//	    order for each connection, and for the server; "..." stands for what's left open,
//	>~ … is the same, but those that follow each other may come in any order,
//	A & B are two actions, and what A leads to isn't waited for,
//	A -> E is an action that's answered by the error E,
//	inside OnX a: A has an action done by that callback, the next time it comes,
//
// and the rest are the actions of newActs. After each the world goes on until nothing more
// happens unless time passes. The server does what it's told to and no more. It takes a
// reference in OnConnectionEstablished, which goes in OnConnectionClosed.
type story struct {
	file  string
	first int // line
	lines []string
}

func (s story) title() string { return strings.TrimPrefix(s.lines[0], "# ") }

// stories reads all scripts. A file holds several, with "---" between them.
func stories(t *testing.T) (all []story) {
	t.Helper()
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := story{file: file, first: 1}
		lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		for i, line := range append(lines, "---") {
			if line != "---" {
				s.lines = append(s.lines, line)
				continue
			}
			all = append(all, s)
			s = story{file: file, first: i + 2}
		}
	}
	return all
}

// Each story's first line names the row that it proves.
func TestStories(t *testing.T) {
	acts := newActs()
	for _, s := range stories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(s.file), ".txt")+"/"+s.title(), func(t *testing.T) {
			for seed := range uint64(storySeeds) {
				if !s.told(t, acts, seed) {
					return
				}
			}
		})
	}
}

// told runs a story, and if it fails once more, for the trace.
func (s story) told(t *testing.T, acts []act, seed uint64) bool {
	t.Helper()
	var p *teller
	tell := func(w *sim.World) {
		p = newTeller(w, s, acts)
		p.run()
	}
	sim.OnWedged = func(report *strings.Builder) {
		fmt.Fprintf(report, "seed %d of this story:\n%s", seed, s.marked(p.at))
	}
	r := sim.Run(t, sim.Seed(seed), false, tell)
	if r.Failure == "" {
		return true
	}
	at := p.at
	again := sim.Run(t, sim.Seed(seed), true, tell)
	if again.Failure != r.Failure {
		t.Errorf("seed %d: not the same the second time: %s", seed, again.Failure)
	}
	t.Errorf("%s:%d: seed %d: %s\n\n%s\n%s", s.file, s.first+at, seed, r.Failure, s.marked(at), strings.Join(again.Trace, "\n"))
	return false
}

// marked is the story with the point that it has come to.
func (s story) marked(at int) string {
	var b strings.Builder
	for i, line := range s.lines {
		mark := "  "
		if i == at {
			mark = "=>"
		}
		fmt.Fprintf(&b, "%s %4d  %s\n", mark, s.first+i, line)
	}
	return b.String()
}

// callback finds the expected callbacks of a script.
var callback = regexp.MustCompile(`(?m)^>~? (On\w+)`)

// unreached are the callbacks that no story can come to, and why.
var unreached = map[string]string{
	"embedsBaseCallback":         "it's never called",
	"OnPreOutgoingConnect":       "stories are about connections that come in; the seeds have those that go out",
	"OnOutgoingConnectionFailed": "the same",
}

// Each of the server's callbacks comes in a story.
func TestStoriesReachEveryCallback(t *testing.T) {
	come := map[string]bool{}
	for _, s := range stories(t) {
		for _, m := range callback.FindAllStringSubmatch(strings.Join(s.lines, "\n"), -1) {
			come[m[1]] = true
		}
	}
	for _, set := range []reflect.Type{reflect.TypeFor[server.Callback](), reflect.TypeFor[server.WriteCallback]()} {
		for m := range set.Methods() {
			if come[m.Name] == (unreached[m.Name] != "") {
				t.Errorf("%s: in a story %t, can't be %q", m.Name, come[m.Name], unreached[m.Name])
			}
		}
	}
}

// faults.md: TCP states: in each FIN, RST, stall, simultaneous close.
func TestStoriesReachEveryState(t *testing.T) {
	var titles []string
	for _, s := range stories(t) {
		if !regexp.MustCompile(`^# (seed-contract \d|DESIGN|faults\.md), .*: `).MatchString(s.lines[0]) {
			t.Errorf("%s:%d: the first line doesn't name a row", s.file, s.first)
		}
		titles = append(titles, s.title())
	}
	for _, state := range []string{
		"connected", "reading", "writing", "paused", "half-closed by the peer", "half-closed by us", "draining", "closing",
	} {
		for _, fault := range []string{"FIN", "RST", "simultaneous close", "stall"} {
			row := fmt.Sprintf("faults.md, TCP states, %s, %s: ", state, fault)
			if !slices.ContainsFunc(titles, func(title string) bool { return strings.HasPrefix(title, row) }) {
				t.Errorf("no story of %s", row)
			}
		}
	}
}

// teller carries a story out, and hears the callbacks.
type teller struct {
	server.BaseCallback

	// Fixed when the story begins to listen.
	w          *sim.World
	story      story
	acts       []act
	alloc      *buffers.Allocator
	mux        *engine.Mux
	srv        *server.Server
	to         sys.Addr
	everything bool // callbacks that come in each story are listed too
	unheld     bool // OnConnectionEstablished takes no reference

	// How far it has come.
	at       int // line
	peers    map[string]*sim.Peer
	secured  map[string]*tls.Conn // … that have shaken hands
	conns    map[string]*conn.Stream
	names    map[uint64]string
	creating map[uintptr]string  // by loop
	held     map[string]int      // references that the story holds
	lent     map[string]bool     // … and the one that goes in OnConnectionClosed
	inside   map[string][]string // what callbacks are to do
	answer   bool                // of the callback that asks
	heard    []heard
	open     int  // connections that weren't released
	stopping bool // Shutdown was called
	stopped  bool // … and has returned
	complete bool // OnShutdownComplete came
}

// heard is a callback. Those with the same who are in order.
type heard struct{ who, text string }

func newTeller(w *sim.World, s story, acts []act) *teller {
	w.Faults = sim.Faults{Switch: pick(w, 50, 200, 500)}
	return &teller{
		w: w, story: s, acts: acts, alloc: buffers.New(buffers.Config{Debug: true}),
		peers: map[string]*sim.Peer{}, secured: map[string]*tls.Conn{}, conns: map[string]*conn.Stream{}, names: map[uint64]string{},
		creating: map[uintptr]string{}, held: map[string]int{}, lent: map[string]bool{}, inside: map[string][]string{},
	}
}

// run is the whole story.
func (p *teller) run() {
	for i := 0; i < len(p.story.lines) && !p.w.Failed(); {
		p.at = i
		line := p.story.lines[i]
		var want []string
		for i++; i < len(p.story.lines); i++ {
			next := p.story.lines[i]
			if !strings.HasPrefix(next, ">") {
				break
			}
			want = append(want, next)
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p.w.Note("STORY", "%s", line)
		for act := range strings.SplitSeq(line, " & ") {
			p.do(act)
		}
		p.w.Quiet()
		p.compare(want)
	}
	if p.mux == nil {
		p.w.Failf("a story that doesn't listen")
		return
	}
	if !p.w.Failed() {
		p.checkEnd()
	}
	p.end()
}

// do carries an action out.
func (p *teller) do(line string) {
	if left, right, found := strings.Cut(line, ": "); found && strings.HasPrefix(left, "inside ") {
		key := left[len("inside "):]
		p.inside[key] = append(p.inside[key], right)
		return
	}
	act, want, _ := strings.Cut(line, " -> ")
	for _, a := range p.acts {
		if m := a.form.FindStringSubmatch(act); m != nil {
			if got := nameOf(a.do(p, m[1:])); got != want {
				p.w.Failf("%s: the answer is %q, want %q", act, got, want)
			}
			return
		}
	}
	p.w.Failf("no action has the form of %q", line)
}

// compare checks that the callbacks that came are those that the story has.
func (p *teller) compare(lines []string) {
	got := p.heard
	p.heard = nil
	byWho := map[string]*chapter{}
	of := func(who string) *chapter {
		if byWho[who] == nil {
			byWho[who] = &chapter{}
		}
		return byWho[who]
	}
	for _, line := range lines {
		mark, text, _ := strings.Cut(line, " ")
		text = quoted.ReplaceAllStringFunc(text, func(q string) string { return show(bytesOf(q)) })
		who := ""
		if words := strings.Fields(text); len(words) > 1 && p.peers[words[1]] != nil {
			who = words[1]
		}
		c := of(who)
		c.want, c.loose = append(c.want, text), append(c.loose, mark == ">~")
	}
	for _, h := range got {
		c := of(h.who)
		c.got = append(c.got, h.text)
	}
	for _, who := range slices.Sorted(maps.Keys(byWho)) {
		c := byWho[who]
		c.order()
		if !slices.EqualFunc(c.want, c.got, matches) {
			p.w.Failf("callbacks:\n%s", c.diff())
		}
	}
}

// chapter is the callbacks after an action, of one connection or of the server.
type chapter struct {
	want, got []string
	loose     []bool // of want: its place among its loose neighbours is open
}

// order brings those that may come in any order into the story's.
func (c *chapter) order() {
	for i := range min(len(c.want), len(c.got)) {
		for j := i; j < min(len(c.want), len(c.got)) && c.loose[i] && c.loose[j]; j++ {
			if matches(c.want[i], c.got[j]) {
				c.got[i], c.got[j] = c.got[j], c.got[i]
				break
			}
		}
	}
}

// matches compares a callback with what a story has: "..." stands for anything.
func matches(want, got string) bool {
	form := strings.ReplaceAll(regexp.QuoteMeta(want), `\.\.\.`, ".*")
	return regexp.MustCompile("^" + form + "$").MatchString(got)
}

// diff has a minus before what was expected and didn't come, and a plus before what
// came instead.
func (c *chapter) diff() string {
	want, got := c.want, c.got
	var before, after []string
	for len(want) > 0 && len(got) > 0 && matches(want[0], got[0]) {
		before = append(before, "    "+got[0])
		want, got = want[1:], got[1:]
	}
	for len(want) > 0 && len(got) > 0 && matches(want[len(want)-1], got[len(got)-1]) {
		after = append([]string{"    " + got[len(got)-1]}, after...)
		want, got = want[:len(want)-1], got[:len(got)-1]
	}
	for _, l := range want {
		before = append(before, "  - "+l)
	}
	for _, l := range got {
		before = append(before, "  + "+l)
	}
	return strings.Join(append(before, after...), "\n")
}

// checkEnd is about what must be true of any story when it's over.
func (p *teller) checkEnd() {
	for name := range p.conns {
		if p.held[name] > 0 {
			p.w.Failf("at its end the story holds %s", name)
		}
	}
	for key := range p.inside {
		p.w.Failf("at its end the story still waits for %s", key)
	}
	switch {
	case p.open > 0:
		p.w.Failf("at its end the story has %d connections that weren't released", p.open)
	case p.stopping && !p.stopped:
		p.w.Failf("at its end the story's Shutdown hasn't returned")
	}
}

// end ends a story, also one that has failed.
func (p *teller) end() {
	p.inside = map[string][]string{}
	p.w.Kernel.Limit = 0
	if p.w.Failed() {
		p.srv.AbortAllConnections()
		for name, n := range p.held {
			for range n {
				p.conns[name].Release()
			}
		}
	}
	if !p.stopping {
		p.stop(context.Background(), func() {})
	}
	p.w.Wait("Shutdown", func() bool { return p.stopped })
	if err := p.mux.Terminate(); err != nil {
		p.w.Failf("Terminate: %v", err)
	}
	for _, peer := range p.peers {
		peer.Close()
	}
	if fds := p.w.Kernel.Open(); len(fds) > 0 {
		p.w.Failf("descriptors %v are still open", fds)
	}
	if s := p.alloc.Stats(); s.Outstanding != 0 || s.InUse != 0 || s.Misuses != 0 {
		p.w.Failf("%d buffers with %d bytes weren't given back; %d misuses", s.Outstanding, s.InUse, s.Misuses)
	}
}

func (p *teller) stop(ctx context.Context, cancel func()) {
	p.stopping = true
	p.w.Spawn("Shutdown", func() {
		defer cancel()
		err := p.srv.Shutdown(ctx)
		p.w.Yield()
		p.hear("", "Shutdown returned", nameOf(err))
		p.stopped = true
	})
}
