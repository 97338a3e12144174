package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// word is what a process of --procs writes: that it's ready, intervals as they end, and then
// the rest of a result or why there is none. A night's intervals in one word would be all of
// its JSON in memory.
type word struct {
	Ready    bool             `json:"ready,omitempty"`
	Interval *result.Interval `json:"interval,omitempty"`
	Began    time.Time        `json:"began"` // when the interval did
	Result   *result.Result   `json:"result,omitempty"`
	Error    string           `json:"error,omitempty"`
}

// order is what a process of --procs reads.
type order struct {
	Begin time.Time `json:"begin,omitzero"` // to send messages, at that time
	Stop  bool      `json:"stop,omitempty"` // sending any more, and report
}

// takePart leaves of a load what --part asks for.
func (c *runCommand) takePart(l *loadtest.Load) error {
	if c.Part == "" {
		return nil
	}
	var nth, of int
	if n, err := fmt.Sscanf(c.Part, "%d/%d", &nth, &of); n != 2 || err != nil || nth < 1 || nth > of {
		return fmt.Errorf("--part %q: want such as 1/4", c.Part)
	}
	whole := l.Connections
	l.Connections = share(l.Connections, nth, of)
	part := func(rate float64) float64 { return rate * float64(l.Connections) / float64(whole) }
	if l.Rate > 0 {
		l.Offset = time.Duration(float64(nth-1) / l.Rate * float64(time.Second))
	}
	l.Rate, l.ConnectRate = part(l.Rate), part(l.ConnectRate)
	l.Messages = share(l.Messages, nth, of)
	for kind, n := range l.Hostile {
		l.Hostile[kind] = share(n, nth, of)
	}
	l.Seed += uint32(nth)
	// The processes begin at different targets, and at different sources.
	for range nth - 1 {
		l.Targets = append(l.Targets[1:], l.Targets[0])
	}
	return nil
}

// share is the nth of so many parts of n, which are as equal as can be.
func share[N int | uint64](n N, nth, of int) N {
	each, left := n/N(of), n%N(of)
	if N(nth) <= left {
		each++
	}
	return each
}

// processes is how many make the load: none without a message to send.
func (c *runCommand) processes() int {
	if c.Messages > 0 && c.Messages < uint64(c.Procs) {
		return int(c.Messages)
	}
	return c.Procs
}

// runPart is a process of --procs. It does as the first process says, and ends with it.
func runPart(ctx context.Context, p process, l loadtest.Load) error {
	signal.Ignore(os.Interrupt) // which a terminal sends to all, while the first one decides
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	opening := make(chan time.Time, 1)
	go func() {
		for in := json.NewDecoder(p.stdin); ; {
			var o order
			switch err := in.Decode(&o); {
			case err != nil:
				os.Exit(exitFailure) // there's nobody any more to report to
			case o.Stop:
				cancel()
			default:
				opening <- o.Begin
			}
		}
	}()
	out := json.NewEncoder(p.stdout)
	l.Gate = func(ctx context.Context) time.Time {
		_ = out.Encode(word{Ready: true})
		select {
		case at := <-opening:
			return at
		case <-ctx.Done():
			return time.Time{}
		}
	}
	l.OnInterval = func(i result.Interval) { _ = out.Encode(word{Interval: &i, Began: time.Now().Add(-i.Length)}) }
	r, err := loadtest.Run(ctx, l)
	if err != nil {
		return out.Encode(word{Error: err.Error()})
	}
	r.Intervals = nil // each has been told
	return out.Encode(word{Result: r})
}

// runParts shares a load out to processes and merges what they have measured.
func runParts(ctx context.Context, p process, procs int, l loadtest.Load) (*result.Result, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	seed := l.Seed
	if seed == 0 {
		seed = rand.Uint32()
	}
	joint := newJoint(procs, l)
	results := make([]*result.Result, procs)
	var all sync.WaitGroup
	// They have the same load, so what one lacks all do; and what's left when one dies isn't
	// the load that was asked for. The first error is the cause of those after it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed sync.Once
	var first error
	for n := range procs {
		args := append([]string{}, p.args...)
		args = append(args, fmt.Sprintf("--part=%d/%d", n+1, procs), fmt.Sprintf("--seed=%d", seed))
		if !l.StartAt.IsZero() { // a time of day may be over by now
			args = append(args, "--start-at="+l.StartAt.Format(time.RFC3339Nano))
		}
		all.Go(func() {
			r, err := runChild(ctx, program, args, n, joint)
			if results[n] = r; err != nil {
				failed.Do(func() { first = err })
				cancel()
			}
		})
	}
	all.Wait()
	if first != nil {
		return nil, first
	}
	return result.Merge(results...)
}

// runChild is the life of one process.
func runChild(ctx context.Context, program string, args []string, nth int, j *joint) (*result.Result, error) {
	child := exec.Command(program, args...)
	if os.Getenv("GOMAXPROCS") == "" {
		child.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", max(1, runtime.GOMAXPROCS(0)/j.procs)))
	}
	var stderr strings.Builder
	child.Stderr = &stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	release := context.AfterFunc(ctx, func() { _ = json.NewEncoder(stdin).Encode(order{Stop: true}) })
	defer release()
	r, readErr := hear(stdout, stdin, nth, j)
	if err := child.Wait(); err != nil && (readErr == nil || errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF)) {
		readErr = fmt.Errorf("a process of --procs has ended early: %w", err)
	}
	if r == nil && stderr.Len() > 0 {
		readErr = errors.New(strings.TrimSpace(stderr.String()))
	}
	return r, readErr
}

// hear reads what a process says, to its end.
func hear(stdout io.Reader, stdin io.Writer, nth int, j *joint) (*result.Result, error) {
	defer j.end(nth)
	var intervals []result.Interval
	words := json.NewDecoder(stdout)
	for {
		var w word
		if err := words.Decode(&w); err != nil {
			return nil, fmt.Errorf("a process of --procs has ended early: %w", err)
		}
		switch {
		case w.Ready:
			j.ready(stdin)
		case w.Interval != nil:
			i := w.Interval.Compress()
			intervals = append(intervals, i)
			j.add(nth, w.Began, i)
		case w.Error != "":
			return nil, errors.New(w.Error)
		default:
			w.Result.Intervals = intervals
			return w.Result, nil
		}
	}
}
