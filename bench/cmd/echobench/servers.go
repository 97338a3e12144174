//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// builtin lists the servers that echobench can build. A new one is one entry: how to
// build it, from which folder (relative to the module's), and how to start it without
// logs. {bin} stands for what was built, {addr} for the address to listen on, {loops}
// for the number of event loops: a server without it has one.
var builtin = []builtinServer{
	{
		name:   "gnet",
		echo:   goProgram("gnet", "-loops", "{loops}"),
		fanout: goProgram("gnet", "-loops", "{loops}", "-fanout"),
	},
	{
		name: "sluice",
		echo: program{
			folder: "..",
			build:  []string{"go", "build", "-o", "{bin}", "./cmd/echod"},
			args: []string{"{bin}", "--listen", "tcp://{addr}", "--admin", "",
				"--reactors", "{loops}", "--log-level", "error"},
		},
		fanout: goProgram("sluice", "-loops", "{loops}"),
	},
	{
		name:   "c",
		echo:   cProgram("{bin}", "{addr}"),
		fanout: cProgram("{bin}", "{addr}", "fanout"),
	},
	{
		name: "isocket",
		echo: goProgram("isocket", "-loops", "{loops}"),
	},
	{
		name:   "nbio",
		echo:   goProgram("nbio", "-loops", "{loops}"),
		fanout: goProgram("nbio", "-loops", "{loops}", "-fanout"),
	},
	{
		name:   "netpoll",
		echo:   goProgram("netpoll", "-loops", "{loops}"),
		fanout: goProgram("netpoll", "-loops", "{loops}", "-fanout"),
	},
	{
		name:   "std",
		echo:   goProgram("std", "-loops", "{loops}"),
		fanout: goProgram("std", "-loops", "{loops}", "-fanout"),
	},
}

type builtinServer struct {
	name   string
	echo   program
	fanout program // without args: it has none
}

// A program is one way to run a server.
type program struct {
	folder string
	build  []string
	args   []string
}

func goProgram(name string, options ...string) program {
	return program{
		build: []string{"go", "build", "-o", "{bin}", "./servers/" + name},
		args:  append([]string{"{bin}", "-addr", "{addr}"}, options...),
	}
}

func cProgram(args ...string) program {
	return program{
		folder: "servers/cepoll",
		build:  []string{"gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", "{bin}", "cepoll.c"},
		args:   args,
	}
}

func builtinNames() string {
	names := make([]string, len(builtin))
	for i, b := range builtin {
		names[i] = b.name
	}
	return strings.Join(names, ",")
}

// A server is ready to be started.
type server struct {
	name   string
	echo   []string // the command line, with {addr} and {loops}
	fanout []string // nil: it has none, or none is wanted
}

// args are those for a shape, or nil where it can't serve that.
func (s server) args(l shape) []string {
	args := s.echo
	if l.Kind == publishing {
		args = s.fanout
	}
	if l.Loops > 1 && !slices.Contains(args, "{loops}") {
		return nil
	}
	return replace(args, "{loops}", strconv.Itoa(l.Loops))
}

// servers owns the folder that they were built in.
type servers struct {
	list   []server
	folder string
}

func (s servers) remove() { _ = os.RemoveAll(s.folder) }

// prepare builds the chosen servers; the custom ones come after them.
func prepare(ctx context.Context, o options) (s servers, err error) {
	s.folder, err = os.MkdirTemp("", "echobench-")
	if err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			s.remove()
		}
	}()
	for _, name := range o.Servers {
		i := slices.IndexFunc(builtin, func(b builtinServer) bool { return b.name == name })
		if i < 0 {
			return s, fmt.Errorf("-servers: no server %q, there are %s", name, builtinNames())
		}
		one := server{name: name}
		if one.echo, err = s.compile(ctx, o.dir, name, builtin[i].echo); err != nil {
			return s, err
		}
		if builtin[i].fanout.args != nil && slices.ContainsFunc(o.Shapes, func(l shape) bool { return l.Kind == publishing }) {
			if one.fanout, err = s.compile(ctx, o.dir, name+"-fanout", builtin[i].fanout); err != nil {
				return s, err
			}
		}
		s.list = append(s.list, one)
	}
	for _, c := range o.Custom {
		s.list = append(s.list, server{name: c.Name, echo: c.Args})
	}
	if len(s.list) == 0 {
		return s, fmt.Errorf("-servers and -server: no server to measure")
	}
	for i, one := range s.list {
		if slices.ContainsFunc(s.list[:i], func(other server) bool { return other.name == one.name }) {
			return s, fmt.Errorf("-servers and -server: %q is there twice", one.name)
		}
	}
	return s, nil
}

// compile returns the command line of what it has built.
func (s servers) compile(ctx context.Context, dir, name string, p program) ([]string, error) {
	bin := filepath.Join(s.folder, name)
	build := replace(p.build, "{bin}", bin)
	cmd := exec.CommandContext(ctx, build[0], build[1:]...)
	cmd.Dir = filepath.Join(dir, p.folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return replace(p.args, "{bin}", bin), nil
}

// replace returns nil for nil.
func replace(args []string, placeholder, value string) []string {
	if args == nil {
		return nil
	}
	replaced := make([]string, len(args))
	for i, arg := range args {
		replaced[i] = strings.ReplaceAll(arg, placeholder, value)
	}
	return replaced
}
