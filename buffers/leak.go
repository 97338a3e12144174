package buffers

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Level says how many Buffers the leak detector follows.
type Level uint8

// Which Buffers are followed.
const (
	LeaksOff     Level = iota // none
	LeaksSampled              // one of 64: cheap enough for production
	LeaksAll                  // each
)

func (l Level) String() string {
	switch l {
	case LeaksOff:
		return "off"
	case LeaksSampled:
		return "sampled"
	case LeaksAll:
		return "all"
	default:
		return "invalid"
	}
}

// sampleRate is a power of two.
const sampleRate = 64

// LeakReport says where memory comes from that hasn't been released.
type LeakReport struct {
	Size  int    // bytes
	Stack string // the calls that led to its allocation, innermost first
}

// Leaks returns the followed blocks that are outstanding now, oldest first: for
// tests, and at the end of a program. Blocks that were garbage collected are no
// longer among them; Stats.Leaked has their number.
func (a *Allocator) Leaks() []LeakReport {
	a.tracker.mu.Lock()
	all := make([]*allocation, 0, len(a.tracker.live))
	for t := range a.tracker.live {
		all = append(all, t)
	}
	a.tracker.mu.Unlock()
	slices.SortFunc(all, func(x, y *allocation) int { return cmp.Compare(x.seq, y.seq) })
	reports := make([]LeakReport, len(all))
	for i, t := range all {
		reports[i] = t.report()
	}
	return reports
}

// tracker knows the blocks that are followed and outstanding.
type tracker struct {
	sample atomic.Uint64

	mu   sync.Mutex
	seq  uint64
	live map[*allocation]struct{}
}

// allocation is the record of one followed block. It doesn't point to the block,
// which could otherwise never become garbage.
type allocation struct {
	seq     uint64
	size    atomic.Int64
	stack   stack
	cleanup runtime.Cleanup
}

func (t *allocation) report() LeakReport {
	return LeakReport{Size: int(t.size.Load()), Stack: t.stack.String()}
}

// follow is called for a block that was just taken from the shared pools.
func (a *Allocator) follow(blk *block) {
	switch a.leaks {
	case LeaksOff:
	case LeaksSampled:
		if a.tracker.sample.Add(1)%sampleRate == 0 {
			a.trace(blk)
		}
	case LeaksAll:
		a.trace(blk)
	}
}

// follow is called for a block that was just taken from k.
func (k *Cache) follow(blk *block) {
	if k.a.leaks == LeaksAll || k.gets%sampleRate == 0 {
		k.a.trace(blk)
	}
}

// trace records where blk was taken.
func (a *Allocator) trace(blk *block) {
	t := &allocation{stack: callers()}
	t.size.Store(int64(len(blk.mem)))
	t.cleanup = runtime.AddCleanup(blk, a.collected, t)
	blk.trace = t
	a.tracker.mu.Lock()
	defer a.tracker.mu.Unlock()
	if a.tracker.live == nil {
		a.tracker.live = make(map[*allocation]struct{})
	}
	a.tracker.seq++
	t.seq = a.tracker.seq
	a.tracker.live[t] = struct{}{}
}

// unfollow ends the record of a block that was released.
func (a *Allocator) unfollow(blk *block) {
	t := blk.trace
	blk.trace = nil
	t.cleanup.Stop()
	a.tracker.forget(t)
}

// collected is called by the runtime when a followed block was garbage collected.
func (a *Allocator) collected(t *allocation) {
	a.tracker.forget(t)
	a.leaked.Add(1)
	if a.onLeak != nil {
		a.onLeak(t.report())
	}
}

func (t *tracker) forget(x *allocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, x)
}

// stack is a call stack, innermost first.
type stack []uintptr

const maxFrames = 16

// callers is the stack of whoever called this package.
func callers() stack {
	var pcs [maxFrames + 4]uintptr
	return slices.Clone(pcs[:runtime.Callers(2, pcs[:])])
}

// ownPrefix begins the names of this package's functions.
var ownPrefix = func() string {
	pc, _, _, _ := runtime.Caller(0)
	name := runtime.FuncForPC(pc).Name()
	slash := strings.LastIndexByte(name, '/')
	return name[:slash+1+strings.IndexByte(name[slash+1:], '.')+1]
}()

// String has one line for each frame, without those of this package at the top.
func (s stack) String() string {
	var text strings.Builder
	frames := runtime.CallersFrames(s)
	for n := 0; n < maxFrames; {
		f, more := frames.Next()
		if n > 0 || !strings.HasPrefix(f.Function, ownPrefix) {
			fmt.Fprintf(&text, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
			n++
		}
		if !more {
			break
		}
	}
	return text.String()
}
