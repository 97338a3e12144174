package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sluice-net/sluice/loadtest/result"
)

// mergeCommand is loadtest merge.
type mergeCommand struct {
	Files []string `arg:"" name:"file" help:"Results in JSON, of loads that were made together."`

	JSON string `name:"json" help:"Write the sum; - is standard output." placeholder:"FILE"`
	CSV  string `name:"csv" help:"Write a row for each interval." placeholder:"FILE"`
	HDR  string `name:"hdr" help:"Write an HdrHistogram interval log." placeholder:"FILE"`
	HTML string `name:"html" help:"Write a report with charts, as one file for a browser." placeholder:"FILE"`

	SLO []string `name:"slo" sep:"none" help:"Objectives, as of run." placeholder:"LIST"`
}

// Run implements the command.
func (c *mergeCommand) Run(p process) error {
	settings := runCommand{JSON: c.JSON, CSV: c.CSV, HDR: c.HDR, HTML: c.HTML, SLO: c.SLO}
	objectives, err := settings.objectives()
	if err != nil {
		return &exit{exitUsage, err}
	}
	var parts []*result.Result
	for _, name := range c.Files {
		r, err := readResult(name)
		if err != nil {
			return err
		}
		parts = append(parts, r)
	}
	r, err := result.Merge(parts...)
	if misfit := new(result.Misfit); errors.As(err, &misfit) {
		return fmt.Errorf("%s: %s", c.Files[misfit.Part], misfit.Reason)
	}
	if err != nil {
		return err
	}
	total := r.Total()
	for _, o := range objectives {
		r.Objectives = append(r.Objectives, o.Judge(total))
	}
	// Only now: one of the parts may be what is written to.
	out, err := settings.openFiles(p)
	if err != nil {
		return err
	}
	defer out.close()
	failed := out.write(r)
	if !out.onStandardOutput() {
		summarize(p.stdout, r, total)
	}
	if failed != nil {
		return failed
	}
	return judge(r, total)
}

func readResult(name string) (*result.Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := result.Read(bufio.NewReader(f))
	if named := new(fs.PathError); errors.As(err, &named) {
		return nil, err // such as of a folder
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}
