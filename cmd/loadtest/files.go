package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluice-net/sluice/loadtest/report"
	"github.com/sluice-net/sluice/loadtest/result"
)

// files are what a result is written to. That they can be is seen before the run: after an
// hour's load it's too late to learn that a folder is missing. They're replaced when it's
// complete, so nothing becomes of one for whose run there's no result.
type files []*file

type file struct {
	name   string
	path   string // the same without links: what is replaced; "": standard output
	fixed  bool   // there can be nothing beside it, so it's overwritten
	out    io.Writer
	device *os.File // what out is, of a device or a pipe
	format func(io.Writer, *result.Result) error
}

func (c *runCommand) openFiles(p process) (files, error) {
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
		err := f.open(p)
		if err == nil && slices.ContainsFunc(all, f.same) {
			err = fmt.Errorf("%s: it's given twice, and can have only one of them in it", f.name)
		}
		if err != nil {
			all.close()
			return nil, &exit{exitUsage, err}
		}
		all = append(all, f)
	}
	return all, nil
}

// open sees that the file can be written, and leaves it as it is. Standard output, a device
// or a pipe can't be replaced, and is kept open.
func (f *file) open(p process) error {
	if f.name == "-" || f.name == "/dev/stdout" {
		f.out = p.stdout
		return nil
	}
	info, err := os.Stat(f.name)
	exists := err == nil
	if exists {
		opened, err := os.OpenFile(f.name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			f.path, f.out, f.device = f.name, opened, opened
			return nil
		}
		opened.Close()
	}
	if f.path, err = destination(f.name, exists); err != nil {
		return err
	}
	made, err := os.Create(f.temporary())
	if err != nil {
		if f.fixed = exists; f.fixed {
			return nil
		}
		return fmt.Errorf("%s: %w", f.name, pathless(err))
	}
	made.Close()
	return os.Remove(made.Name())
}

// destination is where a name leads, though there may be nothing there yet.
func destination(name string, exists bool) (string, error) {
	if exists {
		found, err := filepath.EvalSymlinks(name)
		if err != nil {
			return "", err
		}
		return filepath.Abs(found)
	}
	if to, err := os.Readlink(name); err == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(name), to)
		}
		name = to
	}
	return filepath.Abs(name)
}

// same reports whether two would be written to one place, of which the second would be left.
func (f *file) same(o *file) bool {
	return f.path == o.path && f.device == nil
}

// temporary is where the file is written before it's in its place, on the same disk.
func (f *file) temporary() string { return fmt.Sprintf("%s.%d.tmp", f.path, os.Getpid()) }

// pathless is an error without the path, which is a temporary file's.
func pathless(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
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
	if f.out == nil {
		return f.replace(r)
	}
	err := f.format(f.out, r)
	if f.device != nil {
		err = errors.Join(err, f.device.Close())
		f.device = nil
	}
	return err
}

// replace puts the result in the file's place once all of it is there. Where that can't be
// done, as of a file that's mounted into a container, the result is worth more than what was
// there.
func (f *file) replace(r *result.Result) error {
	if f.fixed {
		return f.overwrite(r)
	}
	made, err := os.Create(f.temporary())
	if err != nil {
		return pathless(err)
	}
	err = f.format(made, r)
	old, statErr := os.Stat(f.path)
	if err == nil && statErr == nil {
		err = made.Chmod(old.Mode())
	}
	if err = errors.Join(err, made.Close()); err == nil {
		if err = os.Rename(made.Name(), f.path); err == nil {
			return nil
		}
		if statErr == nil {
			err = f.overwrite(r)
		}
	}
	_ = os.Remove(made.Name())
	return err
}

func (f *file) overwrite(r *result.Result) error {
	opened, err := os.OpenFile(f.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return pathless(err)
	}
	return errors.Join(f.format(opened, r), opened.Close())
}

// onStandardOutput reports whether one of them is, so that nothing else may be there.
func (all files) onStandardOutput() bool {
	return slices.ContainsFunc(all, func(f *file) bool { return f.path == "" })
}

// close closes what wasn't written.
func (all files) close() {
	for _, f := range all {
		if f.device != nil {
			f.device.Close()
		}
	}
}
