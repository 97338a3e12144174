package main

import (
	"fmt"
	"io"
	"os"

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

func (all files) write(r *result.Result) error {
	for _, f := range all {
		if err := f.format(f.out, r); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if f.opened != nil {
			if err := f.opened.Close(); err != nil {
				return err
			}
			f.opened = nil
		}
	}
	return nil
}

// close closes what wasn't written.
func (all files) close() {
	for _, f := range all {
		if f.opened != nil {
			f.opened.Close()
		}
	}
}
