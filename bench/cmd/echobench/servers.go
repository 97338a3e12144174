//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// builtin lists the servers that echobench can build. A new one is one entry:
// how to build it, from which folder (relative to the module's), and how to start
// it on one event loop without logs. {bin} stands for what was built and {addr}
// for the address to listen on.
var builtin = []builtinServer{
	{
		name:  "gnet",
		build: []string{"go", "build", "-o", "{bin}", "./servers/gnet"},
		args:  []string{"{bin}", "-addr", "{addr}", "-loops", "1"},
	},
	{
		name:   "sluice",
		folder: "..",
		build:  []string{"go", "build", "-o", "{bin}", "./cmd/echod"},
		args: []string{"{bin}", "--listen", "tcp://{addr}", "--admin", "",
			"--reactors", "1", "--log-level", "error"},
	},
	{
		name:   "c",
		folder: "servers/cepoll",
		build:  []string{"gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", "{bin}", "cepoll.c"},
		args:   []string{"{bin}", "{addr}"},
	},
	{
		name:  "isocket",
		build: []string{"go", "build", "-o", "{bin}", "./servers/isocket"},
		args:  []string{"{bin}", "-addr", "{addr}", "-loops", "1"},
	},
	{
		name:  "nbio",
		build: []string{"go", "build", "-o", "{bin}", "./servers/nbio"},
		args:  []string{"{bin}", "-addr", "{addr}", "-loops", "1"},
	},
	{
		name:  "netpoll",
		build: []string{"go", "build", "-o", "{bin}", "./servers/netpoll"},
		args:  []string{"{bin}", "-addr", "{addr}", "-loops", "1"},
	},
	{
		name:  "std",
		build: []string{"go", "build", "-o", "{bin}", "./servers/std"},
		args:  []string{"{bin}", "-addr", "{addr}"},
	},
}

type builtinServer struct {
	name   string
	folder string
	build  []string
	args   []string
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
	name string
	args []string // with {addr}
}

func (s server) command(addr netip.AddrPort) []string {
	return replace(s.args, "{addr}", addr.String())
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
		bin := filepath.Join(s.folder, name)
		if err := compile(ctx, filepath.Join(o.dir, builtin[i].folder), replace(builtin[i].build, "{bin}", bin)); err != nil {
			return s, fmt.Errorf("build %s: %w", name, err)
		}
		s.list = append(s.list, server{name: name, args: replace(builtin[i].args, "{bin}", bin)})
	}
	for _, c := range o.Custom {
		s.list = append(s.list, server{name: c.Name, args: c.Args})
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

func compile(ctx context.Context, folder string, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func replace(args []string, placeholder, value string) []string {
	replaced := make([]string, len(args))
	for i, arg := range args {
		replaced[i] = strings.ReplaceAll(arg, placeholder, value)
	}
	return replaced
}
