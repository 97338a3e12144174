package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// Run implements the command.
func (c *runCommand) Run(ctx context.Context, p process) error {
	l, err := c.load()
	if err != nil {
		return &exit{exitUsage, err}
	}
	// Of the whole: a part would name numbers that nobody has given.
	if err := l.Check(); err != nil {
		return &exit{exitUsage, err}
	}
	objectives, err := c.objectives()
	if err != nil {
		return &exit{exitUsage, err}
	}
	if c.Part != "" {
		return runPart(ctx, p, l)
	}
	out, err := c.openFiles(p)
	if err != nil {
		return err
	}
	defer out.close()
	views, err := c.views(p, l)
	if err != nil {
		return err
	}
	defer views.close()
	if wait := time.Until(l.StartAt); wait > 0 && !c.Quiet {
		_, _ = fmt.Fprintf(p.stderr, "waiting until %s, for %s\n", l.StartAt.Local().Format(time.DateTime), wait.Round(time.Second))
	}
	l.OnInterval = views.interval

	r, err := c.measure(ctx, p, l)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped before it began")
		}
		return err
	}
	views.close()
	total := r.Total()
	for _, o := range objectives {
		r.Objectives = append(r.Objectives, o.Judge(total))
	}
	failed := out.write(r)
	if !out.onStandardOutput() {
		summarize(p.stdout, r, total)
	}
	if failed != nil {
		return failed
	}
	return judge(r, total)
}

// measure makes the load, in this process or in others.
func (c *runCommand) measure(ctx context.Context, p process, l loadtest.Load) (*result.Result, error) {
	var r *result.Result
	var err error
	if procs := c.processes(); procs > 1 {
		r, err = runParts(ctx, p, procs, l)
	} else {
		r, err = loadtest.Run(ctx, l)
	}
	if r != nil {
		r.Command = append([]string{"loadtest"}, p.args...)
	}
	return r, err
}

// judge makes an exit code of what was measured. Wrong bytes are wrong however busy the
// client was; times aren't.
func judge(r *result.Result, t result.Total) error {
	switch {
	case t.Faults() > 0:
		return &exit{exitFailure, fmt.Errorf("the server sent wrong bytes, %d times", t.Faults())}
	case t.Received == 0 && r.Stopped:
		return &exit{exitFailure, errors.New("stopped before there was a reply")}
	case t.Received == 0:
		return &exit{exitFailure, errors.New("there was no reply at all")}
	case !r.Valid():
		return &exit{exitSaturated, errors.New("the client was saturated, so this says nothing about the server")}
	}
	for _, v := range r.Objectives {
		if !v.Kept {
			return &exit{exitMissed, fmt.Errorf("missed: %s (it was %s)", v.Objective, v.Measured)}
		}
	}
	return nil
}

// views are those who watch a run.
type views struct {
	live    *live    // nil: nobody
	metrics *metrics // nil: nobody
}

func (c *runCommand) views(p process, l loadtest.Load) (*views, error) {
	v := &views{}
	if c.Metrics != "" {
		m, err := serveMetrics(c.Metrics)
		if err != nil {
			return nil, err
		}
		v.metrics = m
	}
	if !c.Quiet {
		v.live = newLive(p, l)
	}
	return v, nil
}

func (v *views) interval(i result.Interval) {
	if v.live != nil {
		v.live.interval(i)
	}
	if v.metrics != nil {
		v.metrics.interval(i)
	}
}

func (v *views) close() {
	if v.live != nil {
		v.live.close()
	}
	if v.metrics != nil {
		v.metrics.close()
	}
	*v = views{}
}
