package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sluice-net/sluice/loadtest/report"
	"github.com/sluice-net/sluice/loadtest/result"
)

// files are what a result is written to. They're made before the run: after an hour's load
// it's too late to learn that a folder is missing.
type files []*file

type file struct {
	name   string
	out    io.Writer
	opened *os.File // nil: standard output
	format func(io.Writer, *result.Result) error
}

func (c *runCommand) createFiles(p process) (files, error) {
	var all files
	for _, f := range []*file{
		{name: c.JSON, format: result.Write},
		{name: c.CSV, format: result.WriteCSV},
		{name: c.HDR, format: result.WriteHDRLog},
		{name: c.HTML, format: report.Write},
	} {
		if f.name == "" {
			continue
		}
		if err := f.create(p); err != nil {
			all.close()
			return nil, &exit{exitUsage, err}
		}
		all = append(all, f)
	}
	return all, nil
}

func (f *file) create(p process) error {
	if f.name == "-" {
		f.out = p.stdout
		return nil
	}
	made, err := os.Create(f.name)
	f.out, f.opened = made, made
	return err
}

// write writes all that can be: what one lacks the others may have.
func (all files) write(r *result.Result) error {
	var errs []error
	for _, f := range all {
		if err := f.write(r); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.name, err))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &exit{exitUsage, errors.Join(errs...)}
}

func (f *file) write(r *result.Result) error {
	err := f.format(f.out, r)
	if f.opened != nil {
		err = errors.Join(err, f.opened.Close())
		f.opened = nil
	}
	return err
}

// onStandardOutput reports whether one of them is, so that nothing else may be there.
func (all files) onStandardOutput() bool {
	return slices.ContainsFunc(all, func(f *file) bool { return f.name == "-" })
}

// close closes what wasn't written.
func (all files) close() {
	for _, f := range all {
		if f.opened != nil {
			f.opened.Close()
		}
	}
}
